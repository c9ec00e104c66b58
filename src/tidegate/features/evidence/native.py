"""How the evidence of an endpoint's last rollout grew, by the native API and for its page."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.features.evidence import service as evidence
from tidegate.features.evidence.timeline import trace_evidence
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name


async def describe_evidence(gateway: Gateway, request: Request) -> Response:
    """Show the comparison of the versions of the last rollout, with its inputs and the verdict that follows from
    them."""
    name = parse_endpoint_name(request)
    return JSONResponse(await gateway.context.store.read(lambda tx: evidence.show_evidence(tx, name)))


async def describe_timeline(gateway: Gateway, request: Request) -> Response:
    """Show how the comparison of the versions grew, look by look."""
    return JSONResponse(await _read_timeline(gateway, parse_endpoint_name(request)))


async def _read_timeline(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound. A long rollout takes some tenths of a second, off the event loop."""
    record, rollout = await gateway.context.store.read(lambda tx: evidence.find_compared(tx, name))
    trace = await asyncio.to_thread(trace_evidence, record)
    return evidence.describe_timeline(record, rollout, trace)
