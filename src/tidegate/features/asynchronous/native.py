"""The queue of asynchronous endpoints, for people."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.asynchronous import Backlog
from tidegate.domain.errors import Invalid, NotFound, Unavailable
from tidegate.features.asynchronous.service import note_emptying
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import JournaledBody, takes
from tidegate.gateway.request_parsing import (
    parse_endpoint_name,
    parse_number,
    parse_purpose,
    parse_requester,
)
from tidegate.ports.queue import Queue, QueueRow
from tidegate.queueing.transitions import emptying_outcome
from tidegate.service import endpoints

MAX_REQUESTS = 10_000


async def list_requests(gateway: Gateway, request: Request) -> Response:
    """Show the backlog and the latest requests, newest first."""
    limit, name = parse_number(request, "limit", 100, 1, MAX_REQUESTS), parse_endpoint_name(request)
    queue = _require_queue(gateway)
    rows = await queue.rows(name, limit)
    if not rows:
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    backlog = (await queue.backlogs()).get(name, Backlog())
    return JSONResponse({"backlog": _render_backlog(backlog), "requests": [_render_row(row) for row in rows]})


async def describe_request(gateway: Gateway, request: Request) -> Response:
    """Describe one request of the queue."""
    id, name = request.path_params["id"], parse_endpoint_name(request)
    row = await _require_queue(gateway).row(id)
    if row is None or row.item.endpoint != name:
        raise NotFound(f"endpoint {name} has no request {id}, or it was finished more than an hour ago")
    return JSONResponse(_render_row(row))


class EmptyQueueBody(JournaledBody, total=False):
    """``through``: epoch seconds."""

    through: float


@takes(EmptyQueueBody)
async def empty_queue(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """End the requests that wait; what is in progress goes on. ``through``: only what was accepted until then, such
    as what a page showed, in epoch seconds."""
    context, name, now = gateway.context, parse_endpoint_name(request), gateway.context.clock.now()
    by, reason = parse_requester(request, body), parse_purpose(body).reason
    through = _parse_through(body, now.timestamp())
    queue = _require_queue(gateway)
    waiting = (await queue.backlogs()).get(name, Backlog()).waiting
    await context.store.run(lambda tx: note_emptying(tx, name, waiting, by, reason, now))
    outcome = emptying_outcome(by, reason, now.timestamp())
    emptied = await queue.empty(name, through, now.timestamp(), outcome)
    request.state.told.detail = f"{emptied} requests"
    backlog = (await queue.backlogs()).get(name, Backlog())
    return JSONResponse({"endpoint": name, "emptied": emptied, "backlog": _render_backlog(backlog)})


def _parse_through(body: dict[str, Any], now: float) -> float:
    given = body.get("through", now)
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise Invalid("'through' must be a time in seconds since 1970")
    return float(max(0, min(given, now)))


def _render_backlog(backlog: Backlog) -> dict[str, object]:
    return {"waiting": backlog.waiting, "working": backlog.working, "oldest": backlog.oldest}


def _require_queue(gateway: Gateway) -> Queue:
    if gateway.context.queue is None:
        raise Unavailable("this server does not accept asynchronous requests")
    return gateway.context.queue


def _render_row(row: QueueRow) -> dict[str, object]:
    item, outcome = row.item, row.outcome
    return {
        "id": item.id,
        "inference_id": item.inference_id,
        "state": str(row.state),
        "tries": row.fence,
        "accepted_at": item.accepted_at,
        "input": item.input,
        "output": item.output,
        "failure": item.failure,
        "outcome": None
        if outcome is None
        else {"end": str(outcome.end), "at": outcome.at, "reason": outcome.reason},
    }
