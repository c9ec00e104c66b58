"""The ``async`` section of a spec."""

from collections.abc import Callable

from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.errors import Invalid
from tidegate.spec import structures
from tidegate.spec.problem import SpecError
from tidegate.spec.units import duration
from tidegate.storage.addresses import check_output, check_sink

MAX_CONCURRENT = 1000


def config(given: structures.AsyncSpec) -> AsyncConfig:
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


def check(spec: structures.SpecFile) -> None:
    """Raises SpecError for admission keys, which do not apply to an asynchronous endpoint."""
    for key in ("max_in_flight", "queue_time", "quotas"):
        if spec.asynchronous is not None and getattr(spec, key) is not None:
            raise SpecError((key,), "cannot be combined with async, whose requests wait in a queue on disk")


def _check_value(check: Callable[[str, str], None], value: str, key: str) -> None:
    try:
        check(value, key)
    except Invalid as error:
        raise SpecError(("async", key), str(error)) from None
