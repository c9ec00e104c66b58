"""Drift schedules of endpoints by the native API."""

from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.decoding import prepare_type
from tidegate.domain.drift import DriftSchedule
from tidegate.domain.errors import Invalid
from tidegate.features.drift import service as use
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import derive_body, takes
from tidegate.gateway.request_parsing import parse_endpoint_name

DriftBody = derive_body("DriftBody", DriftSchedule, ("endpoint", "created_at", "by_spec"))


async def describe_drift(gateway: Gateway, request: Request) -> Response:
    """Show the schedule, its last look, and when the verdict changed."""
    name = parse_endpoint_name(request)
    return JSONResponse(await gateway.context.store.read(lambda tx: use.show_drift(tx, name)))


@takes(DriftBody)
async def set_drift(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Set the endpoint's schedule, in place of an earlier one."""
    name, now = parse_endpoint_name(request), gateway.context.clock.now()
    schedule = _parse_schedule(name, body, now)
    await gateway.context.store.run(lambda tx: use.set_schedule(tx, schedule, now))
    return await describe_drift(gateway, request)


async def remove_drift(gateway: Gateway, request: Request) -> Response:
    """Remove the endpoint's schedule."""
    name, now = parse_endpoint_name(request), gateway.context.clock.now()
    await gateway.context.store.run(lambda tx: use.remove_schedule(tx, name, now))
    return JSONResponse({"endpoint": name})


def _parse_schedule(name: str, body: dict[str, Any], now: datetime) -> DriftSchedule:
    """Raises Invalid."""
    try:
        return msgspec.convert({**body, "endpoint": name, "created_at": now}, prepare_type(DriftSchedule))
    except msgspec.ValidationError as error:
        raise Invalid(f"drift schedule: {error}") from None
