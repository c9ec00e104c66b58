"""A progress bar for what may take longer than a second: on the terminal, never in a pipe and never with --json.

It appears after a second, so that quick commands neither flicker nor import what draws.
"""

import sys
from threading import Lock, Timer
from types import TracebackType
from typing import Any, Self

from tidegate.host.late_import import load

AFTER = 1.0
"""Seconds until the bar is shown."""


class ProgressBar:
    """``what`` is done, in all ``total`` steps; None: no end is known, and the bar shows how long it has been.

    Drawn on standard error, and removed at the end."""

    def __init__(
        self, what: str, total: float | None = None, *, quiet: bool = False, after: float = AFTER
    ) -> None:
        self._state: dict[str, Any] = {"description": what, "total": total, "completed": 0}
        self._lock = Lock()
        self._bar: Any = None
        self._closed = False
        self._timer = None if quiet or not sys.stderr.isatty() else Timer(after, self._show)

    @property
    def active(self) -> bool:
        """Whether it is shown, or will be."""
        return self._timer is not None

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def update(self, done: float, what: str | None = None) -> None:
        """``done`` of the steps are done; ``what``: what is done now, if that has changed."""
        with self._lock:
            self._state |= {"completed": done} | ({} if what is None else {"description": what})
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], **self._state)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        """In the timer's thread."""
        progress = load("rich.progress", "Progress")
        columns = [load("rich.progress", name) for name in ("BarColumn", "TimeElapsedColumn")]
        text = load("rich.progress", "TextColumn")("{task.description}", markup=False)
        screen = load("rich.console", "Console")(stderr=True, highlight=False, markup=False, emoji=False)
        with self._lock:
            if self._closed:
                return
            self._bar = progress(text, *(column() for column in columns), console=screen, transient=True)
            self._bar.add_task(**self._state)
            self._bar.start()
