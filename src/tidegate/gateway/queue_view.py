"""The queue of asynchronous endpoints, for people."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.asynchronous import Backlog
from tidegate.domain.errors import NotFound, Unavailable
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.queue import Queue, QueueRow
from tidegate.service import endpoints

MAX_REQUESTS = 10_000


async def list_requests(gateway: Gateway, request: Request) -> Response:
    """The backlog and the latest requests, newest first."""
    limit, name = parse_number(request, "limit", 100, 1, MAX_REQUESTS), parse_endpoint_name(request)
    queue = _require_queue(gateway)
    rows = await queue.rows(name, limit)
    if not rows:
        await gateway.context.store.run(lambda tx: endpoints.get_endpoint(tx, name))
    backlog = (await queue.backlogs()).get(name, Backlog())
    shown = {"waiting": backlog.waiting, "working": backlog.working, "oldest": backlog.oldest}
    return JSONResponse({"backlog": shown, "requests": [_render_row(row) for row in rows]})


async def describe_request(gateway: Gateway, request: Request) -> Response:
    id, name = request.path_params["id"], parse_endpoint_name(request)
    row = await _require_queue(gateway).row(id)
    if row is None or row.item.endpoint != name:
        raise NotFound(f"endpoint {name} has no request {id}, or it was finished more than an hour ago")
    return JSONResponse(_render_row(row))


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
