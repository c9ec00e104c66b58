"""Recommendation jobs in the native API."""

from dataclasses import asdict
from typing import Any, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.domain.recommendation import RecommendationJob, RecommendationLimits
from tidegate.features.recommender import service as use
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import EmptyBody, takes
from tidegate.gateway.request_parsing import NAME
from tidegate.ports.store import Filter, Tx

MAX_LISTED = 200
ROLE = "arn:aws:iam::000000000000:role/tidegate"
"""SageMaker's description of a job has a role; nothing here uses it."""


class RecommendationBody(TypedDict, total=False):
    """``sample``: address of an archive with sample requests."""

    name: str | None
    model: str
    sample: str
    content_type: str
    limits: RecommendationLimits
    types: list[str]


@takes(RecommendationBody)
async def create(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Create a job for the registered model ``model``. ``limits`` has the members of ``RecommendationLimits``."""
    context, now = gateway.context, gateway.context.clock.now()
    name = body.get("name") or context.ids.new("recommend")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Invalid(f"invalid job name {name!r}: names are 1 to 63 letters, digits and inner hyphens")
    limits = _convert("limits", body.get("limits", {}), RecommendationLimits)
    types = _convert("types", body.get("types", []), tuple[str, ...])
    texts = {key: _convert(key, body.get(key, ""), str) for key in ("model", "sample", "content_type")}

    def work(tx: Tx) -> None:
        job = RecommendationJob(
            name,
            use.get_model(tx, texts["model"]),
            texts["sample"],
            now,
            content_type=texts["content_type"],
            limits=limits,
            types=types,
            wire=_describe_for_wire(texts),
        )
        use.create(tx, job, {}, runnable=context.runnable, now=now)

    await context.store.run(work)
    context.kick(use.PREFIX + name)
    return await _render_job(gateway, name, 201)


def _describe_for_wire(texts: dict[str, str]) -> dict[str, object]:
    """Describe, as SageMaker's API does, a job that was not created through it."""
    payload: dict[str, object] = {"SamplePayloadUrl": texts["sample"]}
    if texts["content_type"]:
        payload["SupportedContentTypes"] = [texts["content_type"]]
    container = {"ContainerConfig": {"PayloadConfig": payload}}
    return {"JobType": "Default", "RoleArn": ROLE, "InputConfig": {"ModelName": texts["model"], **container}}


def _convert(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, prepare_type(kind))
    except msgspec.ValidationError as error:
        raise Invalid(f"'{name}': {error}") from None


async def list_jobs(gateway: Gateway, request: Request) -> Response:
    """List the recommendation jobs, newest first."""
    found = await gateway.context.store.read(lambda tx: use.find(tx, Filter(), MAX_LISTED).items)
    return JSONResponse({"jobs": [job_view(saved.body) for saved in found]})


async def describe(gateway: Gateway, request: Request) -> Response:
    """Describe a recommendation job, with what it has measured."""
    return await _render_job(gateway, request.path_params["name"])


@takes(EmptyBody)
async def stop(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Stop a recommendation job."""
    context, name, now = gateway.context, request.path_params["name"], gateway.context.clock.now()
    await context.store.run(lambda tx: use.stop(tx, name, now))
    context.kick(use.PREFIX + name)
    return await _render_job(gateway, name)


async def _render_job(gateway: Gateway, name: str, status: int = 200) -> Response:
    job = (await gateway.context.store.read(lambda tx: use.get(tx, name))).body
    return JSONResponse(job_view(job), status)


def job_view(job: RecommendationJob) -> dict[str, Any]:
    """Describe a job for JSON. Times are ISO 8601, latencies seconds, rates requests per second."""
    ended = None if job.ended_at is None else job.ended_at.isoformat()
    return {
        "job": job.name,
        "status": job.status.value,
        "reason": job.reason,
        "model": job.model.name,
        "sample": job.sample,
        "limits": asdict(job.limits),
        "types": list(job.types),
        "created": job.created_at.isoformat(),
        "started": None if job.started_at is None else job.started_at.isoformat(),
        "ended": ended,
        "steps": [asdict(step) for step in job.steps],
        "found": [asdict(one) for one in job.found],
    }
