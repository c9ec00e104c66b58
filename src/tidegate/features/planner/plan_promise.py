"""The promise of a plan's rollout by its own alarms and strategy, computed by ``rehearse.promise`` from the plan's
figures."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceAction, EvidenceConfig
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.metric import SAGEMAKER
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import BlueGreen, CapacitySize, DeploymentConfig, SizeType, TrafficRouting, Version
from tidegate.features.planner import rules, units
from tidegate.features.planner.flowchart import PlanNote
from tidegate.features.planner.strategy import WHOLE, Strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.units import seconds
from tidegate.features.rehearse.promise import (
    Baseline,
    LatencyDistribution,
    Promise,
    PromiseTerms,
    Proposal,
    Quantity,
    promise,
)
from tidegate.rollout.plan import compile_plan

MICROSECONDS = 1e6
COMPARED = {
    str(Comparison.ERRORS): "failures",
    str(Comparison.LATENCY): "slow answers",
    str(Comparison.PREDICTIONS): "predictions beyond the old median",
}
WORDS = {
    Quantity.ERRORS: "more failures",
    Quantity.REFUSALS: "more refused requests",
    Quantity.LATENCY: "later answers",
    Quantity.PREDICTIONS: "a shift of predictions",
}
_KUBERNETES = "eks"
_BY_SECOND = frozenset(OF_TRAFFIC)
_REPORTED = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS)
"""What is promised of what is compared without being asked for."""
_BY_MINUTE = frozenset({Comparison.ERRORS})
"""What is compared where CloudWatch counts the requests."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_VARIANT, _BEFORE, _AFTER = "AllTraffic", "before", "after"


def compute_promise(
    facts: Mapping[str, Any], strategy: Strategy, alarms: Mapping[str, Mapping[str, Any]], target: str
) -> Promise:
    """Compute the promise at the ordinary rate of the answers, with the assumptions of ``data/promise.yaml``. A
    planned spec asks for no evidence: what its target compares is published as metrics, and promised as such."""
    guards = [_alarm(key, alarm) for key, alarm in alarms.items()]
    old, new = _version(_BEFORE, 1), _version(_AFTER, 2)
    possible = _BY_SECOND if target == _KUBERNETES else _BY_MINUTE
    reported = EvidenceConfig(tuple(one for one in _REPORTED if one in possible), action=EvidenceAction.REPORT)
    deployment = DeploymentConfig(
        _blue_green(strategy),
        alarms=tuple(alarm.name for alarm in guards),
        evidence=reported if strategy.first_part < WHOLE else None,
    )
    steps = compile_plan(old, new, deployment, Capabilities())
    terms = PromiseTerms(possible=possible, replays=False)
    return promise(steps, guards, facts["rate"], _usual_baseline(facts), _matters(facts), terms)


def _usual_baseline(facts: Mapping[str, Any]) -> Baseline:
    usual = table("promise")["usual"]
    median = facts["processing_time"]
    slow = median * usual["p99_of_median"]
    if facts["latency"] is not None:
        slow = max(median * 1.01, min(slow, facts["latency"] * usual["p99_of_latency"]))
    spread = LatencyDistribution.lognormal(median * MICROSECONDS, slow * MICROSECONDS)
    return Baseline(usual["error_rate"], spread, refusal_rate=usual["refusal_rate"])


def _matters(facts: Mapping[str, Any]) -> dict[Quantity, float]:
    matters = table("promise")["matters"]
    wanted = {Quantity.ERRORS: float(rules.first(matters["errors"], facts)["rise"])}
    if rules.holds(table("alarms")["refused"]["when"], facts):
        wanted[Quantity.REFUSALS] = float(rules.first(matters["refused"], facts)["rise"])
    if facts["latency"] is not None and facts["mode"] in ("real_time", "serverless"):
        wanted[Quantity.LATENCY] = facts["latency"] * matters["latency"] * MICROSECONDS
    return wanted


def _blue_green(strategy: Strategy) -> BlueGreen:
    rollout = strategy.rollout
    size = rollout.get("size") or rollout.get("step")
    return BlueGreen(
        TrafficRouting[strategy.kind.upper()],
        int(seconds(rollout["wait"])) if "wait" in rollout else 0,
        None if size is None else CapacitySize(SizeType.CAPACITY_PERCENT, int(size.rstrip("%"))),
        int(seconds(rollout["final_bake"])),
    )


def _version(name: str, generation: int) -> Version:
    model = Model(name, (ContainerDefinition("planned"),), _NEVER)
    return Version(generation, name, (VariantSpec(_VARIANT, model, 1),))


def _alarm(key: str, given: Mapping[str, Any]) -> Alarm:
    """Make an alarm on the new version from the spec's section, as a deployment would."""
    limit = str(given["above"])
    threshold = float(limit[:-1]) / 100 if limit.endswith("%") else seconds(limit) * MICROSECONDS
    return Alarm(
        name=key,
        namespace=SAGEMAKER,
        metric=given["metric"],
        dimensions={"EndpointName": _BEFORE, "VariantName": _VARIANT, "EndpointConfigName": _AFTER},
        statistic=given["statistic"],
        period=int(seconds(given["period"])),
        evaluation_periods=given["periods"],
        datapoints_to_alarm=given["datapoints"],
        threshold=threshold,
        comparison=ComparisonOperator.GREATER,
        configured_at=_NEVER,
    )


def lines(promise: Promise) -> tuple[str, ...]:
    """Describe the promise in sentences without a full stop."""
    said = [f"a rollout that goes well takes {units.format_seconds(promise.seconds)}"]
    for one in promise.wanted:
        rise = f"{_size(one.quantity, one.size)} {WORDS[one.quantity]}"
        if not one.seen:
            chance = one.first
            said.append(f"{rise}: seen in the first bake in {chance:.0%} of cases only")
            continue
        said.append(f"{rise}: seen in the first bake; {_describe_exposure(one.requests, one.most_requests)}")
    said.append(f"a good version is turned back in {promise.false_alarm:.2%} of rollouts")
    return (*said, *_evidence(promise))


def _evidence(promise: Promise) -> Iterator[str]:
    """Describe which kinds of evidence there are, and what none of them detects."""
    blind: dict[tuple[str, str], list[str]] = {}
    for one in promise.kinds:
        if one.smallest is None:
            blind.setdefault((one.blind, one.proposal), []).append(one.kind)
            continue
        after = f"after {one.count:,.0f} {one.counted} ({units.format_seconds(one.seconds or 0)})"
        harm = f"{one.smallest:.2%} more {COMPARED[one.kind]}"
        yield f"evidence by {one.kind}, as a metric: {harm}, seen {after} with {promise.power:.0%}"
    for (why, proposal), kinds in blind.items():
        yield f"no evidence by {', '.join(kinds)}: {why}" + (f"; {proposal}" if proposal else "")
    if not promise.kinds:
        yield "no evidence: both versions never answer side by side, so nothing is compared; a canary would"


def _describe_exposure(mean: float, most: float | None) -> str:
    """Describe how many requests meet a bad version: the usual case first, then the mean, with why it may be the
    larger."""
    if most is None:
        return f"{mean:,.0f} requests meet the bad version on average"
    if mean <= most:
        return f"{mean:,.0f} requests meet the bad version on average, and at most {most:,.0f} in 95 of 100 cases"
    return (
        f"in 95 of 100 cases at most {most:,.0f} requests meet the bad version; the average is {mean:,.0f}, as in the"
        " other 5 it is seen a bake or more later and many more do"
    )


def notes(promise: Promise) -> tuple[PlanNote, ...]:
    """List the wanted faults that the first bake does not detect and the alarms that roll back good versions too
    often, with what would do better."""
    made = []
    for one in promise.wanted:
        better = "; ".join(_proposal(each, one.quantity) for each in one.proposals)
        change = better or "no number of requests can: say what is usual, or watch another metric"
        if not one.seen:
            rise = f"{_size(one.quantity, one.size)} {WORDS[one.quantity]}"
            made.append(PlanNote("promise", f"the first bake cannot see {rise} at this rate", change))
        elif one.proposals:
            say = f"alarms turn back a good version in {promise.false_alarm:.0%} of rollouts"
            made.append(PlanNote("promise", say, change))
    return tuple(made)


def _proposal(one: Proposal, quantity: Quantity) -> str:
    seen, bake = f"sees it in {one.power:.0%} of cases", units.format_seconds(one.bake or 0)
    if one.what == "bake":
        return f"a first bake of {bake} {seen}"
    if one.what == "canary":
        return f"a first part of {one.share} % {seen}"
    if one.what == "sample":
        return (
            f"{one.requests:,} requests, counted by themselves, tell in {one.power:.0%} of cases: a shadow that gets"
            f" all of them for {bake} before the rollout, or a replay of as many"
        )
    limit = _size(quantity, one.threshold or 0.0)
    alarm = f"an alarm above {limit}, {one.datapoints} of {one.periods} periods of {one.period} s"
    if one.what == "bake_and_alarm":
        return f"a first bake of {bake} with {alarm} {seen}"
    return f"{alarm}, {seen}"


def _size(quantity: Quantity, size: float) -> str:
    if quantity is Quantity.LATENCY:
        return units.format_seconds(size / MICROSECONDS)
    return f"{size * 100:.3g} %" if quantity.is_rate else f"{size:.3g}"
