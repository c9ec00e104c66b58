"""From what one configuration did here to what each instance type would do and cost. Pure.

Assumed, and said with the result: a vCPU is as fast as a core of this machine, an instance has as many workers to a
vCPU as the configuration had to a core, and it may be as busy as this machine was when the objective still held.
"""

import math
from dataclasses import dataclass
from typing import Any

from tidegate.features.recommender.configurations import CandidateConfiguration, LoadProbe
from tidegate.prices import Catalogue, InstanceType, MissingPrice

HOURS_PER_MONTH = 730.0
SYSTEM = 0.75 * 2**30
"""Bytes for what is on an instance beside the workers."""
HEADROOM = 0.7
"""Part of what an instance carries at which autoscaling holds it: room for the minutes until more are ready."""


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """One instance type. ``rate``: requests a second that one carries within the objective. ``per_thousand``:
    dollars for 1,000 calls at that rate. ``instances`` carry the rate that was asked for with headroom, ``month`` is
    their price; ``target`` is the InvocationsPerInstance (a minute) to scale by."""

    instance_type: str
    hourly: float
    rate: float
    per_thousand: float
    instances: int
    month: float
    target: int


@dataclass(frozen=True, kw_only=True)
class Offer(Carrier):
    """An instance type with figures that are calculated from measurements on this machine."""

    vcpus: int
    memory_gib: float


def figures(hourly: float, carries: float, rate: float, least: int = 1) -> dict[str, Any]:
    """Return all members of a ``Carrier`` but its type, for at least ``least`` instances that together carry
    ``rate``."""
    count = max(least, math.ceil(rate / (carries * HEADROOM) - 1e-9))
    return {
        "hourly": hourly,
        "rate": carries,
        "per_thousand": hourly / (3600.0 * carries) * 1000.0,
        "instances": count,
        "month": count * hourly * HOURS_PER_MONTH,
        "target": max(1, math.floor(carries * HEADROOM * 60)),
    }


def fits(type: InstanceType, candidate: CandidateConfiguration, probe: LoadProbe, cores: int) -> bool:
    """Whether the workers that would run there have their memory."""
    return SYSTEM + workers(type.vcpus, candidate, cores) * probe.memory <= type.memory_gib * 2**30


def workers(vcpus: int, candidate: CandidateConfiguration, cores: int) -> int:
    """Return the number of workers on so many vCPUs: as many for each vCPU as here for each core, and at least
    one."""
    return max(1, round(vcpus * candidate.instances / cores))


def offers(
    candidate: CandidateConfiguration,
    probe: LoadProbe,
    cores: int,
    rate: float,
    catalogue: Catalogue,
    region: str,
    least: int = 1,
) -> list[Offer]:
    """Return an offer for every CPU instance type that has a known price and fits the model, the cheapest month
    first. ``cores``: of this machine; ``least``: fewest instances."""
    found = []
    for type in catalogue.instances():
        if type.accelerators or not fits(type, candidate, probe, cores):
            continue
        try:
            hourly = catalogue.hosting(type.name, region).amount
        except MissingPrice:
            continue
        carries = type.vcpus * probe.per_core
        if carries <= 0:
            continue
        about = figures(hourly, carries, rate, least)
        found.append(Offer(instance_type=type.name, vcpus=type.vcpus, memory_gib=type.memory_gib, **about))
    return sorted(found, key=lambda offer: (offer.month, offer.per_thousand, offer.instance_type))
