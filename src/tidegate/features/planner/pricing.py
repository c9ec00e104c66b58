"""How large, and for how much: the load of a year, what carries it, and its bill."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidegate.features.cost import containers, hosted, on_demand
from tidegate.features.cost.bill import MONTHS, Bill, BillLine, Tariff, bill
from tidegate.features.cost.extras import Extras
from tidegate.features.cost.fleet import ScalingBounds
from tidegate.features.cost.traffic import YEAR, Load
from tidegate.features.planner import candidates, sizing, specs
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.selection import AlternativeType, cheapest
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.traffic import traffic
from tidegate.prices import Catalogue, InstanceType

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class PricedSize:
    """A size with its bill. ``load`` is None for a job, which has records in place of traffic. ``others`` are types
    that fit as well."""

    size: FleetSize | OnDemandSize
    bill: Bill
    load: Load | None
    others: tuple[AlternativeType, ...] = ()


def priced(facts: Facts, where: Place, catalogue: Catalogue) -> PricedSize:
    """Size and price what serves the model. Raises Invalid, UnknownInstanceType, UnknownRegion and MissingPrice."""
    tariff = Tariff(catalogue, facts["region"])
    tariff.refuse_unknown_region()
    beside, left_out = extras(facts, tariff)
    if where.mode == "batch":
        job, others = cheapest(facts, tariff, lambda type: _job(facts, type, tariff, beside))
        made = replace(job, others=others)
    else:
        load = traffic(facts).hours(YEAR)
        if where.mode == "serverless":
            made = _by_request(facts, load, tariff, beside)
        else:
            made = on_instances(facts, load, tariff, beside)
    return replace(made, bill=replace(made.bill, warnings=(*made.bill.warnings, *left_out)))


def on_instances(facts: Facts, load: Load, tariff: Tariff, beside: Extras) -> PricedSize:
    """Price the cheapest fleet for a load. Raises what ``selection.cheapest`` raises."""
    made, others = cheapest(facts, tariff, lambda type: _fleet(facts, type, load, tariff, beside))
    return replace(made, others=others)


def price_load(facts: Facts, size: FleetSize | OnDemandSize, load: Load, tariff: Tariff, beside: Extras) -> Bill:
    """Price a load that a given size carries; the load may be a part of a year."""
    if isinstance(size, FleetSize):
        return _instances(facts, size, load, tariff, beside)
    make = on_demand.function if facts["target"] == "lambda" else on_demand.serverless
    return make(tariff, on_demand_of(facts, size), load, beside)


def version(priced: Bill) -> str:
    """Identify the prices that a bill rests on: other prices have another version."""
    return ";".join(f"{line.rate.item}={line.rate.amount:g}@{line.rate.date}" for line in priced.lines)


def scaling(fleet: FleetSize) -> ScalingBounds:
    """Convert a fleet to the bounds of ``cost``."""
    return ScalingBounds(fleet.capacity, fleet.least, fleet.most, fleet.planned / fleet.capacity)


def extras(facts: Facts, tariff: Tariff) -> tuple[Extras, tuple[str, ...]]:
    """Return the data, volumes and alarms beside the instances, as far as the region has prices for them, and what is
    left out."""
    answer = table("compute")["answer_part"]
    on_nodes = facts["target"] in ("eks", "ecs")
    has_data, has_alarms = tariff.has("sagemaker-data/in"), tariff.has("cloudwatch/alarm-month")
    has_volumes = on_nodes and tariff.has("ebs/gp3-gb-month")
    lacking = [what for what, has in (("data in and out", has_data), ("alarms", has_alarms)) if not has]
    left_out = [f"{' and '.join(lacking)} are left out: no price in {tariff.region}"] if lacking else []
    if on_nodes:
        left_out.append(
            "NAT gateways, logs, traffic between zones and a control plane are left out: the platform's, not the"
            " model's"
        )
    if facts["spot"] and on_nodes:
        left_out.append("the catalogue has no Spot prices: on-demand is what it costs at the most")
    size = facts["payload"] if has_data else 0
    count = len(specs.alarm_section(facts, strategy(facts))) if has_alarms else 0
    volume = table("compute")["node_volume"] if has_volumes else 0
    return Extras(bytes_in=size, bytes_out=size * answer, volume_gib=volume, alarms=count), tuple(left_out)


def _fleet(facts: Facts, type: InstanceType, load: Load, tariff: Tariff, beside: Extras) -> PricedSize:
    size = sizing.fleet(facts, load, type)
    return PricedSize(size, _instances(facts, size, load, tariff, beside), load)


def _instances(facts: Facts, fleet: FleetSize, load: Load, tariff: Tariff, beside: Extras) -> Bill:
    name = fleet.type.name
    if name.startswith(candidates.FARGATE):
        task = containers.Task(fleet.type.vcpus, fleet.type.memory_gib)
        return containers.fargate(tariff, task, scaling(fleet), load, beside)
    if facts["target"] in ("eks", "ecs"):
        return containers.ecs(tariff, name, scaling(fleet), load, beside)
    if facts["mode"] == "asynchronous":
        work = hosted.RequestWork(1 / fleet.capacity)
        return hosted.asynchronous(tariff, name, work, (fleet.least, fleet.most), load, beside)
    return hosted.real_time(tariff, name, scaling(fleet), load, beside)


def on_demand_of(facts: Facts, size: OnDemandSize) -> on_demand.OnDemandUsage:
    """Convert an on-demand size to the usage of ``cost``."""
    return on_demand.OnDemandUsage(float(size.memory_gib), facts["processing_time"])


def _by_request(facts: Facts, load: Load, tariff: Tariff, beside: Extras) -> PricedSize:
    size = sizing.on_demand(facts)
    return PricedSize(size, price_load(facts, size, load, tariff, beside), load)


def _job(facts: Facts, type: InstanceType, tariff: Tariff, beside: Extras) -> PricedSize:
    """Price a year of batch transform; on EKS and ECS the instance-hours alone."""
    fleet = sizing.job(facts, type)
    book = table("compute")
    job = hosted.BatchJob(
        facts["records"],
        facts["runs_per_month"] * MONTHS,
        fleet.least,
        startup=book["instance_start_minutes"] * 60,
        records_per_object=book["records_per_object"] if facts["by_line"] else 1,
    )
    work = hosted.RequestWork(1 / fleet.capacity)
    if facts["target"] == "sagemaker":
        made = hosted.batch(tariff, fleet.type.name, job, work, extras=replace(beside, alarms=0))
        return PricedSize(fleet, made, None)
    hours = job.runs * job.hours(work) * job.instances
    why = f"{job.runs:g} jobs a year"
    if type.name.startswith(candidates.FARGATE):
        lines = [
            BillLine(
                "fargate/vcpu-hour",
                hours * type.vcpus,
                tariff.rate("fargate/vcpu-hour"),
                f"{why}, {type.vcpus} vCPU",
            ),
            BillLine(
                "fargate/gb-hour", hours * type.memory_gib, tariff.rate("fargate/gb-hour"), f"{why}, their memory"
            ),
        ]
    else:
        item = candidates.item(facts, type)
        lines = [BillLine(item, hours, tariff.rate(item), f"{why}, EC2 instances")]
    return PricedSize(fleet, bill(lines, 8760.0), None)
