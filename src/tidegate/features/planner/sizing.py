"""How many instances of a type: from the load of a year, what one instance answers, and headroom."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.cost.traffic import Load
from tidegate.features.planner import rules, units
from tidegate.features.planner.assumptions import words
from tidegate.features.planner.candidates import GIB, chips, generation, replicas
from tidegate.features.planner.flowchart import PlanNote
from tidegate.features.planner.hardware import CPU, GPU
from tidegate.features.planner.tables import table
from tidegate.prices import InstanceType


@dataclass(frozen=True)
class FleetSize:
    """Instances of one type. ``capacity`` is what one answers at its limit, ``planned`` what it is given, both in
    requests a second; ``basis`` says what they rest on."""

    type: InstanceType
    least: int
    most: int
    capacity: float
    planned: float
    basis: str
    least_because: str
    notes: tuple[PlanNote, ...] = ()

    @property
    def per_minute(self) -> int:
        """Target of InvocationsPerInstance, which counts requests of a minute."""
        return max(1, math.floor(self.planned * 60 + 1e-9))

    @property
    def scales(self) -> bool:
        return self.most > self.least


@dataclass(frozen=True)
class OnDemandSize:
    """Instances that come with the requests: memory in GiB of one, and requests at one time of all."""

    memory_gib: int
    concurrency: int
    notes: tuple[PlanNote, ...] = ()


def fleet(facts: Mapping[str, Any], load: Load, type: InstanceType) -> FleetSize:
    """Raises Invalid for traffic that no fleet of this type could carry."""
    rate, basis = capacity(facts, type)
    planned = rate * _first("headroom", facts)["part"]
    least_rule = _first("least_instances", facts)
    quietest = count_needed(load.quietest, planned)
    if facts["mode"] == "asynchronous":
        quietest = math.floor(load.quietest / planned)  # a queue waits for what is less than a whole instance
    else:
        quietest = max(quietest, _count_for_memory(facts, type))
    least = max(least_rule["count"], quietest)
    busiest = load.busiest
    if not facts["peaks"] and not load.busiest > max(facts["rate"], 0.0):
        busiest *= table("compute")["unplanned_peak"]
    most = max(least, count_needed(busiest, planned), 1)
    limit = table("compute")["most_instances"]
    if most > limit:
        raise Invalid(
            f"rate: {units.format_rate(busiest)} at the busiest need {most:,} instances of {type.name}, and "
            f"{limit:,} are the most: give a larger instance_type, a measured capacity, or split it over endpoints"
        )
    because = least_rule["because"] if least_rule["count"] >= quietest else "the quietest hour needs that many"
    return FleetSize(type, least, most, rate, planned, basis, because.format(**words(facts)))


def count_needed(rate: float, planned: float) -> int:
    """Instances that carry ``rate`` requests a second at ``planned`` each."""
    return math.ceil(rate / planned - 1e-9)


def job(facts: Mapping[str, Any], type: InstanceType) -> FleetSize:
    """Instances of a batch transform job: as many as end it in time. Raises Invalid."""
    rate, basis = capacity(facts, type)
    book = table("compute")
    within = units.format_seconds(facts["deadline"])
    left = facts["deadline"] / 3600 - book["instance_start_minutes"] / 60
    if left <= 0:
        raise Invalid(
            f"deadline: {within} are over before an instance has started, which takes "
            f"{book['instance_start_minutes']} minutes: allow more, or set individual_responses: true for an endpoint"
        )
    work = facts["records"] / rate / 3600
    count = max(1, math.ceil(work / left - 1e-9))
    most = int(rules.limit("batch_instances"))
    if count > most:
        raise Invalid(
            f"records: {facts['records']:,} records need {count:,} instances within {within}, and "
            f"{most:,} are the most: give a measured capacity, a later deadline, or split them over more runs"
        )
    return FleetSize(type, count, count, rate, rate, basis, f"so many end it within {within}")


def on_demand(facts: Mapping[str, Any]) -> OnDemandSize:
    """Memory in whole GiB, as SageMaker sells it; concurrency by Erlang's loss formula at the busiest moment."""
    memory = max(1, math.ceil(facts["memory_needed"] / GIB - 1e-9))
    return OnDemandSize(memory, facts["concurrency"])


def capacity(facts: Mapping[str, Any], type: InstanceType) -> tuple[float, str]:
    """Requests a second of one instance at its limit, and what that rests on."""
    if facts["capacity"] is not None:
        return facts["capacity"], "as measured"
    written = generation(facts, type)
    if written is not None:
        copies, spread = replicas(facts, type), chips(facts, type) or 1
        over = f"{copies} replica{'' if copies == 1 else 's'}"
        over += f" over {spread} accelerators" + ("" if copies == 1 else " each") if spread > 1 else ""
        basis = (
            f"{written.batch} answers at a time by {over}: the first token after"
            f" {units.format_seconds(written.first_token)},"
            f" then {1 / written.per_token:.3g} tokens a second to each"
        )
        return copies * written.capacity, basis
    seconds = facts["work_times"][type.kind]
    each = units.format_seconds(seconds)
    kind = table("compute")["kinds"][facts["model_kind"]]
    if type.kind == CPU:
        vcpus = kind["time"]["vcpus"] if "time" in kind else 1
        lanes = max(1, type.vcpus // vcpus)
        basis = "each vCPU" if vcpus == 1 else f"each {vcpus} vCPU"
        return lanes / seconds, f"{lanes} at a time, {each} each; {basis} answers one request at a time"
    copies, spread = replicas(facts, type), chips(facts, type) or 1
    lanes = kind["slots"] * copies
    over = f"{copies} replica{'' if copies == 1 else 's'}"
    over += f" over {spread} accelerators" + ("" if copies == 1 else " each") if spread > 1 else ""
    return lanes / seconds, f"{lanes} at a time by {over}, {each} each; {kind.get('slots_basis', kind['basis'])}"


def _count_for_memory(facts: Mapping[str, Any], type: InstanceType) -> int:
    """Instances that together hold those of many alike models that take nearly all requests; 1 for one model. On GPUs
    it is their memory that holds them."""
    if not facts["many_models"]:
        return 1
    memory = table("compute")["memory"]
    hot: float = facts["alike_models"] * memory["hot_models"] * facts["model_size"]
    room = type.accelerator_gib if type.kind == GPU else type.memory_gib
    return max(1, -int(-hot // (room * GIB * memory["share"])))


def _first(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return rules.first(table("compute")[name], facts)
