"""How large, and for how much: the load of a year, what carries it, and its bill."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tidegate.features.cost import on_demand
from tidegate.features.cost.bill import MONTHS, Bill, Tariff
from tidegate.features.cost.extras import Extras
from tidegate.features.cost.fleet import ScalingBounds
from tidegate.features.cost.traffic import YEAR, Load
from tidegate.features.cost.workload import WorkloadSpec, peak_of, price_workload, way_of
from tidegate.features.planner import sizing, specs
from tidegate.features.planner.candidates import hourly
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.selection import AlternativeType, cheapest
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.strategy import strategy
from tidegate.features.planner.tables import table
from tidegate.features.planner.traffic import find_load, named_peaks
from tidegate.prices import Catalogue, InstanceType

Facts = Mapping[str, Any]
_KINDS = {"real_time": "real-time", "asynchronous": "async", "batch": "batch"}


@dataclass(frozen=True)
class PricedSize:
    """A size with its bill. ``load`` is None for a job, which has records in place of traffic. ``find_second``
    prices the second cheapest type that fits, None where there is none."""

    size: FleetSize | OnDemandSize
    bill: Bill
    load: Load | None
    find_second: Callable[[], AlternativeType | None] = lambda: None


def priced(facts: Facts, where: Place, catalogue: Catalogue) -> PricedSize:
    """Size and price what serves the model. Raises Invalid, UnknownInstanceType, UnknownRegion and MissingPrice."""
    tariff = Tariff(catalogue, facts["region"])
    tariff.refuse_unknown_region()
    beside, left_out = extras(facts, tariff)
    load = find_load(facts)
    if where.mode == "batch":
        job, second = cheapest(facts, tariff, lambda type: _job(facts, type, load, tariff, beside))
        made = replace(job, find_second=second)
    elif where.mode == "serverless":
        size = sizing.on_demand(facts)
        made = PricedSize(size, price_load(facts, size, load, tariff, beside), load)
    else:
        made = on_instances(facts, load, tariff, beside)
    return replace(made, bill=replace(made.bill, warnings=(*made.bill.warnings, *left_out)))


def on_instances(facts: Facts, load: Load, tariff: Tariff, beside: Extras) -> PricedSize:
    """Price the cheapest fleet for a load. Raises what ``selection.cheapest`` raises."""
    sized = cache(lambda type: sizing.fleet(facts, load, type))

    def price(type: InstanceType) -> PricedSize:
        return PricedSize(sized(type), price_load(facts, sized(type), load, tariff, beside), load)

    def bound(type: InstanceType) -> float:
        """An endpoint is paid for its minimum, and for what its requests need."""
        size: FleetSize = sized(type)
        hours = (
            max(size.least * load.hours, sum(load.peak) / size.planned) if facts["mode"] == "real_time" else 0.0
        )
        return hourly(facts, type, tariff) * hours / MONTHS

    made, second = cheapest(facts, tariff, price, bound)
    return replace(made, find_second=second)


def price_load(facts: Facts, size: FleetSize | OnDemandSize, load: Load, tariff: Tariff, beside: Extras) -> Bill:
    """Price a load that a given size carries; the load may be a part of a year."""
    made = workload(facts, size, beside)
    if isinstance(size, OnDemandSize):
        return price_workload(made, way_of(made, "serverless", f"{size.memory_gib}GB"), (1, 1), tariff, load)
    way = way_of(made, _KINDS[facts["mode"]], size.type.name)
    return price_workload(made, way, (size.least, size.most), tariff, load)


def workload(facts: Facts, size: FleetSize | OnDemandSize, beside: Extras) -> WorkloadSpec:
    """Describe what the deployment is planned for, as its spec has it."""
    figures: dict[str, float] = {
        **{"in": beside.bytes_in, "out": beside.bytes_out},
        **{"alarms": beside.alarms, "volume": beside.volume_gib * 1e9},
    }
    if isinstance(size, OnDemandSize):
        figures["seconds"] = facts["processing_time"]
    else:
        figures |= {"per_instance": size.capacity, "target": size.planned / size.capacity}
        figures |= {"seconds": 1 / size.capacity, "at_once": 1}
    if facts["mode"] == "batch" and isinstance(size, FleetSize):
        book = table("compute")
        figures |= {
            **{"records": facts["records"], "runs": facts["runs_per_month"] * MONTHS},
            **{"startup": book["instance_start_minutes"] * 60},
            **{
                "per_object": facts["records_per_object"] if facts["by_line"] else 1,
                "jobs_on": 1 if isinstance(size, OnDemandSize) else size.least,
            },
        }
        return WorkloadSpec(facts["target"], facts["region"], YEAR, figures=figures)
    peaks = [peak_of(one) for one in named_peaks(facts)]
    return WorkloadSpec(facts["target"], facts["region"], YEAR, facts["shape"], facts["rate"], peaks, figures)


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
    watched = has_alarms and facts["mode"] != "batch"
    count = len(specs.alarm_section(facts, strategy(facts))) if watched else 0
    volume = table("compute")["node_volume"] if has_volumes and facts["mode"] != "batch" else 0
    return Extras(bytes_in=size, bytes_out=size * answer, volume_gib=volume, alarms=count), tuple(left_out)


def on_demand_of(facts: Facts, size: OnDemandSize) -> on_demand.OnDemandUsage:
    """Convert an on-demand size to the usage of ``cost``."""
    return on_demand.OnDemandUsage(float(size.memory_gib), facts["processing_time"])


def _job(facts: Facts, type: InstanceType, load: Load, tariff: Tariff, beside: Extras) -> PricedSize:
    """Price a year of jobs; on EKS and ECS the instance-hours alone."""
    size = sizing.job(facts, type)
    return PricedSize(size, price_load(facts, size, load, tariff, beside), None)
