"""``cost estimate``: what a deployment costs over a year, every dollar explained; nothing has to run."""

import inspect
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tidegate.cli import draw, sparklines
from tidegate.cli.output import AsJson, console, print_note
from tidegate.cli.tables import Table, key, number
from tidegate.domain.errors import Invalid
from tidegate.features.cost import breakeven, savings
from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.cost.bill_table import bill_document, show_bill
from tidegate.features.cost.command_options import CostOptions, describe_options, figures, read
from tidegate.features.cost.fleet import fleet
from tidegate.features.cost.pricing_options import EXAMPLES, Figures, PricingOption
from tidegate.features.cost.shapes import SHAPES, shape
from tidegate.features.cost.spec_cost import ASSUMED_TYPE, SpecCost, read_spec_cost
from tidegate.features.cost.traffic import Load, Traffic
from tidegate.features.cost.workload import WorkloadSpec, traffic_of
from tidegate.prices import HOSTING, Catalogue, Discount, price_folder
from tidegate.settings import Settings

MOST = 100_000
"""Instances, where nobody says how many there may be."""
NO_SPEC = SpecCost(ASSUMED_TYPE, 1, 1, {})
"""Without a spec file."""
FALLS = (0.25, 0.5)
"""Parts by which the load may fall, to see what a commitment loses then."""
Chosen = tuple[str, Discount, savings.Commitment, list[float]]
"""A case of the discount, the best commitment at it, and the on-demand dollars of each hour."""


@dataclass(frozen=True)
class _PricedDeployment:
    """A deployment to be priced, with its traffic. ``traffic`` is None where none was given: a batch job needs
    none."""

    tariff: Tariff
    said: CostOptions
    bounds: tuple[int, int]
    asked: Traffic
    load: Load
    year: int

    @property
    def traffic(self) -> Traffic | None:
        return self.asked if self.asked.rps else None

    def bill(self, way: PricingOption) -> Bill:
        if self.traffic is None and way.kind != "batch":
            raise Invalid(f"{way}: say how much traffic there is, such as --rps 40")
        return way.bill(self.tariff, self.figures(way), self.load)

    def figures(self, way: PricingOption) -> Figures:
        return figures(self.said, self.bounds, way.lanes(self.tariff))[0]

    def assumed(self, way: PricingOption) -> str | None:
        """Describe the assumptions, not given by the user, that the bill of a fleet rests on; None if there are
        none."""
        return figures(self.said, self.bounds, way.lanes(self.tariff))[1] if way.kind in _WITH_FLEETS else None


def cost(
    spec_file: Annotated[
        Path | None, typer.Argument(metavar="[SPEC]", help="A spec file: way, instances and alarms as it says.")
    ] = None,
    *,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="WAY", help="What serves: " + ", ".join(EXAMPLES.values()), show_default="ml.c5.xlarge"
        ),
    ] = None,
    least: Annotated[int | None, typer.Option("--min", help="Instances at least.", show_default="1")] = None,
    most: Annotated[
        int | None, typer.Option("--max", help="Instances at most; as many as are needed when left out.")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(metavar="SHAPE", help=f"{', '.join(SHAPES)}. Default: steady.")
    ] = None,
    rps: Annotated[
        float | None, typer.Option(help="Requests/s in the busiest ordinary hour, before peaks.")
    ] = None,
    given: Annotated[list[str] | None, typer.Option("--with", metavar="NAME=VALUE", help="See below.")] = None,
    years: Annotated[
        int | None,
        typer.Option("--savings", metavar="YEARS", help="The Savings Plan of 1 or 3 years that pays most."),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--compare", metavar="WAY", help="A second way, and where both cost the same.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Price a deployment over a year of traffic."""
    said = read(given or ())
    written = read_spec_cost(spec_file, said["seconds"], said["target"]) if spec_file is not None else NO_SPEC
    low = written.least if least is None else least
    high = most if most is not None else written.most if least is None and spec_file is not None else MOST
    figures = said.over(written.figures)
    case = _case(figures, (low, high), _traffic(written.workload, traffic, rps, figures["growth"]))
    way, other = PricingOption.named(instance or written.way), PricingOption.named(against) if against else None
    if written.assumed and instance is None:
        print_note(f"assumed {ASSUMED_TYPE}: {spec_file} has no instance_type; put one in, or say --instance")
    if case.traffic is None and spec_file is not None and way.kind in _WITH_FLEETS:
        case = _case(figures, (low, high), replace(case.asked, rps=_assume_rps(case, way, spec_file)))
    answer = _report(case, way, other, years)
    print(json.dumps(_document(answer))) if as_json else _show(answer)


def _report(
    case: _PricedDeployment, way: PricingOption, other: PricingOption | None, years: int | None
) -> "_CostReport":
    ways = [way] if other is None else [way, other]
    return _CostReport(
        case,
        way,
        {str(one): case.bill(one) for one in ways},
        {str(one): case.assumed(one) for one in ways},
        _commitments(case, way, years) if years is not None else None,
        _crossing(case, way, other) if other is not None else None,
    )


def _traffic(workload: WorkloadSpec | None, curve: str | None, rps: float | None, growth: float) -> Traffic:
    """The options' traffic, and the workload's where they say nothing."""
    planned = Traffic(0.0, shape("steady")) if workload is None else traffic_of(workload)
    rate = planned.rps if rps is None else rps
    return Traffic(rate, planned.shape if curve is None else shape(curve), growth)


_WITH_FLEETS = ("real-time", "fixed", "multi-model", "dedicated", "fargate", "ecs", "eks")
cost.__doc__ = f"""{inspect.getdoc(cost)}

No server is needed.

\b
Examples:
  tidegate cost estimate --min 2 --max 10 --traffic payroll --rps 40
  tidegate cost estimate --min 2 --max 10 --traffic payroll --rps 40 --savings 1
  tidegate cost estimate --rps 2 --traffic business_hours --compare serverless:2GB --with seconds=80ms
  tidegate cost estimate fraud.yaml --traffic payroll --rps 40
  tidegate cost estimate --instance batch:ml.m5.xlarge --with records=50000 --with seconds=2ms
  tidegate cost estimate --instance dedicated:ml.t2.medium --compare multi-model:ml.m5.xlarge \\
      --rps 50 --with models=1000 --with model_size=50kB

\b
Names of --with:
{describe_options()}
"""


@dataclass(frozen=True)
class _CostReport:
    """All results that are to be shown. ``chosen`` and ``crossing`` are None where they were not asked for."""

    case: _PricedDeployment
    way: PricingOption
    bills: dict[str, Bill]
    assumed: dict[str, str | None]
    chosen: list[Chosen] | None
    crossing: dict[str, Any] | None


def _assume_rps(case: _PricedDeployment, way: PricingOption, spec_file: Path) -> float:
    """Return the traffic that the spec's instances carry, in requests/s, and print a note that it is assumed."""
    rps = _carried_rate(case, way)
    print_note(f"assumed --rps {rps:g}: what the instances of {spec_file} carry; say how much traffic there is")
    return rps


def _carried_rate(case: _PricedDeployment, way: PricingOption) -> float:
    """Return the requests/s that the least number of instances carries as full as autoscaling holds them, in 3
    digits."""
    scaling = case.figures(way).scaling
    return float(f"{max(1, scaling.least) * scaling.per_instance * scaling.target:.3g}")


def _document(answer: _CostReport) -> dict[str, Any]:
    return {
        "traffic": _traffic_document(answer.case),
        "assumed": answer.assumed,
        "bills": {name: bill_document(bill) for name, bill in answer.bills.items()},
        "savings": answer.chosen and [_commitment_document(*one) for one in answer.chosen],
        "break_even": answer.crossing,
    }


def _show(answer: _CostReport) -> None:
    out = console()
    for name, bill in answer.bills.items():
        out.print(Text(name, style="bold"))
        show_bill(out, bill)
        out.print()
    _show_load(out, answer.case, answer.way)
    if answer.chosen is not None:
        _show_savings(out, answer.case, answer.way, answer.chosen)
    if answer.crossing is not None:
        _show_crossing(out, answer.crossing)
    for name, text in answer.assumed.items():
        if text is not None:
            print_note(f"assumed for {name}: {text}")


def _case(said: CostOptions, bounds: tuple[int, int], asked: Traffic) -> _PricedDeployment:
    settings = Settings.from_environment(os.environ)
    catalogue = Catalogue.load(price_folder(settings.prices, settings.state))
    year = said["year"] or datetime.now(UTC).year
    return _PricedDeployment(Tariff(catalogue, said["region"]), said, bounds, asked, asked.hours(year), year)


def _traffic_document(case: _PricedDeployment) -> dict[str, Any]:
    load = case.load
    return {
        "shape": case.asked.shape.name,
        "rps": case.traffic.rps if case.traffic else None,
        "year": case.year,
        "requests": load.requests,
        "busiest": load.busiest,
        "idle_hours": load.idle,
    }


def _show_load(out: Console, case: _PricedDeployment, way: PricingOption) -> None:
    if case.traffic is None:
        return
    load = case.load
    out.print(
        f"Traffic in {case.year}: {load.requests / 12:,.0f} requests a month, {load.busiest:,.4g} requests/s at the "
        f"busiest, {load.idle:,} idle hours. {case.traffic.shape.says[0].upper()}{case.traffic.shape.says[1:]}."
    )
    if way.kind in _WITH_FLEETS and way.kind != "dedicated":
        made = fleet(load, way.scaling(case.figures(way), load, case.tariff))
        out.print(f"\nInstances, {sum(made.paid) / load.hours:.2f} on average:")
        sparklines.print_year(out, made.counts)


def _commitments(case: _PricedDeployment, way: PricingOption, years: int) -> list[Chosen]:
    """Choose the best commitment at the least, the usual and the best discount of the term, with the on-demand
    dollars of each hour."""
    if way.instance is None:
        raise Invalid(f"--savings: {way} has no SageMaker instances to commit for; the plans here cover those")
    rate = case.tariff.hosting(way.instance)
    made = fleet(case.load, way.scaling(case.figures(way), case.load, case.tariff))
    usage = [hours * rate.amount for hours in made.paid]
    found = case.tariff.catalogue.discount(years)
    # Of equal discounts one is enough, and the usual one is what it is called.
    parts = {found.low: "least", found.high: "best", found.part: "usual"}
    return [(name, found, savings.best(usage, part), usage) for part, name in sorted(parts.items())]


def _commitment_document(
    name: str, found: Discount, made: savings.Commitment, usage: Sequence[float]
) -> dict[str, Any]:
    return {
        "case": name,
        "years": found.years,
        "discount": made.discount,
        "hourly": made.hourly,
        "covers": made.covers,
        "before": made.before,
        "after": made.after,
        "saving": made.saving,
        "break_even_utilisation": made.break_even,
        "utilisation": made.utilisation,
        "load_may_fall_by": savings.bearable(usage, made),
        "loss_if_load_falls": {f"{part:g}": savings.loss(usage, made, part) for part in FALLS},
        "source": found.source,
    }


def _show_savings(out: Console, case: _PricedDeployment, way: PricingOption, chosen: list[Chosen]) -> None:
    rate = case.tariff.rate(f"{HOSTING}{way.instance}")
    found = chosen[0][1]
    out.print(Text(f"\nA Savings Plan of {found.years} year(s), {found.source}", style="bold"))
    falls = [number(f"AND AT {1 - part:.0%} LOAD") for part in FALLS]
    shown = Table(
        key("DISCOUNT"),
        *map(number, ("COMMIT $/H", "COVERS", "SAVES $/YEAR")),
        *falls,
        *map(number, ("LOAD MAY FALL", "PAYS IF USED")),
    )
    for name, _, made, usage in chosen:
        shown.add_row(
            f"{made.discount:.0%} ({name})",
            f"{made.hourly:.3f}",
            f"{made.covers / rate.amount:.2f} instances",
            draw.format_number(made.saving, 0),
            *(f"{-savings.loss(usage, made, part):+,.0f}" for part in FALLS),
            f"{savings.bearable(usage, made):.0%}",
            f"over {made.break_even:.0%} of hours",
        )
    out.print(shown)
    usual, usage = next((made, usage) for name, _, made, usage in chosen if name == "usual")
    out.print("\nOn-demand $/h, and what the usual commitment covers of it:")
    sparklines.print_load_duration(out, usage, usual.covers)


def _crossing(case: _PricedDeployment, way: PricingOption, other: PricingOption) -> dict[str, Any]:
    """Find the rate at which both ways cost the same, when one of them is paid by the request, and the cost of both
    at rates around it."""
    if case.traffic is None:
        return {"rps": None, "month": None, "requests": None, "curve": []}
    both: dict[str, breakeven.Priced] = {
        str(one): partial(one.bill, case.tariff, case.figures(one)) for one in (way, other)
    }
    first = next((one for one in (other, way) if one.by_request), None)
    found = None
    if first is not None and not (way.by_request and other.by_request):
        second = way if first is other else other
        found = breakeven.crossing(both[str(first)], both[str(second)], case.traffic, case.year)
    middle = found.rps if found else max(case.traffic.rps, 0.01)
    curve = breakeven.curve(both, case.traffic, case.year, least=middle / 16, most=middle * 16, points=9)
    return {
        "cheaper_below": str(first) if found else None,
        "rps": found and found.rps,
        "month": found and found.month,
        "requests": found and found.requests,
        "curve": curve,
    }


def _show_crossing(out: Console, crossing: dict[str, Any]) -> None:
    if crossing["rps"] is not None:
        out.print(
            Text(
                f"\n{crossing['cheaper_below']} is cheaper below {crossing['rps']:,.4g} requests/s in the busiest "
                f"ordinary hour ({crossing['requests']:,.0f} requests a month); there both cost "
                f"${crossing['month']:,.2f} a month",
                style="bold",
            )
        )
    names = [name for name in (crossing["curve"] or [{}])[0] if name != "rps"]
    shown = Table(number("REQUESTS/S"), *(number(f"{name} $") for name in names))
    for point in crossing["curve"]:
        shown.add_row(f"{point['rps']:,.4g}", *(draw.format_number(point[name], 2) for name in names))
    if crossing["curve"]:
        out.print(shown)
