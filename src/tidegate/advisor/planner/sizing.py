"""Which instances, and how many of them: from the load of a year, what one instance answers, and headroom."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.advisor.cost.traffic import Load
from tidegate.advisor.planner import rules, units
from tidegate.advisor.planner.flowchart import Note
from tidegate.advisor.planner.tables import table
from tidegate.advisor.prices import EC2, HOSTING, Catalogue, InstanceType
from tidegate.domain.errors import Invalid
from tidegate.domain.memory_sizes import parse_bytes

GIB = 2**30
MOST_CONCURRENCY = 200
"""Of a serverless endpoint on SageMaker."""


@dataclass(frozen=True)
class Fleet:
    """Instances of one type. ``capacity`` is what one answers at its limit, ``planned`` what it is given, both in
    requests a second; ``basis`` says what they rest on."""

    type: InstanceType
    least: int
    most: int
    capacity: float
    planned: float
    basis: str
    least_because: str
    notes: tuple[Note, ...] = ()

    @property
    def per_minute(self) -> int:
        """Target of InvocationsPerInstance, which counts requests of a minute."""
        return max(1, math.floor(self.planned * 60 + 1e-9))

    @property
    def scales(self) -> bool:
        return self.most > self.least


@dataclass(frozen=True)
class OnDemand:
    """Instances that come with the requests: memory in GiB of one, and requests at one time of all."""

    memory_gib: int
    concurrency: int
    notes: tuple[Note, ...] = ()


def fleet(facts: Mapping[str, Any], load: Load, catalogue: Catalogue) -> Fleet:
    """Raises UnknownInstanceType, and Invalid for traffic that no fleet could carry."""
    type, notes = _type(facts, catalogue)
    capacity, basis = _capacity(facts, type)
    planned = capacity * _first("headroom", facts)["part"]
    least_rule = _first("least_instances", facts)
    quietest = needed(min(load.peak), planned)
    if facts["mode"] != "asynchronous":
        quietest = max(quietest, _for_memory(facts, type))
    least = max(least_rule["count"], quietest)
    busiest = load.busiest
    if not facts["peaks"] and not load.busiest > max(facts["rate"], 0.0):
        busiest *= table("compute")["unplanned_peak"]
    most = max(least, needed(busiest, planned), 1)
    limit = table("compute")["most_instances"]
    if most > limit:
        raise Invalid(
            f"rate: {units.told_rate(busiest)} at the busiest need {most:,} instances of {type.name}, and "
            f"{limit:,} are the most: give a larger instance_type, a measured capacity, or split it over endpoints"
        )
    because = least_rule["because"] if least_rule["count"] >= quietest else "the quietest hour needs that many"
    return Fleet(type, least, most, capacity, planned, basis, because, notes)


def needed(rate: float, planned: float) -> int:
    """Instances that carry ``rate`` requests a second at ``planned`` each."""
    return math.ceil(rate / planned - 1e-9)


def job(facts: Mapping[str, Any], catalogue: Catalogue) -> Fleet:
    """Instances of a batch transform job: as many as end it in time."""
    type, notes = _type(facts, catalogue)
    capacity, basis = _capacity(facts, type)
    book = table("compute")
    work = facts["records"] / capacity / 3600
    count = max(1, math.ceil(work / book["batch_hours"] - 1e-9))
    if count > book["most_job_instances"]:
        raise Invalid(
            f"records: {facts['records']:,} records need {count:,} instances within {book['batch_hours']} hours, and "
            f"{book['most_job_instances']:,} are the most: give a measured capacity or split them over more runs"
        )
    because = f"so many end it within {book['batch_hours']} hours"
    return Fleet(type, count, count, capacity, capacity, basis, because, notes)


def on_demand(facts: Mapping[str, Any], load: Load) -> OnDemand:
    """Memory in whole GiB, as SageMaker sells it; concurrency by Little's law at the busiest moment."""
    memory = max(1, math.ceil(facts["memory_needed"] / GIB))
    busy = load.busiest * facts["processing_time"] / _first("headroom", facts)["part"]
    concurrency = max(1, math.ceil(busy - 1e-9))
    notes: tuple[Note, ...] = ()
    if concurrency > MOST_CONCURRENCY:
        say = (
            f"{concurrency:,} requests at one time are needed; SageMaker allows {MOST_CONCURRENCY} to an endpoint"
        )
        notes = (Note("traffic", say, "set pattern: sustained for a real-time endpoint, or split the traffic"),)
    return OnDemand(memory, concurrency, notes)


def _type(facts: Mapping[str, Any], catalogue: Catalogue) -> tuple[InstanceType, tuple[Note, ...]]:
    """The one asked for, or the one that carries the model at the lowest price for the fewest instances."""
    if facts["instance_type"]:
        given = catalogue.instance(facts["instance_type"])
        return given, () if _usable(facts, given) else (_too_small(facts, given),)
    book = table("compute")
    family = book["families"][book["kinds"][facts["model_kind"]]["family"]]
    vcpus = _first("least_vcpus", facts)["vcpus"]
    fitting = [
        one
        for one in catalogue.instances()
        if one.family in family["names"] and one.vcpus >= vcpus and _usable(facts, one)
    ]
    region = facts["region"]
    priced = [one for one in fitting if region in catalogue.regions(item(facts, one))]
    if not fitting:
        raise Invalid(
            f"model_size: {units.told_size(facts['model_size'])} fit no instance of {', '.join(family['names'])}: "
            "give a smaller model, or an instance_type of another family"
        )
    if not priced:
        catalogue.rate(item(facts, fitting[0]), region)
    count = max(1, _first("least_instances", facts)["count"])
    return (
        min(
            priced,
            key=lambda one: (
                catalogue.rate(item(facts, one), region).amount * max(count, _for_memory(facts, one)),
                -one.vcpus,
                one.name,
            ),
        ),
        (),
    )


def item(facts: Mapping[str, Any], type: InstanceType) -> str:
    """What an hour of it is called in the catalogue: EKS and ECS run on plain EC2 instances."""
    return EC2 + type.name.removeprefix("ml.") if facts["target"] in ("eks", "ecs") else HOSTING + type.name


def _usable(facts: Mapping[str, Any], type: InstanceType) -> bool:
    """The model fits: into the memory of the accelerators where there are some, else into the machine's."""
    if not type.accelerators:
        return bool(facts["memory_needed"] <= type.memory_gib * GIB)
    memory = table("compute")["memory"]
    host = parse_bytes(memory["beside_the_model"]) + facts["model_size"] * memory["host_part"]
    return bool(
        facts["model_size"] * memory["working"] <= type.accelerator_gib * GIB and host <= type.memory_gib * GIB
    )


def _too_small(facts: Mapping[str, Any], type: InstanceType) -> Note:
    need = units.told_size(facts["memory_needed"])
    return Note("instance_type", f"{type.name} has too little memory: the model needs {need}", "give a larger one")


def _for_memory(facts: Mapping[str, Any], type: InstanceType) -> int:
    """Instances that together hold those of many alike models that take nearly all requests; 1 for one model."""
    if not facts["many_models"]:
        return 1
    memory = table("compute")["memory"]
    hot: float = facts["alike_models"] * memory["hot_models"] * facts["model_size"]
    return max(1, -int(-hot // (type.memory_gib * GIB * memory["share"])))


def _capacity(facts: Mapping[str, Any], type: InstanceType) -> tuple[float, str]:
    """Requests a second of one instance at its limit."""
    if facts["capacity"] is not None:
        return facts["capacity"], "as measured"
    kind = table("compute")["kinds"][facts["model_kind"]]
    time = units.told_seconds(facts["processing_time"])
    if kind["family"] == "cpu" or not type.accelerators:
        lanes, basis = type.vcpus, "each vCPU answers one request at a time"
    else:
        lanes, basis = kind["slots"] * type.accelerators, kind["basis"]
    return lanes / facts["processing_time"], f"{lanes} at a time, {time} each; {basis}"


def _first(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return rules.first(table("compute")[name], facts)
