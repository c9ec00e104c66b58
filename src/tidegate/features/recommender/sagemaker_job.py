"""The same by SageMaker's own inference recommender: what is asked of it, and what its answer means. Pure.

A job of type Advanced loads the instance types that are named and stops at the objective; one of type Default chooses
the types itself and knows no objective: what is slower is left out of its answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.recommender.configurations import Objective
from tidegate.features.recommender.estimates import Carrier, figures

ENDED = ("COMPLETED", "FAILED", "STOPPED")
LOAD_TESTED = 95.0
"""The one percentile that SageMaker's load tests stop at."""
SHORTEST_PHASE, LONGEST_PHASE = 120, 3600
LONGEST_JOB = 18_000


@dataclass(frozen=True, kw_only=True)
class SageMakerJobSpec:
    """``model`` is a model's name or the ARN of a model package's version; ``sample`` an address that SageMaker can
    read. ``seconds``: of the whole job, or None for SageMaker's own time. ``more`` is for ContainerConfig, as it is
    there."""

    name: str
    model: str
    role: str
    sample: str
    objective: Objective
    types: tuple[str, ...] = ()
    seconds: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.types and self.objective.percent != LOAD_TESTED:
            raise Invalid(
                f"--slo p{self.objective.percent:g}: load tests of SageMaker stop at p95 alone: say p95=TIME"
            )
        if self.objective.percent not in (LOAD_TESTED, 99.0):
            raise Invalid(f"--slo p{self.objective.percent:g}: SageMaker knows p95 and p99")
        if self.seconds is not None and not 1 <= self.seconds <= LONGEST_JOB:
            raise Invalid(f"--budget of {self.seconds} s: a job of SageMaker may take {LONGEST_JOB // 3600} hours")


@dataclass(frozen=True, kw_only=True)
class SageMakerCarrier(Carrier):
    """One recommendation: ``latency`` in seconds at that rate, ``environment`` of the model."""

    latency: float
    environment: Mapping[str, str]


def request(asked: SageMakerJobSpec) -> dict[str, Any]:
    """Make the request of CreateInferenceRecommendationsJob."""
    payload = {"SamplePayloadUrl": asked.sample}
    more = dict(asked.more)
    if "SupportedContentTypes" in more:
        payload["SupportedContentTypes"] = more.pop("SupportedContentTypes")
    given: dict[str, Any] = {
        "ContainerConfig": {"PayloadConfig": payload, "SupportedEndpointType": "RealTime", **more}
    }
    package = asked.model.startswith("arn:") and ":model-package/" in asked.model
    given["ModelPackageVersionArn" if package else "ModelName"] = asked.model
    if asked.seconds is not None:
        given["JobDurationInSeconds"] = asked.seconds
    made = {"JobName": asked.name, "JobType": "Default", "RoleArn": asked.role, "InputConfig": given}
    if asked.types:
        phase = min(LONGEST_PHASE, max(SHORTEST_PHASE, (asked.seconds or 0) // 4))
        given["EndpointConfigurations"] = [{"InstanceType": each} for each in asked.types]
        given["TrafficPattern"] = {
            "TrafficType": "PHASES",
            "Phases": [
                {"InitialNumberOfUsers": users, "SpawnRate": 1, "DurationInSeconds": phase} for users in (1, 3)
            ],
        }
        limit = {"Percentile": "P95", "ValueInMilliseconds": max(1, round(asked.objective.seconds * 1000))}
        made |= {"JobType": "Advanced", "StoppingConditions": {"ModelLatencyThresholds": [limit]}}
    return made


def rank_recommendations(
    recommendations: Sequence[Mapping[str, Any]], objective: Objective, rate: float
) -> list[SageMakerCarrier]:
    """The lowest month first, of those within the objective. Raises Invalid where there is none."""
    every = [one for one in (_read_recommendation(each, rate) for each in recommendations) if one is not None]
    within = [one for one in every if one.latency <= objective.seconds]
    if not within:
        nearest = f"; the nearest was {min(one.latency for one in every) * 1000:g} ms" if every else ""
        raise Invalid(f"no instance type answers within {objective.seconds * 1000:g} ms{nearest}: allow more time")
    return sorted(within, key=lambda one: (one.month, one.per_thousand, one.instance_type))


def _read_recommendation(given: Mapping[str, Any], rate: float) -> SageMakerCarrier | None:
    """Read a recommendation; None for a serverless one, and for one that carries no requests."""
    metrics, kind = given.get("Metrics", {}), given["EndpointConfiguration"].get("InstanceType")
    if kind is None or not metrics.get("MaxInvocations"):
        return None
    parameters = given["ModelConfiguration"].get("EnvironmentParameters", [])
    return SageMakerCarrier(
        instance_type=kind,
        latency=metrics["ModelLatency"] / 1000,
        environment={each["Key"]: each["Value"] for each in parameters},
        **figures(metrics["CostPerHour"], metrics["MaxInvocations"] / 60, rate),
    )
