"""How large, and for how much: the load of a year, what carries it, and its bill."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidegate.cost.bill import HOURS_PER_YEAR, MONTHS, Bill, Line, bill
from tidegate.cost.shapes import shape
from tidegate.cost.traffic import EVERY_MONTH, SECONDS, Load, Peak, Traffic
from tidegate.planner import sizing
from tidegate.planner.measures import told_rate
from tidegate.planner.sizing import Fleet, OnDemand
from tidegate.planner.tables import table
from tidegate.planner.walk import Place
from tidegate.prices import Catalogue

MILLION = 1e6


def sized(facts: Mapping[str, Any], where: Place, catalogue: Catalogue) -> tuple[Fleet | OnDemand, Bill]:
    """Raises Invalid, UnknownInstanceType, UnknownRegion and MissingPrice."""
    if where.mode == "batch":
        return _job(facts, catalogue)
    year = load(facts)
    if where.mode == "serverless":
        size = sizing.on_demand(facts, year)
        return size, bill(_calls(facts, size, year, catalogue), year.hours)
    fleet = sizing.fleet(facts, year, catalogue)
    hours = float(sum(max(fleet.least, sizing.needed(rate, fleet.planned)) for rate in year.peak))
    mean = hours / year.hours
    why = f"{mean:.2f} x {fleet.type.name} on average: {fleet.least} to {fleet.most} as traffic asks for them"
    return fleet, bill(_instances(facts, fleet, hours, year.hours, why, catalogue), year.hours, _warnings(facts))


def load(facts: Mapping[str, Any]) -> Load:
    """Requests a second of each hour of a year: the shape, and the peaks on top of it."""
    return traffic(facts).hours(table("compute")["year"])


def traffic(facts: Mapping[str, Any]) -> Traffic:
    """The answers' rate, shape and peaks in the words of ``cost``."""
    curve = shape(facts["shape"])
    more = tuple(_peak(one.name, one.factor) for one in facts["peaks"])
    return Traffic(facts["rate"], replace(curve, peaks=(*curve.peaks, *more)))


def version(priced: Bill) -> str:
    """Of the prices that the bill rests on: other prices, another version."""
    return ";".join(f"{line.rate.item}={line.rate.amount:g}@{line.rate.date}" for line in priced.lines)


def _peak(name: str, factor: float) -> Peak:
    known = table("peaks")[name]
    return Peak(
        name,
        factor,
        tuple(known["days"]),
        tuple(known.get("months", EVERY_MONTH)),
        working=known.get("working", False),
        ahead=known.get("ahead", 0),
    )


def _job(facts: Mapping[str, Any], catalogue: Catalogue) -> tuple[Fleet, Bill]:
    fleet, hours = sizing.job(facts, catalogue)
    runs = facts["runs_per_month"]
    why = f"{fleet.least} x {fleet.type.name} for {hours:.2f} hours, {runs:g} times a month"
    paid = fleet.least * hours * runs * MONTHS
    return fleet, bill(_instances(facts, fleet, paid, 0.0, why, catalogue), HOURS_PER_YEAR, _warnings(facts))


def _instances(
    facts: Mapping[str, Any], fleet: Fleet, hours: float, cluster_hours: float, why: str, catalogue: Catalogue
) -> list[Line]:
    """Of ``hours`` hours of one instance, on the target that the facts name."""
    region, target = facts["region"], facts["target"]
    if target == "sagemaker":
        return [Line("instances", hours, catalogue.hosting(fleet.type.name, region), why)]
    if target == "ecs" and not fleet.type.accelerators:
        cores, memory = (catalogue.rate(f"fargate/{what}-hour", region) for what in ("vcpu", "gb"))
        return [
            Line(
                "Fargate vCPU",
                hours * fleet.type.vcpus,
                cores,
                f"{why}, as Fargate tasks: {fleet.type.vcpus} vCPU each",
            ),
            Line(
                "Fargate memory", hours * fleet.type.memory_gib, memory, f"their {fleet.type.memory_gib:g} GB each"
            ),
        ]
    rate = catalogue.rate(sizing.item(facts, fleet.type), region)
    lines = [Line("instances", hours, rate, f"{why}, as EC2 instances")]
    if target == "eks":
        lines.append(Line("cluster", cluster_hours, catalogue.rate("eks/cluster-hour", region), "the EKS cluster"))
    return lines


def _calls(facts: Mapping[str, Any], size: OnDemand, year: Load, catalogue: Catalogue) -> list[Line]:
    """Serverless: memory by the time in which requests are served; Lambda also counts them."""
    time = year.requests * facts["processing_time"] * size.memory_gib
    why = f"{size.memory_gib} GB for the time of {told_rate(year.requests / year.hours / SECONDS)} on average"
    if facts["target"] != "lambda":
        rate = catalogue.rate("sagemaker-serverless/gb-second", facts["region"])
        return [Line("GB-seconds", time, rate, why)]
    memory, calls = (catalogue.rate(f"lambda/{what}", facts["region"]) for what in ("gb-second", "requests"))
    return [
        Line("GB-seconds", time, memory, why),
        Line("requests", year.requests / MILLION, calls, "each call"),
    ]


def _warnings(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What the sum leaves out."""
    if facts["spot"]:
        return ("the catalogue has no Spot prices: on-demand is what it costs at the most",)
    return ()
