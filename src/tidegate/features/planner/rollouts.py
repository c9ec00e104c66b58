"""The rollout that the target performs: what is wanted, within what the target can do.

tidegate's engine shifts any part of the traffic on EKS, ECS and Lambda. SageMaker's deployment guardrails shift whole
instances of the new fleet, wait an hour at most, and end within eight; they do not exist for serverless endpoints.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidegate.features.planner import rules, units
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import Strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.units import format_percent

_UNGUARDED: dict[str, Any] = {"strategy": "all_at_once", "alarms": []}
_MINUTE = 60


@dataclass(frozen=True)
class PerformedRollout:
    """``strategy`` is what the target performs, ``wanted`` what the answers ask for. ``says`` are sentences for
    people on the difference, without a full stop. ``longest`` is the longest bake that the target can have, in
    seconds."""

    strategy: Strategy
    wanted: Strategy
    says: tuple[str, ...] = ()
    longest: int = 86_400

    def with_bake(self, seconds: int) -> "PerformedRollout":
        """Return the same rollout with a longer bake after its steps, or at its end where it has no steps."""
        key = "wait" if "wait" in self.strategy.rollout else "final_bake"
        rollout = {**self.strategy.rollout, key: units.format_spec_time(seconds)}
        says = f"the bake is {units.format_seconds(seconds)}, so that its alarms see what matters"
        return replace(self, strategy=replace(self.strategy, rollout=rollout), says=(*self.says, says))


def perform(
    wanted: Strategy, where: Place, size: FleetSize | OnDemandSize, facts: Mapping[str, Any]
) -> PerformedRollout:
    """Fit a rollout to its target. That of a job stays as it is: it says which part to score first."""
    if where.mode == "batch":
        return PerformedRollout(wanted, wanted)
    if where.target != "sagemaker":
        name = table("targets")["targets"][where.target]["name"]
        says = f"tidegate's engine shifts the traffic on {name}, watches the alarms and rolls back"
        return PerformedRollout(wanted, wanted, (says,))
    if not isinstance(size, FleetSize) or size.type.family == "inf1":
        what = "a serverless endpoint" if not isinstance(size, FleetSize) else "ml.inf1"
        says = (
            f"SageMaker updates {what} all at once: no bake, and no alarm rolls back; try the version by a"
            f" replay, or under"
            " another name, before"
        )
        return PerformedRollout(replace(wanted, kind="all_at_once", rollout=_UNGUARDED), wanted, (says,))
    return _guarded(wanted, max(1, size.least), size, facts)


def _guarded(wanted: Strategy, count: int, size: FleetSize, facts: Mapping[str, Any]) -> PerformedRollout:
    longest = int(rules.limit("guardrail_wait"))
    final = min(longest, int(units.seconds(wanted.rollout["final_bake"])))
    wait = min(longest, int(wanted.wait))
    if _must_roll(facts, size):
        return _rolling(wanted, count, wait, size, facts)
    if wanted.first_part >= 1:
        rollout = {**wanted.rollout, "final_bake": units.format_spec_time(final)}
        return PerformedRollout(replace(wanted, rollout=rollout), wanted, longest=longest)
    if count == 1:
        rollout = {"strategy": "all_at_once", "final_bake": units.format_spec_time(max(wait, final))}
        says = (
            f"SageMaker shifts whole instances, and there is one: all traffic moves at once, and the alarms may still"
            f" roll it back for {units.format_seconds(max(wait, final))}; a first step of half the traffic needs 2"
            f" instances, one of {format_percent(wanted.first_part)} needs {math.ceil(1 / wanted.first_part)}"
        )
        if facts["mode"] == "real_time":
            says += ", or mode: engine in the settings of target sagemaker, with a controller that runs"
        made = replace(wanted, kind="all_at_once", rollout=rollout)
        return PerformedRollout(made, wanted, (says,), longest)
    return _stepwise(wanted, count, (wait, final), size)


def _stepwise(wanted: Strategy, count: int, bakes: tuple[int, int], size: FleetSize) -> PerformedRollout:
    wait, final = bakes
    longest = int(rules.limit("guardrail_wait"))
    linear = wanted.kind == "linear"
    first = max(1, math.floor(wanted.first_part * count + 1e-9))
    if linear:
        first = max(first, math.ceil(rules.limit("guardrail_step") / 100 * count - 1e-9))
        # Provisioning needs the ten minutes that a deployment has at the least.
        left = rules.limit("guardrail_total") - rules.limit("guardrail_least") - final
        steps = math.ceil(count / first) - 1
        longest = min(longest, int(left / steps) // _MINUTE * _MINUTE)
        wait = min(wait, longest)
    exact = not size.scales and first == wanted.first_part * count
    key = "step" if linear else "size"
    rollout = {
        **wanted.rollout,
        key: wanted.rollout[key] if exact else str(first),
        "wait": units.format_spec_time(wait),
        "final_bake": units.format_spec_time(final),
    }
    made = replace(wanted, rollout=rollout, instances=count)
    says = []
    if made.first_part > wanted.first_part + 1e-9:
        says.append(
            f"SageMaker shifts whole instances: {first} of {count} are {format_percent(made.first_part)} of the"
            f" traffic; {format_percent(wanted.first_part)} need {math.ceil(1 / wanted.first_part)} instances"
        )
    if wait < wanted.wait:
        says.append(
            f"a guardrail of SageMaker waits {table('limits')['guardrail_wait']['value']} at most and ends within"
            f" {table('limits')['guardrail_total']['value']}: the bakes are {units.format_seconds(wait)}, not"
            f" {units.format_seconds(wanted.wait)}"
        )
    if linear and size.scales:
        says += _say_most(first, wait, final, size)
    return PerformedRollout(made, wanted, tuple(says), longest)


def _say_most(first: int, wait: int, final: int, size: FleetSize) -> list[str]:
    """Up to how many instances the steps fit a guardrail: an update starts from as many as run."""
    left = rules.limit("guardrail_total") - rules.limit("guardrail_least") - final
    most = first * min(int(100 // rules.limit("guardrail_step")), int(left // wait) + 1)
    if most >= size.most:
        return []
    return [
        f"deploy while at most {most} of {size.most} instances run: more steps do not fit SageMaker's eight hours"
    ]


def _must_roll(facts: Mapping[str, Any], size: FleetSize) -> bool:
    """Whether both fleets at a time are more than there may be: blue/green doubles the instances."""
    here = {**facts, "least": size.least, "most": size.most, "doubled": 2 * size.most}
    return rules.holds(table("strategies")["rolling"]["when"], here)


def _rolling(
    wanted: Strategy, count: int, wait: int, size: FleetSize, facts: Mapping[str, Any]
) -> PerformedRollout:
    book = table("strategies")["rolling"]
    batch = max(1, count // 4)
    steps = math.ceil(count / batch)
    left = rules.limit("guardrail_total") - rules.limit("guardrail_least") * steps
    longest = max(_MINUTE, min(int(rules.limit("guardrail_wait")), int(left / steps) // _MINUTE * _MINUTE))
    wait = min(wait, longest)
    rollout = {"strategy": "rolling", "batch": str(batch), "wait": units.format_spec_time(wait)}
    made = replace(wanted, kind="rolling", rollout=rollout, instances=count, because=book["because"])
    says = (
        f"{batch} of {count} instances are replaced at a time, so the quota needs {size.most + batch} instances"
        f" and not"
        f" {2 * size.most}; a rollback takes as long as new instances take to start"
    )
    if facts["quota_known"] and size.most + batch > facts["quota"]:
        says += f"; it is {facts['quota']}: ask Service Quotas for {size.most + batch} before the first update"
    return PerformedRollout(made, wanted, (says,), longest)
