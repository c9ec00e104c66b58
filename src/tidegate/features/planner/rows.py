"""The six rows of a plan: what is recommended, why, and what would change it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.features.cost.bill import Bill
from tidegate.features.planner import units
from tidegate.features.planner.assumptions import words
from tidegate.features.planner.candidates import FARGATE
from tidegate.features.planner.flowchart import FlowchartStep, Place
from tidegate.features.planner.rollouts import PerformedRollout
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.tables import table
from tidegate.prices import HOME

NAMES = (
    *("Deployment Target", "Inference Mode", "Instance Type"),
    *("Scaling", "Deployment Strategy", "Estimated Cost"),
)


@dataclass(frozen=True)
class PlanRow:
    name: str
    value: str
    reason: str
    change: str


@dataclass(frozen=True)
class PlanDecision:
    """All that the rows speak of."""

    facts: Mapping[str, Any]
    steps: Sequence[FlowchartStep]
    place: Place
    size: FleetSize | OnDemandSize
    rollout: PerformedRollout
    bill: Bill
    calendar: Sequence[Mapping[str, Any]] = ()


def rows(decided: PlanDecision) -> tuple[PlanRow, ...]:
    """In the order of ``NAMES``."""
    made = (_target, _mode, _instance, _scaling, _strategy, _cost)
    return tuple(PlanRow(name, *make(decided)) for name, make in zip(NAMES, made, strict=True))


Told = tuple[str, str, str]
"""Value, reason, what would change it."""


def _target(of: PlanDecision) -> Told:
    return of.place.title, of.place.because, of.place.change


def _mode(of: PlanDecision) -> Told:
    facts, told = of.facts, table("flowchart")["modes"][of.place.mode]
    value = told["title"]
    if of.place.mode == "batch":
        value += f", {facts['records']:,} records {_times(facts['runs_per_month'])}"
    elif facts["latency"] is not None and of.place.mode != "asynchronous":
        value += f", sub-{units.format_seconds(facts['latency'])}"
    reasons = [step.because for step in of.steps[-2:]] + [note.say for note in of.place.notes]
    return value, "; ".join(reasons), told["change"]


def _instance(of: PlanDecision) -> Told:
    size = of.size
    if isinstance(size, OnDemandSize):
        memory = units.format_size(of.facts["memory_needed"])
        return (
            f"{size.memory_gib} GB of memory, no instance to choose",
            f"the model and what is beside it take {memory}; serverless is sold by the GB of memory",
            "a larger model takes more memory",
        )
    facts = of.facts
    machine = f"{size.type.vcpus} vCPU and {size.type.memory_gib:g} GB"
    if size.type.accelerators:
        machine += f", {size.type.accelerators} x {size.type.accelerator}"
    need = units.format_size(facts["memory_needed"])
    unknown = is_unknown_there(size, of.bill)
    value = _type_name(size) + (f" (not known to exist in {facts['region']})" if unknown else "")
    value += " on Spot" if facts["spot"] and of.place.target in ("eks", "ecs") else ""
    if written := facts["generation"]:
        first = units.format_seconds(written.first_token)
        value += f", first token after {first}, {1 / written.per_token:.3g} tokens/s"
    if facts["instance_type"]:
        return value, f"it was asked for; it has {machine}, and {need} are needed", "without it: the cheapest"
    hardware = table("compute")["hardware"][size.type.kind]
    because = hardware["because"].format(**words(facts))
    if facts["hardware_asked"] != "any":
        because = f"{hardware['text']} were asked for"
    reason = f"{because}; with {machine} it carries the year at the lowest price of all types that fit {need}"
    return value, reason, hardware["change"]


def is_unknown_there(size: FleetSize | OnDemandSize, bill: Bill) -> bool:
    """Whether the catalogue has no price of the type in the plan's region, so that the region may lack it."""
    if not isinstance(size, FleetSize):
        return False
    return any(line.rate.stands_in for line in bill.lines if line.item.endswith(f"/{size.type.name}"))


def _type_name(size: FleetSize) -> str:
    if not size.type.name.startswith(FARGATE):
        return size.type.name
    return f"Fargate, {size.type.vcpus} vCPU and {size.type.memory_gib:g} GB"


def _scaling(of: PlanDecision) -> Told:
    size, facts = of.size, of.facts
    if isinstance(size, OnDemandSize):
        refused = table("compute")["refused"]
        return (
            f"From zero to {_requests(size.concurrency)} at a time, by itself",
            f"{units.format_seconds(facts['processing_time'])} of work and a start from zero at the busiest"
            " moment's rate:"
            f" with so many, {units.format_percent(refused)} of requests find all busy at the most",
            "a higher rate or slower work needs more at a time; provisioned concurrency would avoid cold starts",
        )
    if of.place.mode == "batch":
        return (
            f"{_count(size.most)} while the job runs, none otherwise",
            f"{size.least_because}; {_capacity(size)}",
            "more records, or less time for them, need more instances",
        )
    metric = _metric(of.place)
    value = f"Auto-scaling: min {size.least}, max {size.most} on {metric}"
    if not size.scales:
        value = f"{_count(size.least)}, fixed"
    waiting = "waiting for each" if of.place.mode == "asynchronous" else "a minute"
    aim = f"target {size.per_minute:,} {waiting}, " if size.scales else ""
    part = f"{units.format_percent(size.planned / size.capacity)} of it planned with"
    reason = f"{size.least_because}; {aim}{_capacity(size)}, {part}"
    if of.calendar:
        most = max(one["count"] for one in of.calendar)
        reason += f"; its calendar has up to {most} ready before each known peak begins"
    change = "a measured capacity (load test), other peaks, or another criticality change min and max"
    return value, reason, change


def _metric(place: Place) -> str:
    waiting = place.mode == "asynchronous"
    if place.target == "sagemaker":
        return "ApproximateBacklogSizePerInstance" if waiting else "InvocationsPerInstance"
    kind = "replica" if place.target == "eks" else "task"
    if waiting:
        return f"messages in the queue per {kind}"
    return f"requests per {kind}" if place.target == "eks" else "ALBRequestCountPerTarget"


def _strategy(of: PlanDecision) -> Told:
    chosen, wanted, facts = of.rollout.strategy, of.rollout.wanted, of.facts
    by = (
        f"the playbook's for {wanted.preset}"
        if wanted.preset
        else f"criticality {facts['criticality']}, {'can' if facts['reversible'] else 'cannot'} be undone, "
        f"{'seen' if facts['user_facing'] else 'not seen'} by people"
    )
    reason = f"{chosen.because} ({by})"
    if of.place.mode == "batch":
        return chosen.title, f"{reason}; {table('strategies')['batch']['because']}", chosen.change
    held = "".join(f"; {text}" for text in of.rollout.says)
    value = chosen.title if "alarms" in chosen.rollout else f"{chosen.title}, alarm rollback"
    return (
        value + ("" if chosen.title == wanted.title else f" (asked for {wanted.title})"),
        reason + held,
        chosen.change,
    )


def _cost(of: PlanDecision) -> Told:
    bill = of.bill
    value = f"about {units.format_money(bill.month)} a month"
    spread = ""
    if any(line.rate.stands_in for line in bill.lines):
        value += f" (at {HOME}'s prices)"
    if bill.month_high > bill.month_low * 1.005:
        spread = f"; sources say {units.format_money(bill.month_low)} to {units.format_money(bill.month_high)}"
    largest = find_largest(of)
    return value, f"{largest.say}{spread}", largest.lower


@dataclass(frozen=True)
class LargestLine:
    """The largest item of a bill: what it is, with the assumption that it rests on, and what would lower it."""

    item: str
    part: float
    say: str
    lower: str


def find_largest(of: PlanDecision) -> LargestLine:
    """Find the item on which the most is spent."""
    amounts: dict[str, float] = {}
    for line in of.bill.lines:
        amounts[line.item] = amounts.get(line.item, 0.0) + line.amount
    item = max(amounts, key=lambda one: amounts[one])
    part = amounts[item] / of.bill.total if of.bill.total else 0.0
    row = next(one for one in table("compute")["bill_lines"] if item.startswith(one["item"]))
    rate = "" if not isinstance(of.size, FleetSize) else units.format_rate(of.size.capacity)
    told = {**words(of.facts), "capacity_text": rate}
    why = next(line.why for line in of.bill.lines if line.item == item)
    month = part * of.bill.month
    say = (
        f"the largest part is {item}, {units.format_money(month)} of {units.format_money(of.bill.month)}"
        f" ({why}); it rests"
        f" on {row['rests_on'].format(**told)}"
    )
    return LargestLine(item, part, say, row["lower"].format(**told))


def _count(count: int) -> str:
    return f"{count} instance" + ("" if count == 1 else "s")


def _requests(count: int) -> str:
    return f"{count:,} request" + ("" if count == 1 else "s")


def _times(runs: float) -> str:
    return "once a month" if runs == 1 else f"{runs:g} times a month"


def _capacity(size: FleetSize) -> str:
    return f"one instance answers {units.format_rate(size.capacity)} at its limit: {size.basis}"
