"""The rollout as the target's own means could do it: what AWS's deployment guardrails can express, and who does
the rest.

tidegate's engine does every rollout as the spec has it. SageMaker's guardrails move whole instances of the new fleet,
wait an hour at most, and end within eight.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.features.planner import rules, units
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import Strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.units import format_percent

ENGINE = "tidegate's engine"


@dataclass(frozen=True)
class GuardrailFit:
    """``expressible``: a deployment guardrail of SageMaker can do this rollout. ``share`` is the part of the
    traffic (0
    to 1) that its first step really moves, ``nearest`` the rollout that is nearest to it where it cannot; both None
    where there are no guardrails. ``says`` are sentences for people, without a full stop."""

    expressible: bool
    share: float | None
    nearest: Mapping[str, str] | None
    says: tuple[str, ...]


def guardrail(where: Place, strategy: Strategy, size: FleetSize | OnDemandSize) -> GuardrailFit | None:
    """None for a job, which has no traffic."""
    if where.mode == "batch":
        return None
    name = table("targets")["targets"][where.target]["name"]
    if where.target != "sagemaker":
        own = (
            "weighted aliases, without alarms by itself"
            if where.target == "lambda"
            else "no such rollout by itself"
        )
        says = f"{name} has {own}: {ENGINE} shifts the traffic there, watches the alarms and rolls back"
        return GuardrailFit(False, None, None, (says,))
    if not isinstance(size, FleetSize):
        says = (
            "SageMaker has deployment guardrails for real-time and asynchronous endpoints only: for serverless"
            f" {ENGINE}"
            " shifts the traffic"
        )
        return GuardrailFit(False, None, None, (says,))
    if size.type.family == "inf1":
        says = f"SageMaker's guardrails update inf1 all at once: {ENGINE} shifts the traffic in steps"
        return GuardrailFit(False, 1.0, {"strategy": "all_at_once"}, (says,))
    return _fit_instances(strategy, max(1, size.least))


def _fit_instances(strategy: Strategy, count: int) -> GuardrailFit:
    part = strategy.first_part
    share = math.ceil(part * count - 1e-9) / count
    nearest, says = dict(strategy.rollout), []
    if part < 1 and share > rules.limit("guardrail_canary") / 100:
        nearest = {"strategy": "all_at_once", "final_bake": strategy.rollout["final_bake"]}
        says.append(
            f"a guardrail of SageMaker moves whole instances, and of {count} it can move none by itself: {ENGINE}"
            " shifts"
            f" {format_percent(part)} exactly; a guardrail needs {math.ceil(1 / part)} instances for that"
        )
    elif share > part + 1e-9:
        says.append(
            f"a guardrail of SageMaker moves whole instances: 1 of {count} is {format_percent(share)}, not"
            f" {format_percent(part)}, which"
            f" {math.ceil(1 / part)} instances would give; {ENGINE} shifts {format_percent(part)} exactly"
        )
    told = _wait(strategy)
    if told is not None and part < 1:
        wait, why = told
        fits = ""
        if "wait" in nearest:
            nearest["wait"] = wait
            fits = f"the nearest that fits has bakes of {wait}; "
        says.append(f"{why}: {fits}{ENGINE} keeps to {strategy.rollout['wait']}")
    return GuardrailFit(nearest == dict(strategy.rollout), share, nearest, tuple(says))


def _wait(strategy: Strategy) -> tuple[str, str] | None:
    """The longest bake that a guardrail can have, where this one is too long, and why."""
    longest = rules.limit("guardrail_wait")
    steps = math.ceil(1 / strategy.first_part - 1e-9) - 1 if strategy.kind == "linear" else 1
    final = units.seconds(strategy.rollout["final_bake"])
    left = rules.limit("guardrail_total") - final - units.seconds(table("compute")["provisioning"])
    if steps * strategy.wait > left:
        minutes = math.floor(min(longest, left / steps) / 60)
        hours = units.format_seconds(steps * strategy.wait + final)
        total = table("limits")["guardrail_total"]["value"]
        return f"{minutes}m", f"{hours} of bakes are no guardrail of SageMaker, which ends within {total}"
    if strategy.wait > longest:
        most = table("limits")["guardrail_wait"]["value"]
        return (
            most,
            f"a bake of {units.format_seconds(strategy.wait)} is no guardrail of SageMaker, which waits"
            f" {most} at most",
        )
    return None
