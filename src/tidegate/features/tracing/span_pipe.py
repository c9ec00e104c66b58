"""A bounded queue of spans and the thread that exports them. Nobody waits for it: what does not fit, and what the
collector does not take, is dropped and counted."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice

from tidegate.domain.spans import Span

log = logging.getLogger(__name__)

MOST_WAITING = 8192
"""Spans that wait; some 10 MB."""
BATCH = 512
MOST_ORDERS = 4


class SpanPipe:
    """``send`` blocks, and says whether the collector has taken the spans. ``name``: the collector, for the log."""

    def __init__(self, send: Callable[[Sequence[Span]], bool], name: str) -> None:
        self.exported = self.dropped = 0
        self._send = send
        self._name = name
        self._waiting: deque[Span] = deque()
        self._orders: deque[tuple[Sequence[Span], Future[bool]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._works = True
        """Whether the last export did."""
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[Span]) -> None:
        """Take spans to export some time, or drop them."""
        with self._changed:
            room = 0 if self._closed else max(0, MOST_WAITING - len(self._waiting))
            self._waiting.extend(spans[:room])
            self.dropped += len(spans[room:])
            self._changed.notify()

    def lose(self, count: int) -> None:
        """Count spans that were dropped elsewhere."""
        with self._changed:
            self.dropped += count

    def order(self, spans: Sequence[Span]) -> "Future[bool]":
        """Export these, and tell whether that worked. They are not counted as dropped: they can be ordered again."""
        done: Future[bool] = Future()
        with self._changed:
            if self._closed or len(self._orders) >= MOST_ORDERS:
                done.set_result(False)
            else:
                self._orders.append((spans, done))
                self._changed.notify()
        return done

    def close(self, seconds: float) -> None:
        """Export what waits within so many seconds; the rest is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            self.dropped += len(self._waiting)
            self._waiting.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._orders or self._closed):
                    self._changed.wait()
                if not (self._waiting or self._orders):
                    return
                order = self._orders.popleft() if self._orders else None
                batch = order[0] if order is not None else list(islice(self._waiting, BATCH))
                for _ in range(0 if order is not None else len(batch)):
                    self._waiting.popleft()
            works = self._export(batch)
            with self._changed:
                self.exported += len(batch) if works else 0
                self.dropped += 0 if works or order is not None else len(batch)
            if order is not None and order[1].set_running_or_notify_cancel():
                order[1].set_result(works)

    def _export(self, batch: Sequence[Span]) -> bool:
        try:
            works = self._send(batch)
        except Exception:  # whatever the library does not catch must not end the thread
            log.exception("spans could not be exported")
            works = False
        if works != self._works:
            self._works = works
            if works:
                log.info("the collector %s takes spans again", self._name)
            else:
                log.warning("the collector %s does not take spans; predictions and rollouts go on", self._name)
        return works
