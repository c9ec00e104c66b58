"""The ``async`` section of a spec."""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.spec.problem import SpecError
from tidegate.spec.sections import Draft
from tidegate.spec.unit_texts import duration_text
from tidegate.spec.units import duration
from tidegate.spec.value_types import Duration, about
from tidegate.storage.addresses import check_output, check_sink

MAX_CONCURRENT = 1000


class AsyncSpec(Struct, forbid_unknown_fields=True):
    """Requests are queued, and responses written to storage."""

    output: Annotated[str, about("Where responses are written.", "s3://answers/fraud", "file:///srv/answers")]
    failure: Annotated[str, about("Where errors are written.", "s3://answers/failed")] | None = None
    max_concurrent: Annotated[
        int, Meta(description="Concurrent requests per instance.", extra_json_schema={"minimum": 1})
    ] = 4
    success: Annotated[
        list[str],
        Meta(description="Notified of successes: topics (arn:aws:sns:...), webhooks (https://...), files."),
    ] = []
    error: Annotated[list[str], Meta(description="Notified of failures.")] = []
    include_response: Annotated[bool, Meta(description="Whether notifications include small responses.")] = False
    retries: Annotated[
        int,
        Meta(description="Further tries after a 5xx status or a timeout.", extra_json_schema={"minimum": 0}),
    ] = 0
    idle_after: (
        Annotated[Duration, about("Scale to zero after the queue was empty for this long. Default: never.")] | None
    ) = None


def build_async(given: AsyncSpec, draft: Draft) -> AsyncConfig:
    """Raises SpecError, also for admission keys, which do not apply to an asynchronous endpoint."""
    for key in ("max_in_flight", "queue_time", "quotas"):
        if getattr(draft.spec, key) is not None:
            raise SpecError((key,), "cannot be combined with async, whose requests wait in a queue on disk")
    _check_value(check_output, given.output, "output")
    if given.failure is not None:
        _check_value(check_output, given.failure, "failure")
    for key in ("success", "error"):
        for sink in getattr(given, key):
            _check_value(check_sink, sink, key)
    if not 1 <= given.max_concurrent <= MAX_CONCURRENT:
        raise SpecError(("async", "max_concurrent"), f"{given.max_concurrent}: must be 1 to {MAX_CONCURRENT}")
    if given.retries < 0:
        raise SpecError(("async", "retries"), f"{given.retries}: must be 0 or more")
    idle = None if given.idle_after is None else duration(given.idle_after, ("async", "idle_after"))
    return AsyncConfig(
        output=given.output,
        failure=given.failure,
        max_concurrent=given.max_concurrent,
        success=tuple(given.success),
        error=tuple(given.error),
        include=("success",) if given.include_response else (),
        retries=given.retries,
        idle_after=idle,
    )


def render_async(deployed: DesiredDeployment) -> dict[str, Any]:
    """The inverse of ``build_async``, without defaults."""
    given = deployed.config.asynchronous
    assert given is not None
    usual = AsyncConfig(given.output)
    made: dict[str, Any] = {"output": given.output}
    made |= {} if given.failure is None else {"failure": given.failure}
    for key in ("max_concurrent", "retries"):
        if getattr(given, key) != getattr(usual, key):
            made[key] = getattr(given, key)
    sinks = (("success", given.success), ("error", given.error))
    made |= {key: list(addresses) for key, addresses in sinks if addresses}
    made |= {"include_response": True} if given.include else {}
    return made if given.idle_after is None else {**made, "idle_after": duration_text(given.idle_after)}


def _check_value(check: Callable[[str, str], None], value: str, key: str) -> None:
    try:
        check(value, key)
    except Invalid as error:
        raise SpecError(("async", key), str(error)) from None
