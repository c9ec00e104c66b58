"""Small versions and deployment configs for tests and benchmarks, in one line each."""

from collections.abc import Mapping
from datetime import UTC, datetime

from tidegate.domain.assurance import ASSUMED
from tidegate.domain.evidence import Finding, Verdict
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.observation import GuardCheck
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import (
    BlueGreen,
    CapacitySize,
    DeploymentConfig,
    RollingUpdate,
    SizeType,
    TrafficRouting,
    Version,
)
from tidegate.simulation.world import START


def version(
    name: str,
    counts: int | Mapping[str, int] = 2,
    weights: Mapping[str, float] | None = None,
    created_at: datetime = START,
    shadow: int = 0,
) -> Version:
    """Version of a config: variant name -> instances (an int: one variant, AllTraffic). Each has models of its own.
    ``shadow``: instances of a shadow variant, Shadow."""
    sizes = {"AllTraffic": counts} if isinstance(counts, int) else counts
    variants = []
    for variant, count in {**sizes, **({"Shadow": shadow} if shadow else {})}.items():
        container = ContainerDefinition("sample", data_url=f"file:///models/{name}/{variant}")
        model = Model(f"{name}-{variant}", (container,), created_at)
        weight, shaded = (weights or {}).get(variant, 1.0), variant == "Shadow"
        variants.append(VariantSpec(variant, model, count, weight, shadow=shaded))
    return Version(0, name, tuple(variants))


def percent(value: int) -> CapacitySize:
    return CapacitySize(SizeType.CAPACITY_PERCENT, value)


def instances(value: int) -> CapacitySize:
    return CapacitySize(SizeType.INSTANCE_COUNT, value)


def all_at_once(bake: int = 0, alarms: tuple[str, ...] = ()) -> DeploymentConfig:
    return DeploymentConfig(blue_green=BlueGreen(termination_wait=bake), alarms=alarms)


def canary(
    size: CapacitySize, wait: int, bake: int = 0, alarms: tuple[str, ...] = ("alarm",), evidence: bool = False
) -> DeploymentConfig:
    routing = BlueGreen(TrafficRouting.CANARY, wait, size, bake)
    return DeploymentConfig(blue_green=routing, alarms=alarms, require_evidence=evidence)


def linear(
    size: CapacitySize, wait: int, bake: int = 0, alarms: tuple[str, ...] = ("alarm",), evidence: bool = False
) -> DeploymentConfig:
    routing = BlueGreen(TrafficRouting.LINEAR, wait, size, bake)
    return DeploymentConfig(blue_green=routing, alarms=alarms, require_evidence=evidence)


def rolling(
    batch: CapacitySize,
    wait: int,
    back: CapacitySize | None = None,
    alarms: tuple[str, ...] = ("alarm",),
    evidence: bool = False,
) -> DeploymentConfig:
    return DeploymentConfig(rolling=RollingUpdate(batch, wait, back), alarms=alarms, require_evidence=evidence)


def complete_evidence(now: datetime, stage: int = 0) -> GuardCheck:
    """Evidence that everything up to now was counted and evaluated, and proof of a version that is not worse in the
    stage."""
    return GuardCheck(
        now, datetime.min.replace(tzinfo=UTC), now, Verdict(Finding.PASS, stage, "as assumed", harms=(ASSUMED,))
    )
