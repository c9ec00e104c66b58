"""Transform jobs in the native API."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate import spec
from tidegate.domain.decoding import prepare_type
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import Model
from tidegate.domain.registry_addresses import is_registry_address
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
from tidegate.gateway.deployments import pin_references
from tidegate.gateway.native_body import JournaledBody, takes
from tidegate.gateway.request_parsing import NAME, parse_purpose, parse_requester
from tidegate.ports.store import Filter, Tx
from tidegate.spec.value_types import SpecData
from tidegate.wire.operation import WireContext

JobCommand = Callable[[Tx, str, datetime, str], None]


class TransformBody(TypedDict, total=False):
    """A transform job. A spec with a job says most of it."""

    name: str | None
    model: str
    spec: SpecData
    source: TransformInput
    sink: TransformOutput
    processing: DataProcessing
    pace: RequestLimits
    on_bad_rows: BadRows
    instances: int
    environment: dict[str, str]


@takes(TransformBody)
async def create(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Create a job. ``model`` names a registered model, or is the address of one in a registry. Or ``spec`` is a spec
    file's data, whose first model is used, and whose ``job`` section says what the body does not."""
    context, now = gateway.context, gateway.context.clock.now()
    wish = await _read_spec(context, body, now)
    made = None if wish is None else wish.models[0]
    name = body.get("name") or context.ids.new("batch")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Invalid(f"invalid job name {name!r}: names are 1 to 63 letters, digits and inner hyphens")

    def work(tx: Tx) -> None:
        model = made or use.get_model(tx, str(body.get("model", "")))
        described = wish.job if wish is not None else None
        use.create(tx, _make_job(name, model, body, described, now), {}, runnable=context.runnable, now=now)

    await context.store.run(work)
    context.kick(FLEET_PREFIX + name)
    return await _render_job(gateway, name)


async def _read_spec(context: WireContext, body: dict[str, Any], now: datetime) -> DesiredDeployment | None:
    """Read the spec of a job, or of the model that its address names; None: the job names a registered model."""
    given, model = body.get("spec"), body.get("model")
    if "spec" not in body and isinstance(model, str) and is_registry_address(model):
        given = {"endpoint": "batch", "model": {"data": model}}
    elif "spec" not in body:
        return None
    spec.parse_runnable(given, now)  # before what it refers to is looked for
    return spec.parse_runnable(await pin_references(context, given), now)


def _make_job(
    name: str, model: Model, body: dict[str, Any], described: TransformJob | None, now: datetime
) -> TransformJob:
    """``described``: the job of the spec's section, over which the members of the body go."""
    if described is None:
        job = TransformJob(name, model, _parse(body, "source"), _parse(body, "sink"), now)
    else:
        job = replace(described, name=name, created_at=now, instance_type=TransformJob.instance_type)
    return replace(job, **{key: _parse(body, key) for key in KINDS if key in body})


KINDS = {key: kind for key, kind in get_type_hints(TransformBody).items() if key not in ("name", "model", "spec")}
"""Members of the body that are members of a job."""


def _parse(body: dict[str, Any], name: str) -> Any:
    return _convert(name, body.get(name, {}), KINDS[name])


def _convert(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, prepare_type(kind))
    except msgspec.ValidationError as error:
        raise Invalid(f"'{name}': {error}") from None


async def describe(gateway: Gateway, request: Request) -> Response:
    """Describe a transform job, with its counts and the time left."""
    return await _render_job(gateway, request.path_params["name"])


async def list_jobs(gateway: Gateway, request: Request) -> Response:
    """List the transform jobs, newest first."""
    now = gateway.context.clock.now()
    found = await gateway.context.store.read(lambda tx: use.find(tx, Filter(), 1000).items)
    jobs = [use.view(saved.body, gateway.progress(saved.name), now) for saved in found]
    return JSONResponse({"jobs": jobs})


@takes(JournaledBody)
async def stop(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Stop a transform job."""
    return await _command(gateway, request, body, use.stop)


@takes(JournaledBody)
async def resume(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Resume a transform job that was stopped or has failed."""
    return await _command(gateway, request, body, use.resume)


async def _command(gateway: Gateway, request: Request, body: dict[str, Any], change: JobCommand) -> Response:
    asked = use.describe_asker(parse_requester(request, body), parse_purpose(body).reason)
    context, name, now = gateway.context, request.path_params["name"], gateway.context.clock.now()
    await context.store.run(lambda tx: change(tx, name, now, asked))
    context.kick(FLEET_PREFIX + name)
    return await _render_job(gateway, name)


async def _render_job(gateway: Gateway, name: str) -> Response:
    job = (await gateway.context.store.read(lambda tx: use.get(tx, name))).body
    running = gateway.progress(name) if job.outcome is None else None
    return JSONResponse(use.view(job, running, gateway.context.clock.now()))
