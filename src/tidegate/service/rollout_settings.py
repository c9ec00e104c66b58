"""Compare the settings of a rollout in progress with requested ones. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, replace

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import (
    OF_PAIRS,
    Comparison,
    EvidenceConfig,
    FeatureTolerance,
    PairedTolerance,
    TextTolerance,
)
from tidegate.domain.rollout import Approval, CapacitySize, DeploymentConfig, SizeType


def differences(endpoint: Endpoint, deployment: DeploymentConfig, alarms: Iterable[Alarm]) -> list[str]:
    """Differences of the rollout to the requested version, in terms of a spec file: ``rollout.wait 3600s -> 25s``.
    Empty if there is no rollout or no difference."""
    under_way = endpoint.rollout
    if under_way is None:
        return []
    now = under_way.successor.wanted if under_way.successor is not None and under_way.cause else under_way
    before, after = settings(now.deployment), settings(deployment)
    found = [f"rollout.{key} {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]
    guards = {guard.name: guard for guard in now.guards}
    changed = [one.name for one in alarms if one.name in guards and not same_alarm(guards[one.name], one)]
    return found + [f"the definition of alarm {name}" for name in changed]


def settings(deployment: DeploymentConfig) -> dict[str, str]:
    """Keys of ``rollout`` in a spec, with their values as text."""
    green, rolling, held = deployment.blue_green, deployment.rolling, deployment.holdback
    part: CapacitySize | None
    if rolling is not None:
        strategy, wait, bake, part = "rolling", rolling.wait, 0, rolling.batch
    elif green is not None:
        strategy, wait, bake, part = green.routing.value.lower(), green.wait, green.termination_wait, green.size
    else:
        strategy, wait, bake, part = "all_at_once", 0, 0, None
    return {
        "strategy": strategy,
        "size": _size(part),
        "rollback_batch": _size(rolling.rollback_batch if rolling is not None else None),
        "wait": f"{wait}s",
        "final_bake": f"{bake}s",
        "holdback": "none" if held is None else f"{held.share / 100:g}% for {held.seconds}s",
        "stick": deployment.stick or "none",
        "timeout": "none" if deployment.execution_timeout is None else f"{deployment.execution_timeout}s",
        "alarms": ", ".join(deployment.alarms) or "none",
        "require_evidence": str(deployment.require_evidence).lower(),
        "approval": "none" if deployment.approval is None else _approval(deployment.approval),
        "evidence": "none" if deployment.evidence is None else _evidence(deployment.evidence),
    }


def _approval(rule: Approval) -> str:
    return f"{rule.role}, {'the author, too' if rule.author_may else 'not the author'}"


def _evidence(config: EvidenceConfig) -> str:
    tolerances = ", ".join(f"{one} {_tolerance(getattr(config, one.value))}" for one in config.compare)
    if not OF_PAIRS.isdisjoint(config.compare):
        tolerances += f"; copies for {config.copies}s; slices {', '.join(config.slices) or 'none'}"
    return (
        f"{tolerances}; false rollbacks {config.false_rollback_rate:.6g}; {config.action}{_on_features(config)};"
        f" at least {config.minimum};"
        f" {config.on_no_data} after {config.deadline}s; {config.on_rising} what is rising"
        f"{'' if config.judging is None else f'; judged by {config.judging}'}"
        f"{'' if config.replay is None else f'; replay of {config.replay}'}"
        f"{'' if config.assure is None else f'; assured {config.assure}'}"
    )


def _on_features(config: EvidenceConfig) -> str:
    return f" (features: {config.on_features})" if Comparison.FEATURES in config.compare else ""


def _tolerance(given: float | PairedTolerance | FeatureTolerance | TextTolerance) -> str:
    if isinstance(given, float):
        return f"{given:.6g}"
    values = ((name, "as usual" if value is None else f"{value:.6g}") for name, value in asdict(given).items())
    return "(" + ", ".join(f"{name} {text}" for name, text in values) + ")"


def same_alarm(old: Alarm, new: Alarm) -> bool:
    """Whether two alarms are equal except for their state."""
    kept = replace(
        old,
        configured_at=new.configured_at,
        state=new.state,
        state_reason=new.state_reason,
        state_reason_data=new.state_reason_data,
        state_updated_at=new.state_updated_at,
        state_changed_at=new.state_changed_at,
    )
    return kept == new


def _size(size: CapacitySize | None) -> str:
    if size is None:
        return "none"
    return f"{size.value}%" if size.type is SizeType.CAPACITY_PERCENT else str(size.value)
