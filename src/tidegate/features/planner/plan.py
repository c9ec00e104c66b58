"""From answers to a plan: a pure function over the data files and the catalogue of prices."""

import math
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property
from itertools import accumulate
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.features.cost.bill import MONTHS, Bill, Tariff
from tidegate.features.cost.traffic import Load
from tidegate.features.cost.workload import render_structure
from tidegate.features.planner import assumptions as derived
from tidegate.features.planner import pricing, rules, specs
from tidegate.features.planner.alarm_solver import solve
from tidegate.features.planner.alternatives import Alternative, choices
from tidegate.features.planner.answers import PlanAnswers
from tidegate.features.planner.calendar import calendar
from tidegate.features.planner.candidates import generation, work_time
from tidegate.features.planner.flip_points import FlipSearch, Sensitivity
from tidegate.features.planner.flowchart import FlowchartStep, Place, PlanNote, place, walk
from tidegate.features.planner.hardware import is_arm
from tidegate.features.planner.outlook import Outlook, Relaxation, look_out, relax
from tidegate.features.planner.plan_promise import compute_promise, refuse_harm
from tidegate.features.planner.rollouts import PerformedRollout, perform
from tidegate.features.planner.rows import PlanDecision, PlanRow, find_largest, is_unknown_there, rows
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import Strategy, strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.target_check import compile_plan, parse_planned
from tidegate.features.planner.traffic import traffic
from tidegate.features.planner.units import format_money
from tidegate.features.rehearse.promise import Promise
from tidegate.prices import HOME, Catalogue

OLD = 6
"""Months from which on prices should be renewed."""
MUCH = 0.3
"""Part of a bill from which on a line other than instances is named in a note."""
ESTIMATE = "estimate:"
"""How the source of a price begins that is in no list."""
EVEN = "cloudwatch/alarm-month"
"""What costs the same in every month."""


@dataclass(frozen=True)
class PriceDates:
    """Days of the oldest and the newest price of a bill. ``stand_ins`` are items whose price is of another region
    than ``region``, ``estimates`` those whose sources do not agree."""

    region: str
    oldest: date
    newest: date
    stand_ins: tuple[str, ...]
    estimates: tuple[str, ...]

    def describe(self, today: date) -> str:
        """``2026-01-31 to 2026-09-06, the oldest 10 months old``; from half a year on with how to renew them."""
        span = f"{self.oldest}" if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        months = (today.year - self.oldest.year) * 12 + today.month - self.oldest.month
        age = "this month's" if months <= 0 else "1 month old" if months == 1 else f"{months} months old"
        renew = " ('tidegate cost prices update')" if months >= OLD else ""
        return f"{span}, the oldest {age}{renew}"


def _price_dates(bill: Bill, region: str) -> PriceDates:
    rates = {line.rate.item: line.rate for line in bill.lines}.values()
    dates = sorted(rate.date for rate in rates)
    return PriceDates(
        region,
        dates[0],
        dates[-1],
        tuple(sorted(rate.item for rate in rates if rate.stands_in)),
        tuple(sorted(rate.item for rate in rates if not rate.certain)),
    )


@dataclass(frozen=True)
class Plan:
    """A deployment that can run, with its reasons. ``rows`` are the six of the summary, ``spec`` is what ``tidegate
    deploy`` takes, or ``tidegate batch`` where no endpoint is needed. ``rollout`` is what the target performs.
    ``facts`` are the answers with all that follows from them, ``assumed`` the values that were not answered, by key;
    ``digest`` is in the spec's tags."""

    answers: PlanAnswers
    facts: Mapping[str, Any]
    steps: tuple[FlowchartStep, ...]
    place: Place
    size: FleetSize | OnDemandSize
    rollout: PerformedRollout
    bill: Bill
    rows: tuple[PlanRow, ...]
    notes: tuple[PlanNote, ...]
    assumed: Mapping[str, str]
    overrides: tuple[str, ...]
    spec: Mapping[str, Any]
    digest: str
    priced: pricing.PricedSize = field(repr=False)
    catalogue: Catalogue = field(repr=False)

    @property
    def prices(self) -> PriceDates:
        """Dates of the prices of the bill."""
        return _price_dates(self.bill, self.answers.region)

    @cached_property
    def choices(self) -> tuple[Alternative, ...]:
        """Other ways and what they would cost. Computed when asked for, as is ``promise``."""
        return choices(self.facts, self.place, self.priced, self.catalogue)

    @cached_property
    def promise(self) -> Promise | None:
        """The faults that the rollout can detect, and what a bad version may do until then; None for a job. Computed
        when asked for: it takes up to some seconds."""
        if self.place.mode == "batch":
            return None
        return compute_promise(self.facts, parse_planned(self.spec), self.place.target)

    @cached_property
    def sensitivities(self) -> Mapping[str, Sensitivity]:
        """How the plan depends on its answers, by key. Computed when asked for, on plans whose alarms are not solved
        for."""
        return search_flips(self.catalogue).list_sensitivities(self.answers)

    @cached_property
    def assumptions(self) -> tuple[str, ...]:
        """Sentences on what was assumed, each with the values with which the plan is the same or is another."""
        found = {key: one.change for key, one in self.sensitivities.items()}
        return tuple(f"{text}; {found[key]}" if found.get(key) else text for key, text in self.assumed.items())

    @cached_property
    def outlook(self) -> Outlook:
        """The answers that would change the plan, the same load elsewhere, and bad days. Computed when asked for."""
        return look_out(self, lambda other: _plan(other, self.catalogue))

    @property
    def strategy(self) -> Strategy:
        """How a new version gets its traffic, as the target performs it."""
        return self.rollout.strategy


def plan(answers: PlanAnswers, catalogue: Catalogue) -> Plan:
    """Make a plan from answers. Raises Invalid for answers that contradict each other or ask for too much,
    UnknownInstanceType, UnknownRegion and MissingPrice; each says what to change."""
    made = _plan(answers, catalogue, solved=True)
    needed = _compile(made)
    over = _over_budget(made, catalogue)
    others = (*needed, *_dearer_hardware(made))
    return replace(made, notes=(*(() if over is None else (over,)), *made.notes, *others))


def _compile(made: Plan) -> tuple[PlanNote, ...]:
    """Return what the target needs first. Raises Invalid for a plan that the target, or a harm that was named, does
    not allow."""
    wish = parse_planned(made.spec)
    refuse_harm(made.facts, wish, made.place.target)
    return compile_plan(wish, made.place, made.answers.region)


def search_flips(catalogue: Catalogue) -> FlipSearch:
    """Return a search for what changes plans, with the cheap part of the plan: alarms are not solved for."""
    return FlipSearch(lambda answers: _plan(answers, catalogue))


def relaxations(answers: PlanAnswers, catalogue: Catalogue) -> tuple[Relaxation, ...]:
    """The three smallest changes of answers that make a plan where ``plan`` refuses; none where it does not. Their
    alarms are not solved for, which changes neither the price nor the mode."""

    def replan(other: PlanAnswers) -> Plan:
        made = _plan(other, catalogue)
        _compile(made)
        return made

    return relax(answers, replan)


def _plan(answers: PlanAnswers, catalogue: Catalogue, *, solved: bool = False) -> Plan:
    """``solved``: with alarms that are solved for, which takes longer than all the rest."""
    facts = derived.find_facts(answers)
    derived.refuse_contradictions(facts)
    steps = walk(facts)
    where = place(facts, steps[-1].leads_to)
    facts |= {"mode": where.mode, "target": where.target}
    priced = pricing.priced(facts, where, catalogue)
    size, bill = priced.size, priced.bill
    facts |= _choose_facts(facts, size)
    how = perform(strategy(facts), where, size, facts)
    digest = specs.digest(asdict(answers), pricing.version(bill))
    peaks = calendar(traffic(facts), where.mode, size, facts["timezone"])
    beside, _ = pricing.extras(facts, Tariff(catalogue, facts["region"]))
    planned_for = render_structure(pricing.workload(facts, size, beside))
    spec = specs.spec(facts, where, size, how.strategy, digest, peaks) | {"workload": planned_for}
    spec |= specs.evidence_section(facts, how.strategy)
    unseen: tuple[PlanNote, ...] = ()
    if solved and "alarms" in spec:
        how, spec, unseen = _solve_alarms(facts, where, how, spec)
    decided = PlanDecision(facts, steps, where, size, how, bill, peaks)
    return Plan(
        answers=answers,
        facts=facts,
        steps=steps,
        place=where,
        size=size,
        rollout=how,
        bill=bill,
        rows=rows(decided),
        notes=(
            *where.notes,
            *_notes(facts),
            *unseen,
            *_bill_notes(decided),
            *(PlanNote("cost", text, "") for text in bill.warnings),
            *_stand_ins(bill),
            *_estimates(bill, facts["region"]),
        ),
        assumed=derived.assumptions(answers, facts, has_calendar=bool(peaks)),
        overrides=_overrides(answers, where.target),
        spec=spec,
        digest=digest,
        priced=priced,
        catalogue=catalogue,
    )


def _solve_alarms(
    facts: Mapping[str, Any], where: Place, how: PerformedRollout, spec: Mapping[str, Any]
) -> tuple[PerformedRollout, dict[str, Any], tuple[PlanNote, ...]]:
    """Return the rollout and the spec with alarms that are solved for. A longer bake gives each alarm more time to
    roll back a good version, so all are solved for again."""
    made = dict(spec)
    while True:
        found = solve(facts, parse_planned(made), where.target, how.longest)
        alarms = {key: {**alarm, **found.alarms.get(key, {})} for key, alarm in made["alarms"].items()}
        if found.bake <= how.strategy.wait:
            return how, {**made, "alarms": alarms}, found.notes
        how = how.with_bake(found.bake)
        made = {**made, "rollout": {**made["rollout"], **how.strategy.rollout}}


def _choose_facts(facts: Mapping[str, Any], size: FleetSize | OnDemandSize) -> dict[str, Any]:
    """Return facts of the chosen instances, for the notes and the promise."""
    if not isinstance(size, FleetSize):
        return {"least": 0, "most": 0, "type": "", "carried_by": "cpu", "arm": False, "generation": None}
    time = work_time(facts, size.type)
    return {
        **{"least": size.least, "most": size.most, "type": size.type.name, "carried_by": size.type.kind},
        **{"arm": is_arm(size.type.name), "processing_time": time, "generation": generation(facts, size.type)},
        "slowest": facts["slowest"] if facts["p99_stated"] else time * table("compute")["slowest_of_mean"],
    }


def _notes(facts: Mapping[str, Any]) -> tuple[PlanNote, ...]:
    told = derived.words(facts)
    return tuple(
        PlanNote(one["about"], one["say"].format(**told), one["change"].format(**told))
        for one in table("notes")
        if rules.holds(one["when"], facts)
    )


def _bill_notes(of: PlanDecision) -> Iterator[PlanNote]:
    """Say what is bought if it is not instances, and what may not exist where it is planned."""
    largest = find_largest(of)
    if largest.part >= MUCH and not isinstance(of.size, OnDemandSize) and of.size.type.name not in largest.item:
        yield PlanNote("cost", largest.say, largest.lower)
    if is_unknown_there(of.size, of.bill):
        assert isinstance(of.size, FleetSize)
        region, name = of.facts["region"], of.size.type.name
        say = f"{name} is not known to exist in {region}: the catalogue has no price of it there"
        yield PlanNote(
            "instance_type", say, f"tidegate cost prices update --region {region}, or name another type"
        )


def _dearer_hardware(made: Plan) -> Iterator[PlanNote]:
    """Say what hardware that was asked for costs more than other that would do."""
    for one in made.choices:
        if (
            made.answers.hardware != "any"
            and one.name.startswith("on_")
            and (one.month or math.inf) < made.bill.month
        ):
            assert one.month is not None
            more = format_money(made.bill.month - one.month)
            say = f"hardware: {made.answers.hardware} costs {more} a month more than {one.say.partition(':')[0]}"
            yield PlanNote("hardware", say, "set hardware: any")


def _stand_ins(bill: Bill) -> tuple[PlanNote, ...]:
    items = sorted({line.rate.item for line in bill.lines if line.rate.stands_in})
    if not items:
        return ()
    region = next(line.rate.stands_in for line in bill.lines if line.rate.stands_in)
    say = f"{HOME}'s prices stand in for {len(items)} that are not known in {region}, where most things cost more"
    return (PlanNote("prices", say, f"tidegate cost prices update --region {region}"),)


def _estimates(bill: Bill, region: str) -> tuple[PlanNote, ...]:
    items = {line.rate.item for line in bill.lines if line.rate.source.startswith(ESTIMATE)}
    if not items or region == HOME:
        return ()
    say = f"{len(items)} of the prices in {region} are estimates, which no list of AWS was compared with"
    return (PlanNote("prices", say, f"tidegate cost prices update --region {region}"),)


def _overrides(answers: PlanAnswers, target: str) -> tuple[str, ...]:
    if answers.spot and answers.environment == "production" and target in ("eks", "ecs"):
        return (f"production runs on Spot, because: {answers.spot_override}",)
    return ()


def _over_budget(made: Plan, catalogue: Catalogue) -> PlanNote | None:
    """Note how far the plan is above the budget, and what it would cost with each change that helps. None if it is
    within the budget, or if no budget is given."""
    budget = made.answers.budget
    if budget is None or made.bill.month <= budget:
        return None
    cheaper = []
    for lever in table("levers"):
        if not rules.holds(lever["when"], made.facts):
            continue
        try:
            other = _plan(replace(made.answers, **_tuples(lever["set"])), catalogue)
        except TidegateError:
            continue
        if other.bill.month < made.bill.month:
            cheaper.append((other.bill.month, lever["say"]))
    say = f"it costs about {format_money(made.bill.month)} a month, and {format_money(budget)} may be spent"
    told = [f"{said}: about {format_money(month)}" for month, said in sorted(cheaper) if month <= budget]
    least = min([made.bill.month, *(month for month, _ in cheaper)])
    nothing = f"no single change meets it, the least is {format_money(least)}: raise it, or plan for less traffic"
    return PlanNote("budget", say, "; ".join(told) or nothing)


def _tuples(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}


def monthly(plan: Plan) -> list[float]:
    """Return the dollars of January to December; together they are the plan's bill. A job's runs are taken to be
    spread evenly."""
    load = plan.priced.load
    if load is None:
        return [plan.bill.total / MONTHS] * MONTHS
    tariff = Tariff(plan.catalogue, plan.facts["region"])
    beside, _ = pricing.extras(plan.facts, tariff)
    moving = replace(beside, alarms=0)
    parts = [
        pricing.price_load(plan.facts, plan.size, month, tariff, moving).total for month in _split_by_month(load)
    ]
    even = math.fsum(line.amount for line in plan.bill.lines if line.item == EVEN)
    whole = math.fsum(parts)
    # A month by itself knows nothing of the instances that the one before left: cents, which are spread.
    scale = (plan.bill.total - even) / whole if whole else 0.0
    return [even / MONTHS + part * scale for part in parts]


def _split_by_month(load: Load) -> list[Load]:
    days = [monthrange(load.year, month)[1] for month in range(1, MONTHS + 1)]
    ends = list(accumulate(days))
    return [
        Load(
            load.year,
            load.mean[24 * (end - count) : 24 * end],
            load.peak[24 * (end - count) : 24 * end],
            load.days[end - count : end],
        )
        for end, count in zip(ends, days, strict=True)
    ]
