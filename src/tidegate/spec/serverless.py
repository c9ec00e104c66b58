"""The ``serverless`` section of a spec."""

from tidegate.domain.fleet import Serverless
from tidegate.spec import structures
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.units import duration, memory

_PATH: KeyPath = ("serverless",)
_NOT_WITH = (
    "instances",
    "instance_type",
    "routing",
    "memory",
    "devices",
    "max_in_flight",
    "queue_time",
    "variants",
    "shadow",
)
_NUMBERS = (("max_concurrency", 1), ("provisioned", 0), ("per_instance", 1))


def bounds(spec: structures.SpecFile) -> Serverless | None:
    """Serverless limits; None if the spec is not serverless. Raises SpecError."""
    given = spec.serverless
    if given is None:
        return None
    empty = structures.SpecFile(endpoint=spec.endpoint)
    for key in _NOT_WITH:
        if getattr(spec, key) != getattr(empty, key):
            raise SpecError((key,), "cannot be combined with serverless")
    if spec.model is not None and spec.model.multi_model is not None:
        raise SpecError(("model", "multi_model"), "cannot be combined with serverless")
    if spec.rollout is not None and spec.rollout.strategy == "rolling":
        raise SpecError(
            ("rollout", "strategy"), "rolling cannot be combined with serverless, which has no instances"
        )
    for key, least in _NUMBERS:
        if getattr(given, key) < least:
            raise SpecError((*_PATH, key), f"{getattr(given, key)}: must be at least {least}")
    if given.provisioned > given.max_concurrency:
        raise SpecError((*_PATH, "provisioned"), f"{given.provisioned}: more than max_concurrency")
    size, idle = memory(given.memory, (*_PATH, "memory")), duration(given.idle_after, (*_PATH, "idle_after"))
    if size < 1:
        raise SpecError((*_PATH, "memory"), "must be above 0")
    if idle <= 0:
        raise SpecError((*_PATH, "idle_after"), "must be above 0")
    return Serverless(size, given.max_concurrency, given.provisioned, idle, given.per_instance)
