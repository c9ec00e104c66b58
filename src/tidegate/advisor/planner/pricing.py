"""How large, and for how much: the load of a year, what carries it, and its bill."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidegate.advisor.cost import containers, hosted, on_demand
from tidegate.advisor.cost.bill import MONTHS, Bill, Line, Tariff, bill
from tidegate.advisor.cost.extras import Extras
from tidegate.advisor.cost.fleet import Scaling
from tidegate.advisor.cost.shapes import shape
from tidegate.advisor.cost.traffic import Load, Peak, Traffic
from tidegate.advisor.planner import sizing, specs
from tidegate.advisor.planner.flowchart import Place
from tidegate.advisor.planner.sizing import Fleet, OnDemand
from tidegate.advisor.planner.strategy import strategy
from tidegate.advisor.planner.tables import table
from tidegate.advisor.prices import Catalogue
from tidegate.domain.calendar_days import EVERY_MONTH

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Priced:
    """``load`` is None for a job, which has records in place of traffic."""

    size: Fleet | OnDemand
    bill: Bill
    load: Load | None


def priced(facts: Facts, where: Place, catalogue: Catalogue) -> Priced:
    """Raises Invalid, UnknownInstanceType, UnknownRegion and MissingPrice."""
    tariff = Tariff(catalogue, facts["region"])
    if where.mode == "batch":
        return _job(facts, tariff)
    load = traffic(facts).hours(table("compute")["year"])
    beside, left_out = extras(facts, tariff)
    if where.mode == "serverless":
        by_request = sizing.on_demand(facts, load)
        size: Fleet | OnDemand = by_request
        made = _by_request(facts, by_request, load, tariff, beside)
    else:
        size = fleet = sizing.fleet(facts, load, catalogue)
        made = _instances(facts, fleet, load, tariff, beside)
    return Priced(size, replace(made, warnings=(*made.warnings, *left_out)), load)


def traffic(facts: Facts) -> Traffic:
    """The answers' rate, shape and peaks in the words of ``cost``."""
    curve = shape(facts["shape"])
    more = tuple(_peak(one.name, one.factor) for one in facts["peaks"])
    return Traffic(facts["rate"], replace(curve, peaks=(*curve.peaks, *more)))


def version(priced: Bill) -> str:
    """Of the prices that the bill rests on: other prices, another version."""
    return ";".join(f"{line.rate.item}={line.rate.amount:g}@{line.rate.date}" for line in priced.lines)


def scaling(fleet: Fleet) -> Scaling:
    """The fleet in the words of ``cost``."""
    return Scaling(fleet.capacity, fleet.least, fleet.most, fleet.planned / fleet.capacity)


def extras(facts: Facts, tariff: Tariff) -> tuple[Extras, tuple[str, ...]]:
    """Data and alarms beside the instances, as far as the region has prices for them, and what is left out."""
    answer = table("compute")["answer_part"]
    has_data = tariff.region in tariff.catalogue.regions("sagemaker-data/in")
    has_alarms = tariff.region in tariff.catalogue.regions("cloudwatch/alarm-month")
    lacking = [what for what, has in (("data in and out", has_data), ("alarms", has_alarms)) if not has]
    left_out = [f"{' and '.join(lacking)} are left out: no price in {tariff.region}"] if lacking else []
    if facts["spot"]:
        where = "SageMaker has no Spot for endpoints, and " if facts["target"] == "sagemaker" else ""
        left_out.append(f"{where}the catalogue has no Spot prices: on-demand is what it costs at the most")
    size = facts["payload"] if has_data else 0
    count = len(specs.alarm_section(facts, strategy(facts))) if has_alarms else 0
    return Extras(bytes_in=size, bytes_out=size * answer, alarms=count), tuple(left_out)


def _peak(name: str, factor: float) -> Peak:
    known = table("peaks")[name]
    return Peak(
        name.replace("-", " "),
        factor,
        tuple(known["days"]),
        tuple(known.get("months", EVERY_MONTH)),
        working=known.get("working", False),
        ahead=known.get("ahead", 0),
    )


def _instances(facts: Facts, fleet: Fleet, load: Load, tariff: Tariff, beside: Extras) -> Bill:
    name, target = fleet.type.name, facts["target"]
    if target == "eks":
        return containers.eks(tariff, name.removeprefix("ml."), scaling(fleet), load, beside)
    if target == "ecs" and fleet.type.accelerators:
        return containers.ecs(tariff, name.removeprefix("ml."), scaling(fleet), load, beside)
    if target == "ecs":
        task = containers.Task(fleet.type.vcpus, fleet.type.memory_gib)
        return containers.fargate(tariff, task, scaling(fleet), load, beside)
    if facts["mode"] == "asynchronous":
        work = hosted.Work(1 / fleet.capacity)
        return hosted.asynchronous(tariff, name, work, (fleet.least, fleet.most), load, beside)
    return hosted.real_time(tariff, name, scaling(fleet), load, beside)


def on_demand_of(facts: Facts, size: OnDemand) -> on_demand.OnDemand:
    """The same in the words of ``cost``."""
    return on_demand.OnDemand(float(size.memory_gib), facts["processing_time"])


def _by_request(facts: Facts, size: OnDemand, load: Load, tariff: Tariff, beside: Extras) -> Bill:
    make = on_demand.function if facts["target"] == "lambda" else on_demand.serverless
    return make(tariff, on_demand_of(facts, size), load, beside)


def _job(facts: Facts, tariff: Tariff) -> Priced:
    """A year of batch transform; on EKS and ECS the instance-hours alone."""
    fleet = sizing.job(facts, tariff.catalogue)
    minutes = table("compute")["instance_start_minutes"]
    job = hosted.Job(facts["records"], facts["runs_per_month"] * MONTHS, fleet.least, startup=minutes * 60)
    work = hosted.Work(1 / fleet.capacity)
    beside, left_out = extras(facts, tariff)
    if facts["target"] == "sagemaker":
        made = hosted.batch(tariff, fleet.type.name, job, work, extras=replace(beside, alarms=0))
    else:
        hours = job.runs * job.hours(work) * job.instances
        item = sizing.item(facts, fleet.type)
        made = bill([Line(item, hours, tariff.rate(item), f"{job.runs:g} jobs a year, EC2 instances")], 8760.0)
    return Priced(fleet, replace(made, warnings=(*made.warnings, *left_out)), None)
