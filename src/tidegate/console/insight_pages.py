"""Pages that say how good an endpoint's versions are, and what it has: evidence, drift, labels, captures, shadow
variants, the models of a multi-model endpoint."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.advisor.quality import api as labels_api
from tidegate.console import captures_page, drift_page, evidence_page, labels_page, models_page, shadow_page
from tidegate.console.endpoint_page import has_many_models
from tidegate.console.live_stream import LiveStreams, Snapshot
from tidegate.console.operate_pages import LIVE, open_stream, render
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import Access, Caller
from tidegate.domain.errors import NotFound
from tidegate.domain.evidence import EvidenceRecord
from tidegate.evidence.timeline import EvidenceTrace, EvidenceTracer, sort_blocks
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute, describe_request
from tidegate.gateway.paths import CONSOLE, NATIVE
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.store import Tx
from tidegate.service import drift, endpoints, evidence
from tidegate.service.replays import show_replay

MOST_MODELS = 10_000
"""Of each instance; one lists 1,000."""
MOST_PAGES = 100_000
KEPT_TRACERS = 32
"""Endpoints whose trace is kept, to be gone on with."""

Read = Callable[[str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class LivePart:
    """A page with one part, which is sent again when it changes. ``line``: the command that shows the same, with
    ``{}`` for the endpoint's name; ``document``: below the endpoint's native address."""

    path: str
    title: str
    line: str
    document: str
    read: Read


@dataclass
class InsightReader:
    gateway: Gateway
    _tracers: dict[str, tuple[str, EvidenceTracer]] = field(default_factory=dict)
    """By endpoint, with the rollout that it is of."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def evidence(self, name: str) -> dict[str, Any]:
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

    async def drift(self, name: str) -> dict[str, Any]:
        def work(tx: Tx) -> tuple[bool, dict[str, Any] | None]:
            captured = bool(drift.captured_addresses(endpoints.get_endpoint(tx, name).body))
            try:
                return captured, drift.show_drift(tx, name)
            except NotFound:
                return captured, None

        captured, told = await self.gateway.context.store.read(work)
        shown = None if told is None else drift_page.drift_page(told)
        return {"there": shown is not None, "captured": captured, "drift": shown}

    async def labels(self, name: str) -> dict[str, Any]:
        def work(tx: Tx) -> bool:
            return bool(drift.captured_addresses(endpoints.get_endpoint(tx, name).body))

        captured = await self.gateway.context.store.read(work)
        try:
            told = await labels_api.read_labels(self.gateway, name)
        except NotFound:
            told = None
        shown = None if told is None else labels_page.labels_page(told)
        return {"there": shown is not None, "captured": captured, "labels": shown}

    async def shadow(self, name: str) -> dict[str, Any]:
        return await shadow_page.shadow_page(self.gateway, name)


def _follow(tracer: EvidenceTracer | None, record: EvidenceRecord) -> tuple[EvidenceTracer, EvidenceTrace]:
    blocks = sort_blocks(record)
    if tracer is None or not tracer.follow(blocks):
        tracer = EvidenceTracer(record.config, record.variants)
        tracer.follow(blocks)
    return tracer, tracer.trace(record.through)


def routes(gateway: Gateway, streams: LiveStreams) -> list[GuardedRoute]:
    """GET only: they change nothing."""
    reader, samples = InsightReader(gateway), captures_page.SampleReader(gateway)
    parts = (
        LivePart("evidence", "Evidence", "tidegate evidence show {}", "evidence/timeline", reader.evidence),
        LivePart("drift", "Drift", "tidegate monitor show {}", "drift", reader.drift),
        LivePart("labels", "Labels", "tidegate labels {}", "labels", reader.labels),
        LivePart("shadow", "Shadow", "tidegate shadow {}", "shadow", reader.shadow),
    )

    async def show_captures(request: Request) -> Response:
        name, caller = parse_endpoint_name(request), _caller(request)
        may_see = caller.may(Access.SEE)
        seen = gateway.trail.allowing(describe_request(gateway, request, Access.SEE)) if may_see else nullcontext()
        async with seen:
            page = await captures_page.captures_page(gateway, samples, name, may_see)
        line, document = ("tidegate capture {} --samples 10", "capture/samples")
        if not page["may_see"]:
            line, document = ("tidegate capture {}", "capture")
        part = LivePart("captures", "Captures", line, document, reader.drift)
        return await _render(gateway, part, page, request, live=False)

    async def show_models(request: Request) -> Response:
        name, page = parse_endpoint_name(request), parse_number(request, "page", 1, 1, MOST_PAGES)
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
        replicas: Any = await gateway.models(name, MOST_MODELS)
        shown = models_page.models_page(replicas, request.query_params.get("find", "")[:200].strip(), page)
        part = LivePart("models", "Models", "tidegate models {} --limit 1000", "models?limit=1000", reader.drift)
        return await _render(gateway, part, {"there": bool(replicas), **shown}, request, live=False)

    found = [route for part in parts for route in _routes(gateway, streams, part)]
    for path, show in (("captures", show_captures), ("models", show_models)):
        found.append(GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/{path}", show, Access.READ))
    return [*found, *captures_page.sample_routes(gateway, samples)]


def _caller(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


def _routes(gateway: Gateway, streams: LiveStreams, part: LivePart) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        name = parse_endpoint_name(request)
        return await _render(gateway, part, await part.read(name), request, live=True)

    async def stream(request: Request) -> Response:
        name = parse_endpoint_name(request)

        async def snapshot() -> Snapshot:
            macros: Any = TEMPLATES.get_template("insight_parts.html").module
            return Snapshot(
                {part.path: str(getattr(macros, part.path)(_lead_on(part, name, await part.read(name))))}
            )

        return open_stream(gateway, streams, request, f"{name}/{part.path}", snapshot)

    return [
        GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/{part.path}", show, Access.READ),
        GuardedRoute(gateway, f"{LIVE}/{{name}}/{part.path}", stream, Access.READ),
    ]


async def _render(
    gateway: Gateway, part: LivePart, page: dict[str, Any], request: Request, *, live: bool
) -> Response:
    name = parse_endpoint_name(request)
    return render(
        "insight",
        request,
        many_models=await has_many_models(gateway, name),
        endpoint=name,
        title=part.title,
        part=part.path,
        page=_lead_on(part, name, page),
        live=f"{LIVE}/{name}/{part.path}" if live else None,
    )


def _lead_on(part: LivePart, name: str, page: dict[str, Any]) -> dict[str, Any]:
    """The page with the command and the document that say the same."""
    return {
        **page,
        "name": name,
        "line": part.line.format(name),
        "document": f"{NATIVE}/endpoints/{name}/{part.document}",
    }
