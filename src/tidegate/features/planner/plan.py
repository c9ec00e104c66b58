"""From answers to a plan: a pure function over the data files and the catalogue of prices."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.features.cost.bill import Bill
from tidegate.features.planner import assumptions as derived
from tidegate.features.planner import pricing, rules, specs
from tidegate.features.planner.alternatives import Choice, choices
from tidegate.features.planner.answers import Answers
from tidegate.features.planner.calendar import calendar
from tidegate.features.planner.flowchart import FlowchartStep, Place, PlanNote, place, walk
from tidegate.features.planner.guardrails import Guardrail, guardrail
from tidegate.features.planner.hardware import is_arm
from tidegate.features.planner.plan_promise import compute_promise
from tidegate.features.planner.price_dates import PriceDates, price_dates
from tidegate.features.planner.rows import Decided, PlanRow, rows
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import Strategy, strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.traffic import traffic
from tidegate.features.planner.units import format_money
from tidegate.features.rehearse.promise import Promise
from tidegate.prices import HOME, Catalogue


@dataclass(frozen=True)
class Plan:
    """A deployment that can run, with its reasons. ``rows`` are the six of the summary, ``spec`` is what ``tidegate
    deploy`` takes, ``job`` a batch transform job where no endpoint is needed. ``facts`` are the answers with all
    that follows from them; ``digest`` is in the spec's tags."""

    answers: Answers
    facts: Mapping[str, Any]
    steps: tuple[FlowchartStep, ...]
    place: Place
    size: FleetSize | OnDemandSize
    strategy: Strategy
    bill: Bill
    rows: tuple[PlanRow, ...]
    notes: tuple[PlanNote, ...]
    assumptions: tuple[str, ...]
    overrides: tuple[str, ...]
    spec: Mapping[str, Any]
    job: Mapping[str, Any] | None
    digest: str
    guardrail: Guardrail | None
    priced: pricing.Priced = field(repr=False)
    catalogue: Catalogue = field(repr=False)

    @property
    def prices(self) -> PriceDates:
        """How old the prices of the bill are."""
        return price_dates(self.bill, self.answers.region)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Other ways and what they would cost. Computed when asked for, as is ``promise``."""
        return choices(self.facts, self.place, self.priced, self.catalogue)

    @cached_property
    def promise(self) -> Promise | None:
        """What the rollout can see, and what a bad version may do until then; None for a job. Computed when asked
        for: it takes up to some seconds."""
        if self.place.mode == "batch":
            return None
        return compute_promise(self.facts, self.strategy, self.spec["alarms"], self.place.target)


def plan(answers: Answers, catalogue: Catalogue) -> Plan:
    """Raises Invalid for answers that contradict each other or ask for too much, UnknownInstanceType, UnknownRegion
    and MissingPrice; each says what to change."""
    made = _plan(answers, catalogue)
    over = _over_budget(made, catalogue)
    return made if over is None else replace(made, notes=(over, *made.notes))


def _plan(answers: Answers, catalogue: Catalogue) -> Plan:
    facts = derived.known(answers)
    derived.refuse_contradictions(facts)
    steps = walk(facts)
    where = place(facts, steps[-1].leads_to)
    facts |= {"mode": where.mode, "target": where.target}
    priced = pricing.priced(facts, where, catalogue)
    size, bill = priced.size, priced.bill
    facts |= _chosen(facts, size)
    how = strategy(facts)
    digest = specs.digest(asdict(answers), pricing.version(bill))
    peaks = calendar(traffic(facts), where.mode, size, facts["timezone"])
    spec = specs.spec(facts, where, size, how, digest, peaks)
    job = specs.job(facts, size, spec) if where.mode == "batch" and isinstance(size, FleetSize) else None
    held = guardrail(where, how, size)
    return Plan(
        answers=answers,
        facts=facts,
        steps=steps,
        place=where,
        size=size,
        strategy=how,
        bill=bill,
        rows=rows(Decided(facts, steps, where, size, how, bill, held, peaks)),
        notes=(
            *where.notes,
            *_notes(facts),
            *(PlanNote("cost", text, "") for text in bill.warnings),
            *_stand_ins(bill),
        ),
        assumptions=derived.assumptions(answers, has_calendar=bool(peaks)),
        overrides=_overrides(answers, where.target),
        spec=spec,
        job=job,
        digest=digest,
        guardrail=held,
        priced=priced,
        catalogue=catalogue,
    )


def _chosen(facts: Mapping[str, Any], size: FleetSize | OnDemandSize) -> dict[str, Any]:
    """Facts of what carries it, for the notes and the promise."""
    if not isinstance(size, FleetSize):
        return {"least": 0, "most": 0, "type": "", "carried_by": "cpu", "arm": False}
    time = facts["work_times"][size.type.kind]
    return {
        **{"least": size.least, "most": size.most, "type": size.type.name, "carried_by": size.type.kind},
        **{"arm": is_arm(size.type.name), "processing_time": time},
    }


def _notes(facts: Mapping[str, Any]) -> tuple[PlanNote, ...]:
    told = derived.words(facts)
    return tuple(
        PlanNote(one["about"], one["say"].format(**told), one["change"].format(**told))
        for one in table("notes")
        if rules.holds(one["when"], facts)
    )


def _stand_ins(bill: Bill) -> tuple[PlanNote, ...]:
    items = sorted({line.rate.item for line in bill.lines if line.rate.stands_in})
    if not items:
        return ()
    region = next(line.rate.stands_in for line in bill.lines if line.rate.stands_in)
    say = f"{HOME}'s prices stand in for {len(items)} that are not known in {region}, where most things cost more"
    return (PlanNote("prices", say, f"tidegate prices update --region {region}"),)


def _overrides(answers: Answers, target: str) -> tuple[str, ...]:
    if answers.spot and answers.environment == "production" and target in ("eks", "ecs"):
        return (f"production runs on Spot, because: {answers.spot_override}",)
    return ()


def _over_budget(made: Plan, catalogue: Catalogue) -> PlanNote | None:
    """What the plan costs above the budget, and what each change that helps would make of it."""
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
    told = [f"{said}: about {format_money(month)}" for month, said in sorted(cheaper)]
    return PlanNote("budget", say, "; ".join(told) or "raise the budget, or plan for less traffic")


def _tuples(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
