"""Copies of requests: those that this worker sends once it has answered, to a shadow or to another version, and those
that another version's workers send it."""

import time
from collections.abc import Callable

from tidegate.serving.contract.invocation import ModelEngine, Outcome
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.formats.prediction_cut import Cut
from tidegate.serving.front.captures import Captures
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.pair_page import PairPage
from tidegate.serving.front.pairs import PairSender
from tidegate.serving.front.request_stats import RequestStats
from tidegate.serving.front.responses import Responses
from tidegate.serving.front.shadow import ShadowSender


class RequestCopies:
    def __init__(
        self,
        spec: ReplicaSpec,
        stats: RequestStats,
        responses: Responses,
        engine: Callable[[], ModelEngine | None],
        in_hand: Callable[[], int],
        *,
        cut: Cut,
        captures: Captures,
    ) -> None:
        """``in_hand``: how many calls of clients the worker has. ``cut`` takes the prediction out of an answer;
        ``captures`` knows what of a request and of an answer a person may see."""
        self._mirror = ShadowSender(spec, stats.note, cut) if spec.mirror is not None else None
        self._pairs: PairSender | None = None
        if spec.pairing is not None:
            self._pairs = PairSender(
                spec.pairing,
                spec.invocation_timeout,
                engine,
                in_hand,
                stats.add_pair,
                cut=cut,
                show=captures.show,
                clean=captures.clean,
                redacts=spec.capture is not None,
            )
        self._page = PairPage(
            spec,
            responses,
            lambda: (in_hand(), stats.total),
            cut=cut,
            failed=lambda one: stats.failures.note(one.status, one.message, time.time()),
        )
        self._engine = engine
        self.wanted = self._mirror is not None
        """Whether answered requests are copied."""

    def start(self) -> None:
        if self._mirror is not None:
            self._mirror.start()

    def look(self) -> None:
        """Learn whether another version is to answer, too. Called once a second."""
        if self._pairs is not None:
            self._pairs.look()
            self.wanted = self._mirror is not None or self._pairs.active

    def settle(self) -> None:
        """Count what was answered to copies. To be called before the counts are read."""
        if self._mirror is not None:
            self._mirror.settle()

    def offer(self, request: Request, outcome: Outcome, latency: int, peer: Callable[[], str]) -> None:
        """Take an answered request; ``latency`` in microseconds, ``peer`` gives the address that it came from."""
        if self._mirror is not None:
            self._mirror.offer(request, outcome, latency, peer)
        if self._pairs is not None:
            self._pairs.offer(request, outcome)

    def answer(self, connection: Connection, request: Request) -> bool:
        """Whether the request is a copy by another version's worker, which is answered."""
        return self._pairs is not None and self._page.answer(self._engine(), connection, request)

    def gone(self, connection: Connection) -> None:
        self._page.gone(connection)

    async def close(self) -> None:
        if self._pairs is not None:
            self._pairs.close()
        if self._mirror is not None:
            await self._mirror.close()
