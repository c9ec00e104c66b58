"""The alternatives of a plan, their cost, and why they were not chosen: commitments, modes, types, an endpoint for
each model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.features.cost import breakeven, many_models, savings
from tidegate.features.cost.bill import MONTHS, Tariff
from tidegate.features.cost.extras import Extras
from tidegate.features.cost.fleet import fleet
from tidegate.features.cost.traffic import YEAR, Load
from tidegate.features.planner import pricing, rules, sizing
from tidegate.features.planner.assumptions import words
from tidegate.features.planner.flowchart import Place
from tidegate.features.planner.hardware import ANY, CPU, INFERENTIA
from tidegate.features.planner.selection import AlternativeType
from tidegate.features.planner.sizing import FleetSize, OnDemandSize
from tidegate.features.planner.tables import table
from tidegate.features.planner.traffic import traffic
from tidegate.features.planner.units import format_money, format_percent, format_rate, format_seconds
from tidegate.prices import Catalogue, MissingPrice

YEARS = (1, 3)
SERVERLESS, REAL_TIME = "serverless", "real_time"


@dataclass(frozen=True)
class Alternative:
    """An alternative that was not taken. ``month`` is what it would come to, in dollars, None where it cannot be had;
    ``say`` tells it in a sentence with ``because``, why it was not taken; ``figures`` by name."""

    name: str
    month: float | None
    say: str
    because: str
    figures: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _ServedPlan:
    """A plan that serves requests."""

    facts: Mapping[str, Any]
    place: Place
    size: FleetSize | OnDemandSize
    load: Load
    month: float
    second: AlternativeType | None
    tariff: Tariff
    extras: Extras


def choices(
    facts: Mapping[str, Any], place: Place, made: pricing.PricedSize, catalogue: Catalogue
) -> tuple[Alternative, ...]:
    """List the alternatives of a plan. A job has none but another type. What cannot be priced is left out."""
    tariff = Tariff(catalogue, facts["region"])
    if made.load is None:
        return tuple(_types(made.find_second(), made.bill.month))
    beside, _ = pricing.extras(facts, tariff)
    case = _ServedPlan(facts, place, made.size, made.load, made.bill.month, made.find_second(), tariff, beside)
    makers: tuple[Callable[[_ServedPlan], Iterator[Alternative]], ...] = (
        _other_types,
        _other_hardware,
        _commitments,
    )
    if place.target in ("sagemaker", "lambda") and place.mode != "asynchronous":
        makers = (*makers, _fixed, _serverless, _real_time, _dedicated)
    found: list[Alternative] = []
    for make in makers:
        try:
            found += make(case)
        except MissingPrice:
            continue
    return tuple(found)


def _choice(name: str, month: float | None, what: str, because: str, **figures: float | None) -> Alternative:
    return Alternative(name, month, f"{what}; not taken: {because}", because, figures)


def _other_types(case: _ServedPlan) -> Iterator[Alternative]:
    yield from _types(case.second, case.month)


def _other_hardware(case: _ServedPlan) -> Iterator[Alternative]:
    """Yield the cheapest type of each other hardware that the frameworks can use."""
    if not isinstance(case.size, FleetSize):
        return
    facts, book = case.facts, table("compute")
    asked = facts["hardware_asked"]
    for hardware in facts["usable"]:
        if hardware == case.size.type.kind or (facts["many_models"] and hardware == INFERENTIA):
            continue
        told = book["hardware"][hardware]["text"]
        if hardware == CPU and facts["accelerated"]:
            because = "a request takes some ten times longer there; measure it and set hardware: cpu"
            if facts["processor_time"] is not None:
                because = f"a request would take about {format_seconds(facts['processor_time'])} there"
            yield _choice(f"on_{hardware}", None, f"{told} in place of {case.size.type.name}", because)
            continue
        there = {**facts, "runs_on": (hardware,), "accelerated": hardware != CPU, "instance_type": ""}
        try:
            made = pricing.on_instances(there, case.load, case.tariff, case.extras)
        except MissingPrice:
            continue
        except TidegateError as error:
            yield _choice(f"on_{hardware}", None, told, error.message)
            continue
        assert isinstance(made.size, FleetSize)
        month = made.bill.month
        was = "instance_type names another" if facts["instance_type"] else f"hardware: {asked} was asked for"
        because = was if month < case.month and asked != ANY else "it is dearer over the year"
        what = f"{told} ({made.size.type.name}): about {format_money(month)} a month"
        yield _choice(f"on_{hardware}", month, what, because)


def _types(other: AlternativeType | None, month: float) -> Iterator[Alternative]:
    """Yield the second cheapest type that fits."""
    if other is not None:
        what = f"the next type in its place: about {format_money(other.month)} a month"
        more = other.month - month
        because = f"{other.name} fits as well, and costs {format_money(more)} more"
        if more < 0.005:
            because = f"{other.name} fits as well, at the same price"
        yield _choice("other_type", other.month, what, because)


def _commitments(case: _ServedPlan) -> Iterator[Alternative]:
    """Yield Savings Plans over the plan's own load curve; none for a test, which ends."""
    if (
        not isinstance(case.size, FleetSize)
        or case.facts["environment"] == "test"
        or case.place.mode == "asynchronous"
    ):
        return
    if case.place.target != "sagemaker":
        what = "a Compute Savings Plan, which covers EC2 and Fargate"
        yield _choice("compute_savings", None, what, "the catalogue has no discount of it; AWS's calculator has")
        return
    hour = case.tariff.hosting(case.size.type.name).amount
    usage = [paid * hour for paid in fleet(case.load, pricing.scaling(case.size)).paid]
    for years in YEARS:
        discount = case.tariff.catalogue.discount(years)
        best = savings.best(usage, discount.part)
        if best.saving <= 0:
            continue
        falls = savings.bearable(usage, best)
        month = case.month - best.saving / MONTHS
        what = (
            f"a Savings Plan of ${best.hourly:.3f} an hour for {years} year{'s' if years > 1 else ''} (at "
            f"{format_percent(discount.part)} off): about {format_money(month)} a month"
        )
        yield _choice(
            f"savings_{years}y",
            month,
            what,
            f"it is paid used or not, and saves nothing if the load falls by {format_percent(falls)}: commit once"
            " the load is known",
            hourly=best.hourly,
            discount=discount.part,
            utilisation=best.utilisation,
            bearable=falls,
        )


def _fixed(case: _ServedPlan) -> Iterator[Alternative]:
    if not isinstance(case.size, FleetSize) or not case.size.scales:
        return
    both = breakeven.fixed_against_scaled(
        case.tariff, case.size.type.name, pricing.scaling(case.size), case.load, case.extras
    )
    if both.saved > 0:
        what = f"instances for the busiest hour at all hours: about {format_money(both.first.month)} a month"
        because = f"scaling saves {format_percent(both.saved)} of it"
        yield _choice("without_autoscaling", both.first.month, what, because, saved=both.saved)


def _serverless(case: _ServedPlan) -> Iterator[Alternative]:
    """Yield a serverless endpoint in place of instances, with the rate at which both cost the same."""
    if not isinstance(case.size, FleetSize):
        return
    facts = case.facts
    refusal = _refusal(facts)
    if refusal is not None:
        yield _choice(SERVERLESS, None, "a serverless endpoint in its place", refusal)
        return
    size = sizing.on_demand(facts)
    month, even = _compare_cost(case, size, case.size, SERVERLESS)
    if facts["latency_matters"]:
        because = f"{words(facts)['latency_need']}, and a start from zero takes seconds"
    elif month > case.month:
        because = "it is dearer at this rate"
    else:
        because = f"traffic is {facts['pattern']}: set pattern: intermittent if a first answer may come later"
    yield _describe_other(SERVERLESS, "a serverless endpoint", month, even, because)


def _real_time(case: _ServedPlan) -> Iterator[Alternative]:
    """Yield instances in place of serverless or of a function."""
    if not isinstance(case.size, OnDemandSize):
        return
    facts = {**case.facts, "mode": REAL_TIME, "target": "sagemaker"}
    name = "a SageMaker endpoint" if case.place.target == "lambda" else "a real-time endpoint"
    try:
        size = _fleet(facts, case)
    except MissingPrice:
        raise
    except TidegateError as error:
        yield _choice(REAL_TIME, None, f"{name} in its place", error.message)
        return
    month, even = _compare_cost(case, case.size, size, REAL_TIME)
    because = "it is dearer, and runs in hours without a request"
    if month < case.month and case.place.target == "lambda":
        because = "events start a light function; set event_driven: false to have it"
    elif month < case.month:
        because = "it runs in hours without a request; set pattern: variable to have it"
    yield _describe_other(REAL_TIME, name, month, even, because)


def _fleet(facts: Mapping[str, Any], case: _ServedPlan) -> FleetSize:
    made = pricing.on_instances(facts, case.load, case.tariff, case.extras)
    assert isinstance(made.size, FleetSize)
    return made.size


def _describe_other(name: str, title: str, month: float, even: float | None, because: str) -> Alternative:
    crossing = "" if even is None else f" (serverless is cheaper below {format_rate(even)})"
    what = f"{title} in its place: about {format_money(month)} a month{crossing}"
    return _choice(name, month, what, because, break_even_rate=even)


def _compare_cost(
    case: _ServedPlan, memory: OnDemandSize, instances: FleetSize, other: str
) -> tuple[float, float | None]:
    """Return the dollars a month of the ``other`` way, and the rate at which both ways cost the same (None: there is
    none)."""
    ways = breakeven.serverless_against_real_time(
        case.tariff,
        pricing.on_demand_of(case.facts, memory),
        instances.type.name,
        pricing.scaling(instances),
        case.extras,
    )
    crossing = breakeven.crossing(ways["serverless"], ways["real-time"], traffic(case.facts), YEAR)
    month = ways[other.replace("_", "-")](case.load).month
    return month, None if crossing is None else crossing.rps


def _refusal(facts: Mapping[str, Any]) -> str | None:
    """Return why a serverless endpoint cannot serve the model, by the rules of ``data/modes.yaml``; None if it
    can."""
    for rule in table("modes"):
        if rule["mode"] == SERVERLESS and rules.holds(rule["when"], facts):
            said: str = rule["say"].format(**words(facts))
            return said.partition(": it stays")[0].partition(", so it stays")[0]
    return None


def _dedicated(case: _ServedPlan) -> Iterator[Alternative]:
    if not case.facts["many_models"] or not isinstance(case.size, FleetSize):
        return
    memory = table("compute")["memory"]
    models = many_models.ModelPool(
        case.facts["alike_models"], case.facts["model_size"], memory["hot_models"], memory["share"]
    )
    alone = {**case.facts, "many_models": False}
    share = _ServedPlan(
        alone, case.place, case.size, case.load.times(1 / models.count), 0.0, None, case.tariff, Extras()
    )
    small = _fleet(alone, share)
    both = many_models.dedicated_against_shared(
        case.tariff,
        models,
        (small.type.name, pricing.scaling(small)),
        (case.size.type.name, pricing.scaling(case.size)),
        case.load,
    )
    what = f"an endpoint for each of the {models.count:,} models: about {format_money(both.first.month)} a month"
    because = f"one for all saves {format_percent(both.saved)}"
    yield _choice("dedicated", both.first.month, what, because, saved=both.saved)
