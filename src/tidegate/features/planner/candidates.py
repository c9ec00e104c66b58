"""The instance types that a plan may have: those that its API takes, that the frameworks can use and the model
fits."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.domain.memory_sizes import parse_bytes
from tidegate.features.cost.bill import Tariff
from tidegate.features.planner import rules, units
from tidegate.features.planner.hardware import CPU, INFERENTIA, is_arm
from tidegate.features.planner.language_models import Generation, accelerator, model_of, serve, time_allowed
from tidegate.features.planner.tables import table
from tidegate.prices import EC2, HOSTING, InstanceType

GIB = 2**30
FARGATE = "fargate:"
"""Before vCPU and memory of a Fargate task, as in ``tidegate cost estimate estimate``: ``fargate:4x8GB``."""
_CORES_OF_A_CHIP = 2
Facts = Mapping[str, Any]


@cache
def allowed(api: str) -> frozenset[str]:
    """Return the names that SageMaker's API takes for ``hosting`` or for ``transform``."""
    return frozenset(table("instance_types")[api]["names"].split())


def _api_of(mode: str) -> str:
    return "transform" if mode == "batch" else "hosting"


def candidates(facts: Facts, tariff: Tariff) -> tuple[InstanceType, ...]:
    """Return the types that fit and have a price, in no order. Raises Invalid, UnknownInstanceType and MissingPrice;
    each says what to change."""
    if facts["instance_type"]:
        return (_find_named(facts, tariff),)
    known = [one for one in _target_types(facts, tariff) if _may_be_chosen(facts, one)]
    fitting = [one for one in known if fits(facts, one)]
    if not fitting:
        raise _too_large(facts, known)
    priced = tuple(one for one in fitting if _has_price(facts, one, tariff))
    if not priced:
        hourly(facts, fitting[0], tariff)
    there = tuple(one for one in priced if _is_known_there(facts, one, tariff))
    return there or priced


def fits(facts: Facts, type: InstanceType) -> bool:
    """Whether the model fits: its replica on the accelerators where there are some, and what the machine needs beside
    it."""
    least = rules.first(table("compute")["least_vcpus"], facts)["vcpus"]
    if type.vcpus < least:
        return False
    if type.kind == CPU:
        return bool(facts["memory_needed"] <= type.memory_gib * GIB)
    memory = table("compute")["memory"]
    host = parse_bytes(memory["beside_the_model"]) + _accelerated_size(facts) * memory["host_part"][type.kind]
    return replicas(facts, type) > 0 and host <= type.memory_gib * GIB and _in_time(facts, type)


def generation(facts: Facts, type: InstanceType) -> Generation | None:
    """Return how fast one replica of a language model writes on this type; None where a time was stated or measured,
    and for what is no language model on accelerators."""
    untimed = facts["processing_time_stated"] is False and facts["capacity"] is None
    spread = chips(facts, type) if type.kind != CPU else None
    if facts["model_kind"] != "llm" or spread is None or not untimed:
        return None
    on = accelerator(type.accelerator, spread, type.accelerator_gib / type.accelerators)
    return serve(model_of(facts), on, time_allowed(facts))


def work_time(facts: Facts, type: InstanceType) -> float:
    """Return the seconds of one request on this type."""
    written = generation(facts, type)
    return float(facts["work_times"][type.kind]) if written is None else written.seconds


def _in_time(facts: Facts, type: InstanceType) -> bool:
    """Whether a language model writes its answer in time: as is needed, and within what the mode allows."""
    written = generation(facts, type)
    if written is None:
        return True
    needed = facts["latency"] is None or written.seconds <= facts["latency"]
    slowest = written.seconds * table("compute")["slowest_of_mean"]
    return bool(needed and (facts["mode"] != "real_time" or slowest <= rules.limit("real_time_time")))


def chips(facts: Facts, type: InstanceType) -> int | None:
    """Return the accelerators that one replica of the model is spread over; None where the type has too few."""
    book = table("compute")
    size = _accelerated_size(facts)
    each = type.accelerator_gib * GIB / type.accelerators
    least = max(1, math.ceil(size * book["memory"]["working"] / each - 1e-9))
    if type.kind == INFERENTIA:
        row = next((one for one in book["neuron_cores"] if size <= parse_bytes(one["up_to"])), None)
        needed = None if row is None else max(least, math.ceil(row["cores"] / _CORES_OF_A_CHIP))
    else:
        needed = next((count for count in book["chips"] if count >= least), None)
    return needed if needed is not None and needed <= type.accelerators else None


def replicas(facts: Facts, type: InstanceType) -> int:
    """Return the copies of the model that one instance's accelerators hold; 0 where they hold none."""
    needed = chips(facts, type)
    return 0 if needed is None else type.accelerators // needed


def item(facts: Facts, type: InstanceType) -> str:
    """Return the catalogue's name for an hour of an instance: EKS and ECS run on plain EC2 instances."""
    return EC2 + type.name if facts["target"] in ("eks", "ecs") else HOSTING + type.name


def hourly(facts: Facts, type: InstanceType, tariff: Tariff) -> float:
    """Return the dollars of an hour. Raises MissingPrice and UnknownRegion."""
    if type.name.startswith(FARGATE):
        return (
            type.vcpus * tariff.rate("fargate/vcpu-hour").amount
            + type.memory_gib * tariff.rate("fargate/gb-hour").amount
        )
    return tariff.rate(item(facts, type)).amount


def _has_price(facts: Facts, type: InstanceType, tariff: Tariff) -> bool:
    items = ("fargate/vcpu-hour", "fargate/gb-hour") if type.name.startswith(FARGATE) else (item(facts, type),)
    return all(tariff.has(one) for one in items)


def _is_known_there(facts: Facts, type: InstanceType, tariff: Tariff) -> bool:
    """Whether the region itself has a price of it: one that stands in may be of a type that the region lacks."""
    return type.name.startswith(FARGATE) or tariff.catalogue.has(item(facts, type), tariff.region)


def _accelerated_size(facts: Facts) -> float:
    """Return the bytes of the models that run on accelerators: of several containers, those whose framework serves
    the kind."""
    return float(facts["model_size"] * facts["model_parts"])


def _target_types(facts: Facts, tariff: Tariff) -> Iterator[InstanceType]:
    if facts["target"] == "ecs" and not facts["accelerated"]:
        yield from _fargate(facts)
    elif facts["target"] in ("eks", "ecs"):
        yield from (_ec2_type(one) for one in tariff.catalogue.instances())
    else:
        names = allowed(_api_of(facts["mode"]))
        yield from (one for one in tariff.catalogue.instances() if one.name in names)


def _ec2_type(type: InstanceType) -> InstanceType:
    return replace(type, name=type.name.removeprefix("ml."))


def _fargate(facts: Facts) -> Iterator[InstanceType]:
    """Yield for each whole number of vCPU the Fargate type with the least memory that the model needs, or with the
    largest memory where all are too small."""
    for vcpus, memories in fargate_sizes():
        if vcpus == int(vcpus):
            need = facts["memory_needed"] / GIB
            memory = next((one for one in memories if one >= need), memories[-1])
            yield _fargate_type(int(vcpus), memory)


def _fargate_type(vcpus: int, memory: float) -> InstanceType:
    return InstanceType(f"{FARGATE}{vcpus}x{memory:g}GB", vcpus, float(memory))


@cache
def fargate_sizes() -> tuple[tuple[float, tuple[float, ...]], ...]:
    """Return the (vCPU, memories in GB) of a Fargate task."""
    return tuple(
        (
            float(one["vcpus"]),
            tuple(one.get("memory") or range(one["least"], one["most"] + 1, one["step"])),
        )
        for one in table("instance_types")["fargate"]["sizes"]
    )


def _may_be_chosen(facts: Facts, type: InstanceType) -> bool:
    """Whether the plan may choose this type if it is not named: a current x86 type of the hardware that the model
    runs on."""
    book = table("instance_types")
    if type.family in book["left_out"] or is_arm(type.name) or type.kind not in facts["runs_on"]:
        return False
    return not facts["many_models"] or type.kind == CPU or _may_share(type)


def _find_named(facts: Facts, tariff: Tariff) -> InstanceType:
    """Return the type that was asked for."""
    name = facts["instance_type"]
    if name.startswith(FARGATE) and facts["target"] == "ecs":
        return _find_task(facts, name)
    on_ec2 = facts["target"] in ("eks", "ecs")
    found = tariff.catalogue.instance(f"ml.{name.removeprefix('ml.')}" if on_ec2 else name)
    if on_ec2:
        found = _ec2_type(found)
    else:
        _refuse_unless_allowed(facts, found.name)
    if found.family == "inf1" and facts["model_kind"] == "llm":
        raise Invalid(
            "instance_type: inf1 has no large language models: its compiler does not know them; take an inf2"
        )
    if facts["many_models"] and found.kind != CPU and not _may_share(found):
        raise Invalid(
            f"instance_type: many models share processors or a GPU of {', '.join(_sharing())}, not {found.name}:"
            " name one"
            " of those"
        )
    if not fits(facts, found):
        raise Invalid(_explain_lack(facts, found))
    return found


def _may_share(type: InstanceType) -> bool:
    return type.family in _sharing()


def _sharing() -> list[str]:
    families: list[str] = table("instance_types")["multi_model_gpu"]["families"]
    return families


def _find_task(facts: Facts, name: str) -> InstanceType:
    vcpus, _, memory = name.removeprefix(FARGATE).removesuffix("GB").partition("x")
    for size, memories in fargate_sizes():
        if f"{size:g}" == vcpus and memory in {f"{one:g}" for one in memories}:
            found = InstanceType(name, int(size), float(memory)) if size >= 1 else None
            if found is not None and fits(facts, found):
                return found
    raise Invalid(
        f"instance_type: {name} is no Fargate size that the model fits; it needs"
        f" {units.format_size(facts['memory_needed'])}"
        " and sizes are such as fargate:4x8GB (vCPU x memory)"
    )


def _refuse_unless_allowed(facts: Facts, name: str) -> None:
    api = _api_of(facts["mode"])
    names = allowed(api)
    if name not in names:
        size = name.rpartition(".")[2]
        near = get_close_matches(
            name, [one for one in names if one.endswith(f".{size}")] or names, n=2, cutoff=0.3
        )
        raise Invalid(
            f"instance_type: {name} is not in SageMaker's {table('instance_types')[api]['enum']}: name another,"
            " such as "
            f"{' or '.join(near)}, or leave it out for the cheapest that fits"
        )


def _explain_lack(facts: Facts, type: InstanceType) -> str:
    least = rules.first(table("compute")["least_vcpus"], facts)["vcpus"]
    if type.vcpus < least:
        return f"instance_type: {type.name} has {type.vcpus} vCPU, and {least} are needed: give a larger one"
    if type.kind == CPU:
        need = units.format_size(facts["memory_needed"])
        return f"instance_type: {type.name} has too little memory: the model needs {need}; give a larger one"
    size = units.format_size(_accelerated_size(facts))
    return (
        f"instance_type: {type.name} has too little memory for a model of {size} on its {type.accelerators} x"
        f" {type.accelerator}: give a larger one"
    )


def _too_large(facts: Facts, known: list[InstanceType]) -> Invalid:
    size = units.format_size(facts["model_size"])
    book = table("compute")["hardware"]
    what = " or ".join(book[one]["text"] for one in facts["runs_on"])
    largest = max(known, key=lambda one: (one.accelerator_gib, one.memory_gib), default=None)
    told = "there is none" if largest is None else f"the largest is {largest.name}"
    if facts["model_kind"] == "llm" and any(replicas(facts, one) for one in known if one.kind != CPU):
        times = [work_time(facts, one) for one in known if one.kind != CPU and replicas(facts, one)]
        return Invalid(
            f"latency and answer_tokens: the fastest instance takes {units.format_seconds(min(times))} for an"
            f" answer of"
            f" {facts['answer_tokens']} tokens by {size}, or its machine is too small: allow more latency,"
            f" shorter answers,"
            " or a smaller or quantised model"
        )
    return Invalid(
        f"model_size: {size} fit no instance of {what} for {facts['mode'].replace('_', ' ')} on {facts['target']}"
        f" ({told}): give a smaller model, fewer containers, or other hardware"
    )
