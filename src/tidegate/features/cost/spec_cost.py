"""Reads from a spec file what determines its cost: the pricing option, the instance count, and the load of each
instance."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidegate.cli.artifacts import prepare
from tidegate.cli.spec_file import read_spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import ProductionVariant
from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import FastPolicy, PredefinedMetricType, ScalingPolicy, TargetTracking
from tidegate.features.cost.workload import WorkloadSpec, way_of

GIB = 2**30
LOCAL_TYPE = "local"
"""Instance type if the spec names none."""
ASSUMED_TYPE = "ml.c5.xlarge"
"""Priced in its place."""


@dataclass(frozen=True)
class SpecCost:
    """``figures`` are the spec's values for names of ``--with``. ``assumed``: whether ``way`` rests on an instance
    type that the spec does not name."""

    way: str
    least: int
    most: int
    figures: Mapping[str, Any]
    assumed: bool = False
    workload: WorkloadSpec | None = None


def read_spec_cost(path: Path, seconds: float, target: float) -> SpecCost:
    """Read a spec. ``seconds`` per request convert concurrency to requests per second; ``target`` is the fraction of
    an instance's capacity that autoscaling uses. Raises Invalid for a bad spec and for several variants."""
    loaded = read_spec(path)
    wish = loaded.wish(datetime.now(UTC), prepare(loaded, path.parent, must_exist=False))
    if len(wish.config.variants) > 1:
        names = ", ".join(variant.name for variant in wish.config.variants)
        raise Invalid(
            f"{path}: several variants ({names}); compute the cost of each with --instance, --min, --max and --rps"
        )
    variant = wish.config.variants[0]
    workload: WorkloadSpec | None = wish.sections.get("workload")
    figures: dict[str, Any] = {"alarms": len(wish.alarms)}
    (kind, of), least, most = _serving_way(wish, variant, figures)
    way = way_of(workload or WorkloadSpec(), kind, of)
    if wish.autoscaling is not None and variant.serverless is None:
        least, most = wish.autoscaling.minimum, wish.autoscaling.maximum
        planned = [_planned_rate(policy, seconds) for policy in wish.autoscaling.policies]
        known = [one for one in planned if one is not None]
        if known:
            figures["per_instance"] = min(known) / target
    assumed = variant.serverless is None and variant.instance_type == LOCAL_TYPE
    if workload is not None:
        figures |= {**workload.figures, "region": workload.region, "year": workload.year}
    return SpecCost(str(way), least, max(1, most), figures, assumed, workload)


def _serving_way(
    wish: DesiredDeployment, variant: ProductionVariant, figures: dict[str, Any]
) -> tuple[tuple[str, str], int, int]:
    if variant.serverless is not None:
        figures["provisioned"] = variant.serverless.provisioned
        return ("serverless", f"{variant.serverless.memory / GIB:g}GB"), 1, 1
    instance = ASSUMED_TYPE if variant.instance_type == LOCAL_TYPE else variant.instance_type
    if wish.job is not None:
        figures["jobs_on"] = wish.job.instances
        return ("batch", instance), 1, 1
    queued = wish.config.asynchronous
    if queued is not None:
        figures["at_once"] = queued.max_concurrent
        least = variant.instance_count if queued.idle_after is None else 0
        return ("async", instance), least, variant.instance_count
    return ("real-time", instance), variant.instance_count, variant.instance_count


def _planned_rate(policy: ScalingPolicy, seconds: float) -> float | None:
    """Requests per second that a policy plans for each instance; None if it does not say."""
    if isinstance(policy, FastPolicy):
        return policy.in_flight / seconds
    if isinstance(policy, TargetTracking):
        if policy.metric is PredefinedMetricType.INVOCATIONS:
            return policy.target / 60
        if policy.metric is PredefinedMetricType.CONCURRENT:
            return policy.target / seconds
    return None
