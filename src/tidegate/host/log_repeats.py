"""One line a minute of each cause, however many loops meet it.

While a database or another service is away, every loop of a server fails each second for the same reason. A log with
the traceback of each hides what else happens, and the traceback of an error of our own says no more than its message.
"""

import logging
import time
from collections.abc import Callable, Iterator

from tidegate.domain.errors import TidegateError, Transient, Unavailable

EVERY = 60.0
"""Seconds between two lines of the same cause."""
MOST = 1_000
"""Causes that are remembered."""


class RepeatFilter(logging.Filter):
    """For a handler. Errors of tidegate's own are one line without a traceback; what is away for a while is said once
    a minute, with the number of lines that were left out. Anything else passes as it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}
        """Cause -> when it was said last, and how many lines of it were left out since."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = next(_errors(record), None)
        if error is None:
            return True
        message = record.getMessage()
        if record.exc_info:
            message = message if str(error) in message else f"{message}: {error}"
            record.exc_info = record.exc_text = None
        if isinstance(error, Unavailable | Transient):
            now, cause = self._clock(), str(error)
            at, left_out = self._said.get(cause, (-EVERY, 0))
            if now - at < EVERY:
                self._said[cause] = at, left_out + 1
                return False
            self._forget(now)
            self._said[cause] = now, 0
            message += f" ({left_out} more lines of this since)" if left_out else ""
        record.msg, record.args = message, None
        return True

    def _forget(self, now: float) -> None:
        if len(self._said) >= MOST:
            self._said = {cause: said for cause, said in self._said.items() if now - said[0] < EVERY}


def limit_repeats() -> None:
    """Do so for all that this process logs."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())


def _errors(record: logging.LogRecord) -> Iterator[TidegateError]:
    """Errors of ours that a line is about: that of its traceback, and what it quotes. What else is in a traceback is
    a defect, whatever led to it."""
    given = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[1] if record.exc_info else None
    for error in (raised, *(() if raised is not None else given)):
        leaves = _list_leaves(error) if isinstance(error, BaseException) else []
        if leaves and all(isinstance(leaf, TidegateError) for leaf in leaves):
            yield from (leaf for leaf in leaves if isinstance(leaf, TidegateError))


def _list_leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _list_leaves(one)]
