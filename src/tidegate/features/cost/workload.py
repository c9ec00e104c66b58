"""The ``workload`` section of a spec: the load and the place that a deployment was planned for, so that ``cost
estimate`` of the spec is the plan's bill."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tidegate.domain.calendar_days import EVERY_MONTH
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.cost.command_options import READ, CostOptions, figures
from tidegate.features.cost.pricing_options import PricingOption
from tidegate.features.cost.shapes import SHAPES, shape
from tidegate.features.cost.traffic import Load, PeakDays, Traffic
from tidegate.prices import HOME
from tidegate.spec.problem import SpecError, suggest
from tidegate.spec.sections import Draft
from tidegate.spec.value_types import about

PLACES = ("sagemaker", "eks", "ecs", "lambda")


class WorkloadPeak(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Recurring days of more traffic."""

    name: Annotated[str, about("Name of the peak.", "pay days")]
    factor: Annotated[float, Meta(description="Times the ordinary rate.", extra_json_schema={"minimum": 1})]
    days: Annotated[list[int], Meta(description="Days of the month; -1 is the last one.")]
    months: Annotated[list[int], Meta(description="Months; all by default.")] = []
    working: Annotated[bool, Meta(description="Moved to the working day before, at a weekend.")] = False
    ahead: Annotated[int, Meta(description="Working days before that belong to it.")] = 0


class WorkloadSpec(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The plan behind a deployment. It changes nothing that runs: ``tidegate cost estimate`` prices it."""

    place: Annotated[str, about("Whose prices count.", enum=PLACES)] = PLACES[0]
    region: Annotated[str, about("Region of the prices.", "eu-central-1")] = HOME
    year: Annotated[int, Meta(description="Year whose calendar counts.")] | None = None
    traffic: Annotated[str, about("Shape of the traffic.", enum=tuple(SHAPES))] = "steady"
    rps: Annotated[float, Meta(description="Requests per second in the busiest ordinary hour.")] | None = None
    peaks: Annotated[list[WorkloadPeak], Meta(description="Peaks beside those of the shape.")] = []
    figures: Annotated[dict[str, float], Meta(description="Figures by the names of --with, without units.")] = {}


def build_workload(given: WorkloadSpec, draft: Draft) -> WorkloadSpec:
    """Raises SpecError."""
    if given.place not in PLACES:
        raise SpecError(("workload", "place"), f"unknown place {given.place!r}{suggest(given.place, PLACES)}")
    for name in given.figures:
        if name not in READ:
            raise SpecError(("workload", "figures", name), f"unknown figure{suggest(name, READ)}")
    try:
        traffic_of(given)
    except Invalid as error:
        raise SpecError(("workload",), error.message) from None
    return given


def render_workload(deployed: DesiredDeployment) -> dict[str, Any]:
    """The inverse of ``build_workload``, without defaults."""
    return render_structure(deployed.sections["workload"])


def render_structure(workload: WorkloadSpec) -> dict[str, Any]:
    """Return the section as plain data without defaults."""
    plain: dict[str, Any] = msgspec.to_builtins(workload)
    return plain


def traffic_of(workload: WorkloadSpec) -> Traffic:
    """Raises Invalid for a shape, a rate or a peak that cannot be."""
    curve = shape(workload.traffic)
    more = tuple(
        PeakDays(one.name, one.factor, tuple(one.days), tuple(one.months) or EVERY_MONTH, one.working, one.ahead)
        for one in workload.peaks
    )
    return Traffic(workload.rps or 0.0, replace(curve, peaks=(*curve.peaks, *more)))


def peak_of(peak: PeakDays) -> WorkloadPeak:
    months = [] if peak.months == EVERY_MONTH else list(peak.months)
    return WorkloadPeak(peak.name, peak.factor, list(peak.days), months, peak.working, peak.ahead)


def way_of(workload: WorkloadSpec, kind: str, of: str) -> PricingOption:
    """Name the way of serving at the place of the workload. ``kind`` is ``real-time``, ``serverless``, ``async`` or
    ``batch``, ``of`` an instance type or an amount of memory."""
    if kind == "real-time" and ":" in of:
        return PricingOption.named(of)
    kinds: Mapping[tuple[str, str], str] = {
        **{("real-time", "eks"): "ecs", ("real-time", "ecs"): "ecs"},
        **{("async", "eks"): "ecs", ("serverless", "lambda"): "lambda"},
    }
    return PricingOption(kinds.get((kind, workload.place), kind), of)


def price_workload(
    workload: WorkloadSpec, way: PricingOption, bounds: tuple[int, int], tariff: Tariff, load: Load
) -> Bill:
    """Price what serves a load, which may be a part of the workload's year. ``bounds``: least and most instances."""
    values = {name: default for name, (_, default, _) in READ.items()} | dict(workload.figures)
    made, _ = figures(CostOptions(values, frozenset(workload.figures)), bounds, 1)
    return way.bill(tariff, made, load)
