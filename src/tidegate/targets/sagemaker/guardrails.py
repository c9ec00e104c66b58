"""DeploymentConfig: a rollout of a spec as SageMaker's deployment guardrails can do it, with its real shares.

SageMaker shifts whole instances of the new fleet, waits an hour at most, and ends within eight. What does not fit is
refused here, before any call, with what would fit; the platform's engine (mode: engine) has none of these limits.
"""

from dataclasses import dataclass, replace

from tidegate.domain.rollout import (
    BlueGreen,
    CapacitySize,
    DeploymentConfig,
    RollingUpdate,
    SizeType,
    TrafficRouting,
)
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.calls import Findings, Params, RunningConfig, UpdateStep
from tidegate.targets.sagemaker.images import family
from tidegate.targets.sagemaker.options import SagemakerOptions

ENGINE = "mode: engine has no such limit"


@dataclass(frozen=True)
class NewFleet:
    """The new fleet: variant -> (instance type, instances); a serverless variant has an empty type."""

    variants: dict[str, tuple[str, int]]
    start_up: int
    """Seconds that downloading and starting may take."""

    @property
    def total(self) -> int:
        return sum(count for _, count in self.variants.values())


@dataclass(frozen=True)
class Guardrail:
    """``params`` is the DeploymentConfig without alarms. ``guarded``: SageMaker watches alarms during the update."""

    params: Params
    steps: tuple[UpdateStep, ...]
    waits: int
    guarded: bool = True


def compile_guardrail(
    asked: DeploymentConfig,
    fleet: NewFleet,
    serving: RunningConfig | None,
    options: SagemakerOptions,
    found: Findings,
) -> Guardrail | None:
    """Compile a rollout to a guardrail. None for an endpoint that SageMaker updates without any guardrail. For a
    creation (``serving`` None) it is what the next update would do; only its limits matter."""
    if exclusion := _exclusion(asked, fleet, serving):
        if _loses_something(asked) and not options.accept_all_at_once:
            found.refuse(
                f"rollout: {exclusion}, so SageMaker would update it all at once and without alarms; use mode:"
                " engine, or accept that with accept_all_at_once"
            )
        found.note(f"rollout: {exclusion}: the update is all at once, and no alarm rolls it back")
        return None
    if asked.rolling is not None:
        return _rolling(asked.rolling, asked, fleet, found)
    return _blue_green(asked.blue_green or BlueGreen(), asked, fleet, options, found)


def _loses_something(asked: DeploymentConfig) -> bool:
    """Whether an update all at once, without a bake and without alarms, is less than what is asked for."""
    policy = asked.blue_green or BlueGreen()
    steps = asked.rolling is not None or policy.routing is not TrafficRouting.ALL_AT_ONCE
    return steps or bool(asked.alarms) or policy.termination_wait > 0


def _exclusion(asked: DeploymentConfig, fleet: NewFleet, serving: RunningConfig | None) -> str:
    types = [type for type, _ in fleet.variants.values()]
    types += [one.instance_type for one in serving.variants] if serving else []
    if "" in types or (serving and any(one.serverless for one in serving.variants)):
        return "the endpoint is serverless"
    if any(family(each) == "inf1" for each in types):
        return "the endpoint runs on ml.inf1"
    if serving and {one.name for one in serving.variants} != set(fleet.variants):
        before = ", ".join(sorted(one.name for one in serving.variants))
        return f"the names of the variants change (it has {before})"
    if asked.rolling is not None and len(fleet.variants) > 1:
        return "a rolling update works for one variant"
    return ""


def _blue_green(
    asked: BlueGreen, whole: DeploymentConfig, fleet: NewFleet, options: SagemakerOptions, found: Findings
) -> Guardrail:
    wait = _bounded(asked.wait, "rollout.wait", found)
    final = _bounded(asked.termination_wait, "rollout.final_bake", found)
    routing, counts = asked.routing, [fleet.total]
    if routing is not TrafficRouting.ALL_AT_ONCE:
        assert asked.size is not None
        counts = _steps(asked.routing, asked.size, fleet, options, found)
        if len(counts) == 1:
            routing = TrafficRouting.ALL_AT_ONCE
    policy: Params = {"Type": routing.value, "WaitIntervalInSeconds": wait if len(counts) > 1 else 0}
    if routing is not TrafficRouting.ALL_AT_ONCE:
        assert asked.size is not None
        member = "CanarySize" if routing is TrafficRouting.CANARY else "LinearStepSize"
        policy[member] = {"Type": asked.size.type.value, "Value": asked.size.value}
    waits = wait * (len(counts) - 1) + final
    params = {
        "TrafficRoutingConfiguration": policy,
        "TerminationWaitInSeconds": final,
        "MaximumExecutionTimeoutInSeconds": _execution(whole, waits, fleet.start_up, 1, found),
    }
    bakes = [wait] * (len(counts) - 1) + [final]
    shares = [1.0] if len(counts) == 1 else _list_asked_shares(asked.size, fleet.total, len(counts))
    steps = tuple(
        UpdateStep(count, fleet.total, count / fleet.total, share, bake)
        for count, share, bake in zip(counts, shares, bakes, strict=True)
    )
    return Guardrail({"BlueGreenUpdatePolicy": params}, steps, waits)


def _steps(
    routing: TrafficRouting, size: CapacitySize, fleet: NewFleet, options: SagemakerOptions, found: Findings
) -> list[int]:
    """Return how many instances of the new fleet have traffic after each step; only the whole fleet where steps are
    impossible."""
    what, low = ("size", 1) if routing is TrafficRouting.CANARY else ("step", limits.LINEAR[0])
    total = fleet.total
    smallest = min((count for _, count in fleet.variants.values()), default=1)
    percent = size.value if size.type is SizeType.CAPACITY_PERCENT else 100 * size.value / max(1, total)
    if smallest < 2:
        if not options.accept_all_at_once:
            found.refuse(
                f"rollout.{what}: SageMaker shifts whole instances, and a variant has one; give it 2 or more, or"
                f" accept_all_at_once ({ENGINE})"
            )
        found.note("rollout: a variant has one instance, so all traffic shifts at once; the final bake stays")
        return [total]
    if not low <= percent <= limits.CANARY:
        found.refuse(
            f"rollout.{what}: {percent:g} % of the instances; a guardrail takes {low} to {limits.CANARY} % ({ENGINE})"
        )
        return [total]
    first = size.instances(total)
    asked = _part(size, total)
    if first / total > asked + 1e-9:
        text = (
            f"rollout.{what}: the first step is {first} of {total} instances, {first / total:.0%} of the traffic and"
            f" not {asked:.0%}"
        )
        found.note(text)
        if not options.accept_larger_steps:
            found.refuse(f"{text}; give it {_fitting(size, total)} instances, or accept_larger_steps ({ENGINE})")
    if routing is TrafficRouting.CANARY:
        return [first, total]
    return [*range(first, total, first), total]


def _fitting(size: CapacitySize, total: int) -> int:
    """The fewest instances from ``total`` on whose first step is no larger than asked."""
    return next(n for n in range(total, total + 101) if size.instances(n) / n <= _part(size, n) + 1e-9)


def _part(size: CapacitySize, total: int) -> float:
    """The part of the traffic that a spec's size means, to people: the engine does exactly that."""
    return size.value / 100 if size.type is SizeType.CAPACITY_PERCENT else min(1.0, size.value / total)


def _list_asked_shares(size: CapacitySize | None, total: int, steps: int) -> list[float]:
    assert size is not None
    part = _part(size, total)
    return [min(1.0, part * (index + 1)) for index in range(steps - 1)] + [1.0]


def _rolling(asked: RollingUpdate, whole: DeploymentConfig, fleet: NewFleet, found: Findings) -> Guardrail:
    wait = _bounded(asked.wait, "rollout.wait", found)
    low, high = limits.BATCH
    total = fleet.total
    for key, size, most in (("batch", asked.batch, high), ("rollback_batch", asked.rollback_batch, 100)):
        if size is None:
            continue
        percent = size.value if size.type is SizeType.CAPACITY_PERCENT else 100 * size.value / max(1, total)
        if not low <= percent <= most:
            found.refuse(
                f"rollout.{key}: {percent:g} % of the instances; SageMaker takes {low} to {most} % ({ENGINE})"
            )
    batch = asked.batch.instances(total)
    counts = [*range(batch, total, batch), total]
    waits = wait * len(counts)
    params: Params = {
        "MaximumBatchSize": {"Type": asked.batch.type.value, "Value": asked.batch.value},
        "WaitIntervalInSeconds": wait,
        "MaximumExecutionTimeoutInSeconds": _execution(whole, waits, fleet.start_up, len(counts), found),
    }
    if asked.rollback_batch is not None:
        back = asked.rollback_batch
        params["RollbackMaximumBatchSize"] = {"Type": back.type.value, "Value": back.value}
    shares = _list_asked_shares(asked.batch, total, len(counts))
    steps = tuple(
        UpdateStep(count, total, count / total, share, wait) for count, share in zip(counts, shares, strict=True)
    )
    return Guardrail({"RollingUpdatePolicy": params}, steps, waits)


def _bounded(seconds: int, what: str, found: Findings) -> int:
    if seconds > limits.GUARD_WAIT:
        found.refuse(
            f"{what}: {seconds} s; a guardrail waits {limits.GUARD_WAIT} s at most, which is the nearest ({ENGINE})"
        )
    return min(seconds, limits.GUARD_WAIT)


def _execution(whole: DeploymentConfig, waits: int, start_up: int, batches: int, found: Findings) -> int:
    """Waits and provisioning, unless the spec sets it: an update that runs out of time is rolled back."""
    low, high = limits.EXECUTION
    needed = waits + start_up * batches
    if whole.execution_timeout is not None:
        if not low <= whole.execution_timeout <= high:
            found.refuse(f"rollout.timeout: {whole.execution_timeout} s; SageMaker takes {low} to {high} s")
        if whole.execution_timeout < needed:
            found.note(
                f"rollout.timeout: {whole.execution_timeout} s; bakes and provisioning may take {needed} s, and an"
                " update that runs out of time is rolled back"
            )
        return min(high, max(low, whole.execution_timeout))
    if waits + low > high:
        found.refuse(f"rollout: its bakes take {waits} s, and SageMaker ends an update within {high} s ({ENGINE})")
    elif needed > high:
        found.note(f"rollout: {high - waits} s are left for provisioning, since SageMaker allows {high} s in all")
    return min(high, max(low, needed))


def with_retained_counts(fleet: NewFleet, serving: RunningConfig | None, retained: bool) -> NewFleet:
    """The new fleet starts with the counts that the old one has now, where these are retained."""
    if serving is None or not retained:
        return fleet
    counts = {one.name: one.count for one in serving.variants}
    variants = {name: (type, max(1, counts.get(name, count))) for name, (type, count) in fleet.variants.items()}
    return replace(fleet, variants=variants)
