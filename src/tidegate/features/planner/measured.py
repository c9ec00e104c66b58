"""Compare what a running endpoint has shown with what its plan took for granted. Pure."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from tidegate.features.cost.bill import GB, Tariff
from tidegate.features.cost.traffic import Load
from tidegate.features.planner import pricing, units
from tidegate.features.planner.answers import read
from tidegate.features.planner.plan import Plan, plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.tables import table
from tidegate.prices import EC2, HOSTING

HOUR, DAY = 3600, 86_400
MONTH = 30 * DAY
"""How far back is looked, in seconds."""
WRONG = 0.25
"""Part of the planned value by which a measured one may differ from it."""
_SERVERLESS = "sagemaker-serverless/gb-second"


@dataclass(frozen=True)
class EndpointMeasurement:
    """Times of day are epoch seconds: hours are counted from ``metered_since`` on, all else from ``since``.
    ``busy_rate`` is the requests a second of an ordinary day's busiest hour, ``instance_rate`` the most that one
    instance answered in a minute. Durations are seconds; ``memory`` is the bytes of the largest instance, None where
    its target does not tell. ``hours`` are instance-hours by type."""

    target: str
    since: int
    until: int
    requests: float
    busy_rate: float
    instance_rate: float | None
    processing_time: float
    p99: float
    memory: float | None
    hours: Mapping[str, float]
    metered_since: int
    gb_seconds: float | None = None


def find_busy_rate(hourly: Mapping[int, float], since: int, until: int) -> float:
    """Return the median over the days of the busiest hour's requests a second. ``hourly`` has the requests of each
    hour by its begin; one that was not watched from its begin to its end counts by the seconds that were."""
    days: dict[int, float] = {}
    for begin, count in hourly.items():
        watched = min(begin + HOUR, until) - max(begin, since)
        days[begin // DAY] = max(days.get(begin // DAY, 0.0), count / max(1, watched))
    return median(days.values()) if days else 0.0


def find_answers(made: Plan, found: EndpointMeasurement) -> dict[str, str]:
    """Return the measured answers as texts, by the keys of the questions. The memory counts where the plan has less
    than was used: what an instance has beside the model is not measured."""
    told = {
        "rate": f"{found.busy_rate:.6g}",
        "processing_time": f"{max(found.processing_time, 1e-5) * 1000:.4g}ms",
        "p99": f"{max(found.p99, found.processing_time, 1e-5) * 1000:.4g}ms",
    }
    if found.memory is not None and found.memory > made.facts["memory_needed"]:
        more = (found.memory - made.facts["memory_needed"]) / table("compute")["memory"]["working"]
        told["model_size"] = f"{round(made.facts['model_size'] + more)}B"
    return told


@dataclass(frozen=True)
class PlannedAndMeasured:
    """``wrong``: the measured value differs by more than a quarter, so that the plan rests on what is not so."""

    key: str
    planned: str
    measured: str
    wrong: bool
    basis: str


def judge(made: Plan, found: EndpointMeasurement) -> list[PlannedAndMeasured]:
    """Compare what a plan took for granted with what was measured."""
    facts = made.facts
    stated = "stated" if made.answers.processing_time is not None else "assumed"
    rows: list[tuple[str, float, float, Callable[[float], str], str]] = [
        ("rate", facts["rate"], found.busy_rate, units.format_rate, "stated"),
        ("processing_time", facts["processing_time"], found.processing_time, units.format_seconds, stated),
        ("p99", facts["slowest"], found.p99, units.format_seconds, "stated" if facts["p99_stated"] else "assumed"),
    ]
    compared = [
        PlannedAndMeasured(key, say(planned), say(seen), abs(seen - planned) > WRONG * planned, basis)
        for key, planned, seen, say, basis in rows
    ]
    # What was used is the least that is needed, and a busy minute the least that an instance can do.
    least: list[tuple[str, float, float | None, Callable[[float], str], str]] = [
        (
            "memory",
            facts["memory_needed"],
            found.memory,
            units.format_size,
            "assumed for the model and what is beside it",
        ),
    ]
    if isinstance(made.size, FleetSize):
        basis = "stated" if made.answers.capacity is not None else "computed"
        least.append(("capacity", made.size.capacity, found.instance_rate, units.format_rate, basis))
    return compared + [
        PlannedAndMeasured(key, say(planned), f"{say(seen)} at least", seen > planned, basis)
        for key, planned, seen, say, basis in least
        if seen is not None
    ]


@dataclass(frozen=True)
class LineSoFar:
    """An item of the bill for the time that was measured: what the plan has for it, and what was used. Amounts in US
    dollars; ``metered`` is None where nothing counts it, its amount also where it has no price."""

    item: str
    unit: str
    planned: float
    metered: float | None
    planned_amount: float
    metered_amount: float | None


def compare_bill(made: Plan, found: EndpointMeasurement) -> list[LineSoFar]:
    """Compare the plan's bill of the metered time with what was used in it, item by item. Alarms are the same in each
    hour; data are the counted requests of the planned size, where requests were counted for all of the time."""
    planned = _planned_so_far(made, found)
    tariff = Tariff(made.catalogue, made.facts["region"])
    beside, _ = pricing.extras(made.facts, tariff)
    sold = HOSTING if made.place.target == "sagemaker" else EC2
    used: dict[str, float] = {f"{sold}{_type_of(made, kind)}": hours for kind, hours in found.hours.items()}
    if found.gb_seconds is not None:
        used[_SERVERLESS] = found.gb_seconds
    for way, size in (("in", beside.bytes_in), ("out", beside.bytes_out)):
        if f"sagemaker-data/{way}" in planned and found.metered_since >= found.since:
            used[f"sagemaker-data/{way}"] = found.requests * size / GB
    return [_compare(item, planned.get(item, 0.0), used.get(item), tariff) for item in {**planned, **used}]


def _type_of(made: Plan, kind: str) -> str:
    """Return the planned type where an instance has none of its own."""
    return made.size.type.name if kind == "local" and isinstance(made.size, FleetSize) else kind


def _compare(item: str, planned: float, metered: float | None, tariff: Tariff) -> LineSoFar:
    if not tariff.has(item):
        return LineSoFar(item, "hour", planned, metered, 0.0, None)
    rate = tariff.rate(item)
    spent = None if metered is None else metered * rate.amount
    return LineSoFar(item, rate.unit, planned, metered, planned * rate.amount, spent)


def _planned_so_far(made: Plan, found: EndpointMeasurement) -> dict[str, float]:
    """Return the quantities of the plan's bill for the metered time, by item."""
    load, span = made.priced.load, max(1, found.until - found.metered_since)
    quantities: dict[str, float] = {}
    if load is None:
        return quantities
    count = math.ceil(span / HOUR)
    tariff = Tariff(made.catalogue, made.facts["region"])
    beside, _ = pricing.extras(made.facts, tariff)
    part = _slice(load, found.metered_since, count)
    bill = pricing.price_load(made.facts, made.size, part, tariff, replace(beside, alarms=0))
    for line in bill.lines:
        quantities[line.item] = quantities.get(line.item, 0.0) + line.quantity * span / (HOUR * count)
    for line in made.bill.lines:
        if line.item == "cloudwatch/alarm-month":
            quantities[line.item] = line.quantity * span / load.seconds
    return quantities


def _slice(load: Load, since: int, count: int) -> Load:
    """Return ``count`` hours of the planned year from the same hour of the year on."""
    begin = datetime.fromtimestamp(since, UTC)
    first = (begin.timetuple().tm_yday - 1) * 24 + begin.hour
    places = [(first + place) % load.hours for place in range(count)]
    days = [load.days[place // 24] for place in places[::24]]
    return Load(
        load.year, tuple(load.mean[one] for one in places), tuple(load.peak[one] for one in places), tuple(days)
    )


def plan_again(
    answers: Mapping[str, object], before: Plan, found: EndpointMeasurement, changes: Mapping[str, object]
) -> Plan:
    """Plan with what was measured; ``answers`` hold where nothing was, and ``changes`` go over all. Where an instance
    answered more than is computed for it, that is its capacity. Raises what ``plan`` raises."""
    known = {**answers, **find_answers(before, found), **changes}
    made = plan(read(known), before.catalogue)
    if isinstance(made.size, FleetSize) and (found.instance_rate or 0.0) > made.size.capacity:
        made = plan(read({**known, "capacity": found.instance_rate}), before.catalogue)
    return made


def describe(before: Plan, found: EndpointMeasurement) -> dict[str, Any]:
    """Convert the comparison to plain data: ``assumptions`` and ``bill``."""
    return {
        "target": found.target,
        "since": datetime.fromtimestamp(found.since, UTC).isoformat(),
        "until": datetime.fromtimestamp(found.until, UTC).isoformat(),
        "requests": found.requests,
        "answers": find_answers(before, found),
        "assumptions": [vars(one) for one in judge(before, found)],
        "bill": [vars(one) for one in compare_bill(before, found)],
    }


def tell(before: Plan, found: EndpointMeasurement) -> Iterator[str]:
    """Yield the comparison as lines for people."""
    days = (found.until - found.since) / DAY
    yield f"Measured on target {found.target}: {found.requests:,.0f} requests in {days:.1f} days"
    for one in judge(before, found):
        mark = f"wrong, {one.basis}" if one.wrong else "holds"
        yield f"  {one.key}: planned {one.planned}, measured {one.measured} ({mark})"
    metered = (found.until - found.metered_since) / DAY
    yield f"The bill of {metered:.1f} days, planned and used:"
    lines = compare_bill(before, found)
    for line in lines:
        used = "not metered" if line.metered is None else f"{line.metered:,.4g}"
        spent = "" if line.metered_amount is None else f", ${line.metered_amount:,.2f}"
        yield (
            f"  {line.item} ({line.unit}): planned {line.planned:,.4g}, ${line.planned_amount:,.2f};"
            f" used {used}{spent}"
        )
    both = [line for line in lines if line.metered_amount is not None]
    planned = math.fsum(line.planned_amount for line in both)
    used_sum = math.fsum(line.metered_amount or 0.0 for line in both)
    yield f"  of what is metered: planned ${planned:,.2f}, used ${used_sum:,.2f}"
