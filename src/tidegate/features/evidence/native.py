"""How the evidence of an endpoint's last rollout grew, and labels of judged pairs, by the native API."""

import asyncio
from typing import Any, Literal, TypedDict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import Invalid, NotFound
from tidegate.features.evidence import service as evidence
from tidegate.features.evidence.kept_pairs import KeptPairs
from tidegate.features.evidence.labelling import find_labels, find_waiting, keep_label
from tidegate.features.evidence.timeline import trace_evidence
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import takes
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import require
from tidegate.statistics.preferences import ENOUGH


async def describe_evidence(gateway: Gateway, request: Request) -> Response:
    """Show the comparison of the versions of the last rollout, with its inputs and the verdict that follows from
    them."""
    name = parse_endpoint_name(request)
    return JSONResponse(await gateway.context.store.read(lambda tx: evidence.show_evidence(tx, name)))


async def describe_timeline(gateway: Gateway, request: Request) -> Response:
    """Show how the comparison of the versions grew, look by look."""
    return JSONResponse(await _read_timeline(gateway, parse_endpoint_name(request)))


async def show_pair(gateway: Gateway, request: Request) -> Response:
    """Show the judged pair of answers that is to be labelled next, in random order, and how many wait. Which version
    wrote which answer is not said."""
    name = parse_endpoint_name(request)
    return JSONResponse(await _describe_waiting(gateway, name, await _find_labelled(gateway, name)))


class LabelBody(TypedDict):
    """The id of the pair that is shown, and which of its answers is better."""

    pair: str
    better: Literal["A", "B", "neither"]


@takes(LabelBody)
async def label_pair(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Label the pair that is next. Answers as the operation that shows a pair, with the one after it."""
    name = parse_endpoint_name(request)
    id, better = body.get("pair"), body.get("better")
    if not isinstance(id, str) or not isinstance(better, str):
        raise Invalid("'pair' must be the id of the pair that is shown, and 'better' A, B or neither")
    rollout = await _find_labelled(gateway, name)
    folder, now = KeptPairs(gateway.settings.state, name, rollout), gateway.context.clock.now()
    kept = await asyncio.to_thread(folder.read)
    labels = await gateway.context.store.run(lambda tx: keep_label(tx, (name, rollout), kept, id, better, now))
    await asyncio.to_thread(folder.remove, {one.id for one in labels})
    request.state.told.detail = f"pair {id}: {better}"
    return JSONResponse(await _describe_waiting(gateway, name, rollout))


async def _find_labelled(gateway: Gateway, name: str) -> str:
    """Return the id of the rollout whose judged pairs may be labelled. Raises NotFound."""
    saved = await gateway.context.store.read(lambda tx: require(tx, ENDPOINT, name))
    rollout = saved.body.rollout
    judging = None if rollout is None or rollout.plan.evidence is None else rollout.plan.evidence.judging
    if rollout is None or judging is None or not judging.labels:
        raise NotFound(
            f"endpoint {name} has no rollout that keeps judged pairs for labels (evidence.judge.labels)"
        )
    return rollout.id


async def _describe_waiting(gateway: Gateway, name: str, rollout: str) -> dict[str, Any]:
    kept = await asyncio.to_thread(KeptPairs(gateway.settings.state, name, rollout).read)
    labels = await gateway.context.store.read(lambda tx: find_labels(tx, name, rollout))
    waiting = find_waiting(kept, {one.id for one in labels})
    shown = None
    if waiting and waiting[0].texts is not None:
        asked, *answers = waiting[0].texts
        first, second = reversed(answers) if waiting[0].new_first else answers
        shown = {"id": waiting[0].id, "request": asked, "A": first, "B": second}
    counts = {"labelled": len(labels), "enough": ENOUGH, "waiting": len(waiting)}
    return {"endpoint": name, "rollout": rollout, **counts, "pair": shown}


async def _read_timeline(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound. A long rollout takes some tenths of a second, off the event loop."""
    record, rollout = await gateway.context.store.read(lambda tx: evidence.find_compared(tx, name))
    trace = await asyncio.to_thread(trace_evidence, record)
    return evidence.describe_timeline(record, rollout, trace)
