"""The page of an endpoint's evidence."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.domain.errors import NotFound
from tidegate.domain.evidence import EvidenceRecord
from tidegate.features.evidence import page as evidence_page
from tidegate.features.evidence import service as evidence
from tidegate.features.evidence.replay_service import show_replay
from tidegate.features.evidence.timeline import EvidenceTrace, EvidenceTracer, sort_blocks
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.ports.store import Tx
from tidegate.service import endpoints

KEPT_TRACERS = 32
"""Endpoints whose trace is kept, to be continued."""


@dataclass
class _EvidenceReader:
    gateway: Gateway
    _tracers: dict[str, tuple[str, EvidenceTracer]] = field(default_factory=dict)
    """By endpoint, with the rollout that it is of."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, name: str) -> dict[str, Any]:
        def work(tx: Tx) -> tuple[Any, ...] | None:
            endpoints.get_endpoint(tx, name)
            replay = show_replay(tx, name)
            try:
                return (*evidence.find_compared(tx, name), replay)
            except NotFound:
                return None if replay is None else (None, None, replay)

        found = await self.gateway.context.store.read(work)
        if found is None or found[0] is None:
            replayed = None if found is None else evidence_page.replay_rows(found[2])
            return {"there": replayed is not None, "compared": None, "replay": replayed}
        record, rollout, replay = found
        trace = await self._trace(record)
        told = evidence.describe_timeline(record, rollout, trace)
        of_this = replay if replay is not None and replay["rollout"] == record.rollout else None
        shown = evidence_page.compared_page(record, rollout, told)
        return {
            "there": True,
            "compared": shown,
            "replay": None if of_this is None else evidence_page.replay_rows(of_this),
        }

    async def _trace(self, record: EvidenceRecord) -> EvidenceTrace:
        """Each block is judged once: a long rollout has thousands, and a page asks every second."""
        async with self._lock:
            kept = self._tracers.pop(record.endpoint, None)
            before = kept[1] if kept is not None and kept[0] == record.rollout else None
            tracer, trace = await asyncio.to_thread(_follow, before, record)
            self._tracers[record.endpoint] = (record.rollout, tracer)
            while len(self._tracers) > KEPT_TRACERS:
                del self._tracers[next(iter(self._tracers))]
            return trace


def _follow(tracer: EvidenceTracer | None, record: EvidenceRecord) -> tuple[EvidenceTracer, EvidenceTrace]:
    blocks = sort_blocks(record)
    if tracer is None or not tracer.follow(blocks):
        tracer = EvidenceTracer(record.config, record.variants)
        tracer.follow(blocks)
    return tracer, tracer.trace(record.through)


def page_routes(context: PageContext) -> list[GuardedRoute]:
    read = _EvidenceReader(context.gateway).read
    part = EndpointPart("evidence", "Evidence", "tidegate rollout evidence show {}", "evidence/timeline")
    return live_routes(context, part, read)
