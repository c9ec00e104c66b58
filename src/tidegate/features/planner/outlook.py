"""The outlook of a plan: the answers that would change it, the same load elsewhere, and bad days."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import TidegateError
from tidegate.features.cost.traffic import Load
from tidegate.features.planner import units
from tidegate.features.planner.answers import PlanAnswers, format_answer, parsed
from tidegate.features.planner.flip_points import FlipPoint, Replan, describe_plan
from tidegate.features.planner.pricing import scaling
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.tables import table
from tidegate.features.planner.units import format_money, format_percent

if TYPE_CHECKING:
    from tidegate.features.planner.plan import Plan

MOST_RELAXED = 3
MONTH = 30.4375 * 86_400
"""Seconds."""
ZONES = 3
"""Availability Zones over which SageMaker, EKS and ECS spread the instances of a fleet."""


@dataclass(frozen=True)
class Relaxation:
    """A change of answers, as their texts, that makes a plan of answers that have none; ``month`` in dollars."""

    changes: Mapping[str, str]
    month: float
    say: str


@dataclass(frozen=True)
class ElsewherePlan:
    """The same load on another target; ``month`` is None where it cannot be there."""

    target: str
    month: float | None
    say: str


@dataclass(frozen=True)
class Outlook:
    """``bad_days`` are sentences on a lost zone and a day of ten times the traffic."""

    flips: tuple[FlipPoint, ...] = ()
    elsewhere: tuple[ElsewherePlan, ...] = ()
    bad_days: tuple[str, ...] = field(default=())


def look_out(made: "Plan", replan: Replan) -> Outlook:
    """``replan`` makes a plan of other answers. The flip points come by how much they change the bill."""
    flips = [one.flip for one in made.sensitivities.values() if one.flip is not None]
    flips.sort(key=lambda one: -abs((math.inf if one.month is None else one.month) - made.bill.month))
    return Outlook(tuple(flips), tuple(_elsewhere(made, replan)), tuple(_bad_days(made)))


PLACES: Mapping[str, Mapping[str, Any]] = {
    "sagemaker": {"custom_logic": False, "event_driven": False},
    "eks": {"custom_logic": True, "platform": "kubernetes", "event_driven": False},
    "ecs": {"custom_logic": True, "platform": "containers", "event_driven": False},
    "lambda": {"custom_logic": False, "event_driven": True},
}
"""Answers that lead to each target."""


def _elsewhere(made: "Plan", replan: Replan) -> Iterator[ElsewherePlan]:
    for target, answers in PLACES.items():
        if target == made.place.target:
            continue
        name = table("targets")["targets"][target]["name"]
        try:
            plan = replan(replace(made.answers, instance_type="", **answers))
        except TidegateError as error:
            yield ElsewherePlan(target, None, f"{name}: {error.message}")
            continue
        if plan.place.target != target:
            yield ElsewherePlan(target, None, f"{name} cannot have it: it would be {plan.place.title}")
            continue
        lacks = table("targets")["targets"][target]["lacks"]
        month = plan.bill.month
        yield ElsewherePlan(
            target, month, f"{describe_plan(plan)} on {name}, about {format_money(month)} a month; {lacks}"
        )
    here = "this machine: nothing is billed; one zone, no further instances, no replacement while it is off"
    yield ElsewherePlan("local", 0.0, here)


def _bad_days(made: "Plan") -> Iterator[str]:
    """Replay the planned year with the instances that autoscaling has in each hour: a zone that is lost in any hour,
    and the ordinary day with the most requests at ten times its rate."""
    size, load = made.size, made.priced.load
    if not isinstance(size, FleetSize) or load is None or not load.requests:
        return
    busiest, zone = load.busiest, float(table("compute")["zone_availability"])
    answered, worst = _replay_lost_zones(size, load, zone)
    yield (
        f"a zone is lost at the peak: {size.most - math.ceil(size.most / ZONES)} of {size.most} instances are left,"
        f" which answer {format_percent(_served(size, size.most, (0,), busiest))} of {units.format_rate(busiest)}"
        f" until others have started; in the worst hour of the year {format_percent(worst)} are answered"
    )
    day = 24 * max(_ordinary_days(load), key=lambda one: sum(load.mean[24 * one : 24 * one + 24]))
    rates = [10 * rate for rate in load.mean[day : day + 24]]
    served = [min(rate, size.most * size.capacity) for rate in rates]
    short = sum(after < rate for after, rate in zip(served, rates, strict=True))
    share = sum(served) / sum(rates) if sum(rates) else 1.0
    yield (
        f"a day of ten times the ordinary rate: max {size.most} answer {format_percent(share)} of the requests; in"
        f" {short} of 24 hours there are more than they can answer"
    )
    yield (
        f"availability {math.floor(answered * 1e6) / 1e4:.4f}% as far as zones decide it, if each is there {zone:.2%}"
        " of the time and fails by itself, in any hour, and nothing starts elsewhere meanwhile"
    )


def _ordinary_days(load: Load) -> list[int]:
    """Return the days of the year without a peak; all, if each has one."""
    return [day for day, name in enumerate(load.days) if not name] or list(range(len(load.days)))


def _replay_lost_zones(size: FleetSize, load: Load, availability: float) -> tuple[float, float]:
    """Return the part of the year's requests that is answered if each zone is there so much of the time; and the
    smallest part of an hour's requests that is answered without one zone."""
    away = [lost for count in range(ZONES + 1) for lost in combinations(range(ZONES), count)]
    answered, worst = 0.0, 1.0
    for (mean, peak), hours in Counter(zip(load.mean, load.peak, strict=True)).items():
        count = scaling(size).needed(peak)
        served = {lost: _served(size, count, lost, peak) for lost in away}
        chances = (
            availability ** (ZONES - len(lost)) * (1 - availability) ** len(lost) * served[lost] for lost in away
        )
        answered += hours * mean * math.fsum(chances)
        worst = min(worst, *(served[zone,] for zone in range(ZONES))) if mean else worst
    return answered / sum(load.mean), worst


def _served(size: FleetSize, count: int, lost: Sequence[int], rate: float) -> float:
    """Return the part of the requests that the instances outside the lost zones answer. The first zones have one more
    than the others where the count cannot be divided."""
    left = sum((count + ZONES - 1 - zone) // ZONES for zone in range(ZONES) if zone not in lost)
    return min(1.0, left * size.capacity / rate) if rate else 1.0


def relax(answers: PlanAnswers, replan: Replan) -> tuple[Relaxation, ...]:
    """The smallest changes of answers that make a plan, the cheapest first."""
    found = []
    questions = {one["key"]: one for one in table("questions")}
    for row in table("relaxations"):
        changes = dict(row["set"])
        if "rate" in changes:  # of a job, whose records come one by one over the month
            if answers.individual_responses:
                continue
            changes["rate"] = float(f"{answers.records * answers.runs_per_month / MONTH:.3g}")
        values = {key: parsed(questions[key], value, stated=False) for key, value in changes.items()}
        if all(getattr(answers, key) == value for key, value in values.items()):
            continue
        try:
            plan = replan(replace(answers, **values))
        except TidegateError:
            continue
        shown = {key: format_answer(value) for key, value in changes.items()}
        told = ", ".join(f"{key}: {value or 'nothing'}" for key, value in shown.items())
        month = plan.bill.month
        say = f"{told}: {describe_plan(plan)}, about {format_money(month)} a month; {row['say']}"
        found.append((len(changes), month, Relaxation(shown, month, say)))
    return tuple(one for *_, one in sorted(found, key=lambda one: one[:2])[:MOST_RELAXED])
