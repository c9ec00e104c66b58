"""The promise of a plan's rollout by its own alarms and strategy, computed by ``rehearse.promise`` from the plan's
figures."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceAction, EvidenceConfig
from tidegate.domain.rollout import RolloutPlan, TrafficRouting
from tidegate.features.planner import rules, units
from tidegate.features.planner.tables import table
from tidegate.features.rehearse.promise import (
    Baseline,
    LatencyDistribution,
    Promise,
    PromiseTerms,
    Quantity,
    RolloutSetting,
    promise,
    promise_assurance,
)
from tidegate.rollout.desired_plan import make_plan

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
_KUBERNETES, _SAGEMAKER = "eks", "sagemaker"
_BY_SECOND = frozenset(OF_TRAFFIC)
_REPORTED = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS)
"""What is promised of what is compared without being asked for."""
_BY_MINUTE = frozenset({Comparison.ERRORS})
"""What is compared where CloudWatch counts the requests."""


def compute_promise(facts: Mapping[str, Any], wish: DesiredDeployment, target: str) -> Promise:
    """Compute the promise of the planned deployment at the ordinary rate of the answers, with the assumptions of
    ``data/promise.yaml``. A planned spec asks for no evidence: what its target compares is published as metrics, and
    promised as such."""
    steps, terms = compile_rollout(wish, target)
    return promise(steps, wish.alarms, facts["rate"], usual_baseline(facts), matters(facts), terms)


def refuse_harm(facts: Mapping[str, Any], wish: DesiredDeployment, target: str) -> None:
    """Raise Invalid for a harm that the target cannot compare, or that the traffic of the answers cannot rule out
    before the deadline."""
    evidence = wish.deployment.evidence
    if evidence is None or evidence.assure is None:
        return
    possible = _list_comparisons(target)
    if not possible.issuperset(evidence.compare):
        lacking = ", ".join(one for one in evidence.compare if one not in possible)
        raise Invalid(
            f"harm: target {target} does not compare the {lacking} of two versions; Kubernetes (eks) does"
        )
    steps, terms = compile_rollout(wish, target)
    setting = RolloutSetting(steps, facts["rate"], usual_baseline(facts), terms.startup)
    try:
        promise_assurance(evidence, setting, terms)
    except Invalid as error:
        raise Invalid(f"harm: {error.message.removeprefix('evidence.assure: ')}") from None


def compile_rollout(wish: DesiredDeployment, target: str) -> tuple[RolloutPlan, PromiseTerms]:
    """Compile the rollout of a planned deployment over an earlier version, and the terms of its promise."""
    possible = _list_comparisons(target)
    reported = EvidenceConfig(tuple(one for one in _REPORTED if one in possible), action=EvidenceAction.REPORT)
    deployment = wish.deployment
    blue_green = deployment.blue_green
    if deployment.evidence is not None:
        return make_plan(wish), PromiseTerms(possible=possible, replays=False)
    if deployment.rolling or (blue_green and blue_green.routing is not TrafficRouting.ALL_AT_ONCE):
        deployment = replace(deployment, evidence=reported)
    return make_plan(replace(wish, deployment=deployment)), PromiseTerms(possible=possible, replays=False)


def _list_comparisons(target: str) -> frozenset[Comparison]:
    if target == _SAGEMAKER:
        return frozenset()
    return _BY_SECOND if target == _KUBERNETES else _BY_MINUTE


def usual_baseline(facts: Mapping[str, Any]) -> Baseline:
    """A good version: the time of a request is its median, and the slowest hundredth that of the plan."""
    usual = table("promise")["usual"]
    median, slow = facts["processing_time"], max(facts["slowest"], 1.01 * facts["processing_time"])
    spread = LatencyDistribution.lognormal(median * MICROSECONDS, slow * MICROSECONDS)
    return Baseline(usual["error_rate"], spread, refusal_rate=usual["refusal_rate"])


def matters(facts: Mapping[str, Any]) -> dict[Quantity, float]:
    """The harm that must be detected, by quantity."""
    book = table("promise")["matters"]
    wanted = {Quantity.ERRORS: float(rules.first(book["errors"], facts)["rise"])}
    if rules.holds(table("alarms")["refused"]["when"], facts):
        wanted[Quantity.REFUSALS] = float(rules.first(book["refused"], facts)["rise"])
    if facts["latency"] is not None and facts["mode"] in ("real_time", "serverless"):
        wanted[Quantity.LATENCY] = facts["latency"] * book["latency"] * MICROSECONDS
    return wanted


def format_rise(quantity: Quantity, size: float) -> str:
    """``2 % more failures``."""
    return f"{_size(quantity, size)} {WORDS[quantity]}"


def lines(promise: Promise) -> tuple[str, ...]:
    """Describe the promise in sentences without a full stop."""
    said = [f"a rollout that goes well takes {units.format_seconds(promise.seconds)}"]
    for one in promise.wanted:
        rise = format_rise(one.quantity, one.size)
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
        used = "" if one.asked and promise.harms else ", as a metric"
        yield f"evidence by {one.kind}{used}: {harm}, seen {after} with {promise.power:.0%}"
    for (why, proposal), kinds in blind.items():
        yield f"no evidence by {', '.join(kinds)}: {why}" + (f"; {proposal}" if proposal else "")
    for cost in promise.harms:
        after = "" if cost.seconds is None else f" ({units.format_seconds(cost.seconds)})"
        yield f"the harm to {cost.harm} is ruled out after about {cost.count or 0:,} {cost.counted}{after}"
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


def _size(quantity: Quantity, size: float) -> str:
    if quantity is Quantity.LATENCY:
        return units.format_seconds(size / MICROSECONDS)
    return f"{size * 100:.3g} %" if quantity.is_rate else f"{size:.3g}"
