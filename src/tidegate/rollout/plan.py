"""Compile a deployment config to the stages of a plan. Pure; refuses what is contradictory or impossible.

SageMaker's documents only speak of a "portion" of the traffic. The share of a stage is the exact percentage for
CAPACITY_PERCENT (blue/green runs the whole new fleet, so a 5 % canary of two instances gets 5 %). It is the active
part of the new version's instances for INSTANCE_COUNT, for rolling, and on a target that shifts whole instances, as
SageMaker does. A percentage that is 100/n cut to a whole number (33, 14, ...) makes n linear steps, not n and a
remainder of 1 %.

Waits lie between steps; the termination wait follows the last one as the final bake.
"""

from collections.abc import Iterator
from dataclasses import replace

from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import OF_PAIRS, Comparison, EvidenceConfig, gets_copies_first
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import (
    BlueGreen,
    CapacitySize,
    DeploymentConfig,
    RollingUpdate,
    RolloutPlan,
    RolloutStage,
    SizeType,
    TrafficRouting,
    Version,
    part_of,
)
from tidegate.domain.traffic import WHOLE

START_UP_MARGIN = 60
"""Seconds allowed for a batch of replicas beyond the download and start-up times of its variants."""

_LACKS = {
    Comparison.ERRORS: "it does not count them",
    Comparison.LATENCY: "it has percentiles of whole minutes, and not how many requests were slower than a threshold",
    Comparison.PREDICTIONS: "it does not see what is answered",
    Comparison.PAIRED: "it makes no copies of requests for a new version",
    Comparison.FEATURES: "it makes no copies of requests for a new version",
    Comparison.TEXT: "it does not see what is answered",
    Comparison.JUDGE: "it makes no copies of requests for a new version",
}
"""Why a target compares no more than some of it."""


def compile_plan(
    old: Version | None, new: Version, deployment: DeploymentConfig, can: Capabilities
) -> RolloutPlan:
    """Compile the plan from ``old`` to ``new``. A first version (``old`` None) is simply started, but its deployment
    config is checked all the same, so that a bad one is refused before an update needs it. Raises Invalid."""
    if deployment.blue_green and deployment.rolling:
        raise Invalid("BlueGreenUpdatePolicy and RollingUpdatePolicy exclude each other; give one of them")
    _check_versions(old, new, deployment)
    if not can.guards_every_fleet:
        _check_guarded(old, new, deployment)
    rolling = deployment.rolling
    plan = _rolling(new, rolling) if rolling else _blue_green(new, deployment.blue_green, can.whole_instances)
    if deployment.stick:
        _check_stick(new, stages=plan.stages, can=can)
    plan = replace(plan, stages=_add_holdback(plan.stages, deployment))
    stages = tuple(_round_shares(plan.stages, can))
    if deployment.evidence is not None:
        _check_compared(replace(plan, evidence=deployment.evidence), can)
        _check_paired(deployment.evidence, new)
        _check_assured(deployment, stages, can)
        if gets_copies_first(deployment.evidence):
            first = replace(stages[0], share=0, bake=deployment.evidence.copies)
            stages = (first, *stages)
            plan = replace(plan, stages=stages)
    plan = replace(
        plan,
        stages=stages,
        execution_timeout=_execution_timeout(plan, deployment),
        provisioning_timeout=_provisioning_timeout(old, new),
        alarms=deployment.alarms,
        require_evidence=deployment.require_evidence,
        evidence=deployment.evidence,
        approval=deployment.approval,
        stick=deployment.stick,
    )
    if old is None:
        return replace(
            plan,
            stages=(RolloutStage(WHOLE, 0),),
            rolling=False,
            execution_timeout=None,
            alarms=(),
            evidence=None,
            stick="",
            rollback_parts=(),
        )
    if plan.rolling and deployment.rolling and deployment.rolling.rollback_batch:
        count = deployment.rolling.rollback_batch.instances(old.total_instances)
        return replace(plan, rollback_parts=tuple(_parts(count, old.total_instances)))
    return plan


def _check_versions(old: Version | None, new: Version, deployment: DeploymentConfig) -> None:
    if not any(new.weights.values()):
        raise Invalid(f"config {new.config_name}: at least one variant needs an instance and a weight above 0")
    if deployment.rolling and len(new.production) > 1:
        raise Invalid(
            f"RollingUpdatePolicy works for one variant; config {new.config_name} has {len(new.production)}"
        )
    plain = deployment.rolling is None and (deployment.blue_green or BlueGreen()).plain
    if deployment.rolling and new.serverless:
        raise Invalid(f"RollingUpdatePolicy replaces instances; config {new.config_name} is serverless")
    if old is None or plain:
        return
    before, after = ([v.name for v in version.production] for version in (old, new))
    if sorted(before) != sorted(after):
        raise Invalid(
            f"variant names must stay the same for this kind of update: {old.config_name} has"
            f" {', '.join(before)}; {new.config_name} has {', '.join(after)}"
        )


def _check_compared(plan: RolloutPlan, can: Capabilities) -> None:
    """Refuse evidence that nothing could supply. Raises Invalid."""
    assert plan.evidence is not None
    if not can.compares:
        raise Invalid("evidence: this target does not count what a comparison of two versions needs; leave it out")
    if plan.evidence.replay is not None and not can.keeps_models:
        raise Invalid("evidence.replay: this target keeps no model data to answer rows with; leave it out")
    for one in plan.evidence.compare:
        if one not in can.compares:
            usable = ", ".join(sorted(can.compares))
            raise Invalid(f"evidence: this target cannot compare {one}: {_LACKS[one]}; write compare: [{usable}]")
    if plan.evidence.deadline <= can.counted_after:
        raise Invalid(
            f"evidence: this target counts a request up to {can.counted_after} s later: the deadline of"
            f" {plan.evidence.deadline} s must be longer"
        )
    if plan.stages[0].share >= WHOLE:
        raise Invalid(
            "evidence compares two versions side by side: shift traffic in steps, such as CANARY or LINEAR"
        )


def _check_assured(deployment: DeploymentConfig, stages: tuple[RolloutStage, ...], can: Capabilities) -> None:
    """Refuse an assurance whose first traffic is more than a version may have before it, unless copies and labelled
    rows alone can give it. Raises Invalid."""
    config = deployment.evidence
    if config is None or config.assure is None:
        return
    if config.assure.ramp:
        _check_ramp(deployment, can)
    if stages[0].share <= config.assure.before:
        return
    harm = config.assure.harm
    if harm.errors is not None or harm.latency is not None or not gets_copies_first(config):
        raise Invalid(
            f"evidence.assure: the first stage has {stages[0].share / 100:g} % of the traffic, and harm is to be"
            f" ruled out before {config.assure.before / 100:g} %: make the first stage smaller, or raise 'before'"
        )


def _check_ramp(deployment: DeploymentConfig, can: Capabilities) -> None:
    """Refuse a choice of stages where shares cannot be chosen, or what they did is not known in time. Raises
    Invalid."""
    green, why = deployment.blue_green, ""
    if green is None or green.routing is not TrafficRouting.LINEAR:
        why = "the stages to choose from are those of strategy linear, in small steps"
    elif can.whole_instances:
        why = "this target shifts traffic by whole instances only"
    elif can.counted_after:
        why = f"this target counts a request up to {can.counted_after} s later, and more may have failed meanwhile"
    elif deployment.stick:
        why = "with stick, clients are counted, and a budget is of requests"
    if why:
        raise Invalid(f"evidence.assure.ramp: auto cannot be kept here: {why}; write ramp: fixed")


def _check_stick(new: Version, stages: tuple[RolloutStage, ...], can: Capabilities) -> None:
    """Raises Invalid where nothing could keep a client on a version."""
    if not can.sticks:
        raise Invalid("stick: this target cannot keep clients on one version: leave it out")
    if new.asynchronous is not None:
        raise Invalid("stick: requests of an asynchronous endpoint come from its queue, without their headers")
    if len(stages) == 1:
        raise Invalid(
            "stick: traffic moves all at once, and no client could stay: shift it in steps, such as CANARY"
        )


def _check_paired(config: EvidenceConfig, new: Version) -> None:
    """Refuse comparisons of pairs where no copies can be made. Raises Invalid."""
    kinds = [one.value for one in config.compare if one in OF_PAIRS]
    if not kinds:
        return
    what = f"evidence: {' and '.join(kinds)}"
    if new.serverless or any(variant.asynchronous is not None for variant in new.production):
        raise Invalid(f"{what}: no copies are made of serverless and asynchronous requests; leave it out")
    if Comparison.FEATURES not in config.compare:
        return
    if not all(variant.model.serial for variant in new.production):
        raise Invalid("evidence: features compares the stages of pipelines, and this model is none; leave it out")


def _check_guarded(old: Version | None, new: Version, deployment: DeploymentConfig) -> None:
    """Refuse guardrails for endpoints that SageMaker updates all at once without watching alarms."""
    plain = deployment.rolling is None and (deployment.blue_green or BlueGreen()).plain
    if plain and not deployment.alarms:
        return
    for version in (new, *([old] if old else [])):
        if version.serverless:
            raise Invalid(
                f"config {version.config_name} is serverless, and SageMaker updates such an endpoint all at once"
                " without alarms: leave DeploymentConfig out"
            )
        for variant in version.production:
            if variant.instance_type.startswith("ml.inf1."):
                raise Invalid(
                    f"config {version.config_name} runs on {variant.instance_type}, and SageMaker updates such an"
                    " endpoint all at once without alarms: leave DeploymentConfig out"
                )


def _blue_green(new: Version, config: BlueGreen | None, whole_instances: bool) -> RolloutPlan:
    config = config or BlueGreen()
    shares = [WHOLE]
    if config.routing is not TrafficRouting.ALL_AT_ONCE:
        what = "CanarySize" if config.routing is TrafficRouting.CANARY else "LinearStepSize"
        if config.size is None:
            raise Invalid(f"{config.routing} needs {what}")
        for variant in new.production:
            _check_portion(what, config.size, variant.instance_count)
        size = config.size
        if whole_instances:
            if new.total_instances < 2:
                raise Invalid(
                    f"SageMaker shifts traffic by whole instances, and config {new.config_name} has"
                    f" {new.total_instances}: give it 2 or more, or shift ALL_AT_ONCE"
                )
            size = CapacitySize(SizeType.INSTANCE_COUNT, size.instances(new.total_instances))
        shares = [_share(size, 1, new), WHOLE]
        if config.routing is TrafficRouting.LINEAR:
            shares = list(_linear(size, new))
    stages = [RolloutStage(share, config.wait) for share in shares[:-1]]
    return RolloutPlan(stages=(*stages, RolloutStage(WHOLE, config.termination_wait)))


def _add_holdback(stages: tuple[RolloutStage, ...], config: DeploymentConfig) -> tuple[RolloutStage, ...]:
    """Add the stage in which the old version keeps a share, if any, before the one without it. Raises Invalid."""
    held, last = config.holdback, stages[-1]
    if held is None:
        return stages
    if config.rolling is not None or len(stages) == 1:
        raise Invalid("holdback needs both versions whole, and steps of traffic: choose CANARY or LINEAR")
    if last.bake:
        raise Invalid("holdback takes the place of the final bake: leave that out")
    if WHOLE - held.share <= stages[-2].share:
        raise Invalid(
            f"holdback: the last step has {stages[-2].share / 100:g} % of the traffic, which leaves no room for"
            f" {held.share / 100:g} % on the old version: hold less back"
        )
    return (*stages[:-1], RolloutStage(WHOLE - held.share, held.seconds, holdback=True), last)


def _linear(size: CapacitySize, new: Version) -> Iterator[int]:
    step = 1
    last = 100 // size.value if size.type is SizeType.CAPACITY_PERCENT else None
    if last is not None and 100 // last != size.value:
        last += 1
    while step != last and (share := _share(size, step, new)) < WHOLE:
        yield share
        step += 1
    yield WHOLE


def _share(size: CapacitySize, times: int, version: Version) -> int:
    if size.type is SizeType.CAPACITY_PERCENT:
        return min(WHOLE, size.value * times * WHOLE // 100)
    active = sum(min(v.instance_count, size.value * times) for v in version.production)
    return part_of(active, version.total_instances)


def _rolling(new: Version, config: RollingUpdate) -> RolloutPlan:
    total = new.total_instances
    _check_portion("MaximumBatchSize", config.batch, total, low=5)
    if config.rollback_batch and config.rollback_batch.value < 1:
        raise Invalid(f"RollbackMaximumBatchSize must be 1 or more, not {config.rollback_batch.value}")
    parts = list(_parts(config.batch.instances(total), total))
    stages = [
        RolloutStage(share=part, bake=config.wait, new_part=part, old_part=WHOLE - before)
        for before, part in zip([0, *parts], parts, strict=False)
    ]
    return RolloutPlan(stages=tuple(stages), rolling=True)


def _parts(batch: int, total: int) -> Iterator[int]:
    for count in range(batch, total + batch, batch):
        yield part_of(count, total)


def _check_portion(what: str, size: CapacitySize, total: int, low: int = 0) -> None:
    """Allow at most half of the instances in one step: SageMaker's limit for all three kinds."""
    percent = size.value if size.type is SizeType.CAPACITY_PERCENT else 100 * size.value / max(1, total)
    if size.value < 1 or not low <= percent <= 50:
        bounds = f"{low} to 50 %" if low else "at most 50 %"
        given = (
            f"{size.value} %" if size.type is SizeType.CAPACITY_PERCENT else f"{size.value} of {total} instances"
        )
        raise Invalid(f"{what} must be {bounds} of a variant's instances, and {given} is not")


def _round_shares(stages: tuple[RolloutStage, ...], can: Capabilities) -> Iterator[RolloutStage]:
    """Round shares down to what the target can split. Raises Invalid if a step would vanish."""
    before = 0
    for stage in stages:
        share = stage.share - stage.share % can.smallest_share
        if share <= before:
            raise Invalid(
                f"this target splits traffic in steps of {can.smallest_share / 100:g} %;"
                f" a step to {stage.share / 100:g} % is too fine for it"
            )
        yield replace(stage, share=share)
        before = share


def _execution_timeout(plan: RolloutPlan, deployment: DeploymentConfig) -> int | None:
    waits = sum(stage.bake for stage in plan.stages)
    if deployment.execution_timeout is not None and deployment.execution_timeout <= waits:
        raise Invalid(
            f"MaximumExecutionTimeoutInSeconds {deployment.execution_timeout} must exceed the waits of the"
            f" update, which add up to {waits} s"
        )
    return deployment.execution_timeout


def _provisioning_timeout(old: Version | None, new: Version) -> int:
    variants = new.variants + (old.variants if old else ())
    return int(max(v.download_timeout + v.startup_timeout for v in variants)) + START_UP_MARGIN
