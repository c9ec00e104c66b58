"""Views of the logs of an endpoint's replicas, one by one and merged."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import Invalid
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.logs import ReplicaLog
from tidegate.service import endpoints
from tidegate.service.log_lines import LogSearch, search_logs

MAX_LINES = 10_000
"""Last lines of each replica that are read."""
SEARCHED = 2_000
MAX_SHOWN = 1_000
MAX_FIND = 200
"""Characters of a text that is looked for."""


async def list_logs(gateway: Gateway, request: Request) -> Response:
    """Logs of a removed endpoint can still be read."""
    tail, name = parse_number(request, "tail", 100, 1, MAX_LINES), parse_endpoint_name(request)
    found = await _read(gateway, name, tail)
    return await asyncio.to_thread(lambda: JSONResponse({"replicas": [asdict(one) for one in found]}))


async def search_lines(gateway: Gateway, request: Request) -> Response:
    """Lines of all replicas in one list, by time, the newest last: those that have a text, in any case."""
    name, tail = parse_endpoint_name(request), parse_number(request, "tail", SEARCHED, 1, MAX_LINES)
    limit = parse_number(request, "limit", 200, 1, MAX_SHOWN)
    find, replica = request.query_params.get("find", ""), request.query_params.get("replica", "")
    if len(find) > MAX_FIND:
        raise Invalid(f"find has {len(find)} characters: {MAX_FIND} at most")
    found = await _read(gateway, name, tail)
    search = LogSearch(find, replica, limit)
    # Beside the event loop: a search goes through some megabytes, and finds some.
    return await asyncio.to_thread(lambda: JSONResponse(search_logs(found, search)))


async def _read(gateway: Gateway, name: str, tail: int) -> Sequence[ReplicaLog]:
    """Read the logs of an endpoint. Raises NotFound if there are neither logs nor an endpoint."""
    found = await gateway.logs(name, tail)
    if not found:
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    return found
