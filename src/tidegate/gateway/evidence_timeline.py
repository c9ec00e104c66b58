"""How the evidence of an endpoint's last rollout grew, by the native API and for its page."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.evidence.timeline import trace_evidence
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.service import evidence


async def describe_timeline(gateway: Gateway, request: Request) -> Response:
    return JSONResponse(await read_timeline(gateway, parse_endpoint_name(request)))


async def read_timeline(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound. A long rollout takes some tenths of a second, off the event loop."""
    record, rollout = await gateway.context.store.read(lambda tx: evidence.find_compared(tx, name))
    trace = await asyncio.to_thread(trace_evidence, record)
    return evidence.describe_timeline(record, rollout, trace)
