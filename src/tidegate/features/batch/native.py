"""Transform jobs in the native API."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import Model
from tidegate.domain.transform import (
    FLEET_PREFIX,
    BadRows,
    DataProcessing,
    RequestLimits,
    TransformInput,
    TransformJob,
    TransformOutput,
)
from tidegate.features.batch import service as use
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import NAME, parse_json_object, parse_purpose, parse_requester
from tidegate.ports.store import Filter, Tx

JobCommand = Callable[[Tx, str, datetime, str], None]
MEMBERS = (
    *("name", "model", "spec", "source", "sink", "processing", "pace", "on_bad_rows", "instances", "environment"),
)


async def create(gateway: Gateway, request: Request) -> Response:
    """Create a job. ``model`` names a registered model, or ``spec`` is a spec file's data, whose first model is
    used."""
    context, now = gateway.context, gateway.context.clock.now()
    body = parse_json_object(request, MEMBERS)
    made = None if "spec" not in body else spec.parse_runnable(body["spec"], now).models[0]
    name = body.get("name") or context.ids.new("batch")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Invalid(f"invalid job name {name!r}: names are 1 to 63 letters, digits and inner hyphens")

    def work(tx: Tx) -> None:
        model = made or use.get_model(tx, str(body.get("model", "")))
        use.create(tx, _make_job(name, model, body, now), {}, runnable=context.runnable, now=now)

    await context.store.run(work)
    context.kick(FLEET_PREFIX + name)
    return await _render_job(gateway, name)


def _make_job(name: str, model: Model, body: dict[str, Any], now: datetime) -> TransformJob:
    job = TransformJob(
        name,
        model,
        _parse_member(body, "source", TransformInput),
        _parse_member(body, "sink", TransformOutput),
        now,
        processing=_parse_member(body, "processing", DataProcessing),
        pace=_parse_member(body, "pace", RequestLimits),
    )
    given = {key: body[key] for key in ("on_bad_rows", "instances", "environment") if key in body}
    kinds = {"on_bad_rows": BadRows, "instances": int, "environment": dict[str, str]}
    return replace(job, **{key: _convert(key, value, kinds[key]) for key, value in given.items()})


def _parse_member(body: dict[str, Any], name: str, kind: Any) -> Any:
    return _convert(name, body.get(name, {}), kind)


def _convert(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"'{name}': {error}") from None


async def describe(gateway: Gateway, request: Request) -> Response:
    return await _render_job(gateway, request.path_params["name"])


async def list_jobs(gateway: Gateway, request: Request) -> Response:
    now = gateway.context.clock.now()
    found = await gateway.context.store.read(lambda tx: use.find(tx, Filter(), 1000).items)
    jobs = [use.view(saved.body, gateway.progress(saved.name), now) for saved in found]
    return JSONResponse({"jobs": jobs})


async def stop(gateway: Gateway, request: Request) -> Response:
    return await _command(gateway, request, use.stop)


async def resume(gateway: Gateway, request: Request) -> Response:
    return await _command(gateway, request, use.resume)


async def _command(gateway: Gateway, request: Request, change: JobCommand) -> Response:
    body = parse_json_object(request, ("by", "reason"))
    asked = use.describe_asker(parse_requester(request, body), parse_purpose(body).reason)
    context, name, now = gateway.context, request.path_params["name"], gateway.context.clock.now()
    await context.store.run(lambda tx: change(tx, name, now, asked))
    context.kick(FLEET_PREFIX + name)
    return await _render_job(gateway, name)


async def _render_job(gateway: Gateway, name: str) -> Response:
    job = (await gateway.context.store.read(lambda tx: use.get(tx, name))).body
    running = gateway.progress(name) if job.outcome is None else None
    return JSONResponse(use.view(job, running, gateway.context.clock.now()))
