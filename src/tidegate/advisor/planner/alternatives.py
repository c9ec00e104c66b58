"""What else could be chosen, and for how much: commitments, serverless, an endpoint for each model, fixed fleets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.advisor.cost import breakeven, many_models, savings
from tidegate.advisor.cost.bill import MONTHS, Tariff
from tidegate.advisor.cost.extras import Extras
from tidegate.advisor.cost.fleet import fleet
from tidegate.advisor.cost.traffic import Load
from tidegate.advisor.planner import pricing, sizing
from tidegate.advisor.planner.sizing import Fleet, OnDemand
from tidegate.advisor.planner.tables import table
from tidegate.advisor.planner.units import told_money, told_rate
from tidegate.advisor.prices import Catalogue, MissingPrice

YEARS = (1, 3)


@dataclass(frozen=True)
class Choice:
    """``month`` is what it would come to, in dollars; ``say`` tells it in a sentence, ``figures`` by name."""

    name: str
    month: float
    say: str
    figures: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A plan on SageMaker that serves requests."""

    facts: Mapping[str, Any]
    size: Fleet | OnDemand
    load: Load
    month: float
    tariff: Tariff
    extras: Extras


def choices(facts: Mapping[str, Any], made: pricing.Priced, catalogue: Catalogue) -> tuple[Choice, ...]:
    """None for a job, and on targets other than SageMaker."""
    if made.load is None or facts["target"] != "sagemaker" or facts["mode"] == "asynchronous":
        return ()
    tariff = Tariff(catalogue, facts["region"])
    beside, _ = pricing.extras(facts, tariff)
    case = Case(facts, made.size, made.load, made.bill.month, tariff, beside)
    found: list[Choice] = []
    makers: tuple[Callable[[Case], Iterator[Choice]], ...] = (_savings, _fixed, _serverless, _dedicated)
    for make in makers:
        try:
            found += make(case)
        except MissingPrice:
            continue
    return tuple(found)


def _savings(case: Case) -> Iterator[Choice]:
    """Savings Plans over the plan's own load curve."""
    if not isinstance(case.size, Fleet):
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
        yield Choice(
            f"savings_{years}y",
            month,
            f"a Savings Plan of ${best.hourly:.3f} an hour for {years} year{'s' if years > 1 else ''} (at "
            f"{discount.part:.0%} off): about {told_money(month)} a month; it pays unless the load falls by "
            f"{falls:.0%}",
            {"hourly": best.hourly, "discount": discount.part, "utilisation": best.utilisation, "bearable": falls},
        )


def _fixed(case: Case) -> Iterator[Choice]:
    if not isinstance(case.size, Fleet) or not case.size.scales:
        return
    both = breakeven.fixed_against_scaled(
        case.tariff, case.size.type.name, pricing.scaling(case.size), case.load, case.extras
    )
    if both.saved > 0:
        yield Choice(
            "without_autoscaling",
            both.first.month,
            f"instances for the busiest hour at all hours: about {told_money(both.first.month)} a month; scaling "
            f"saves {both.saved:.0%}",
            {"saved": both.saved},
        )


def _serverless(case: Case) -> Iterator[Choice]:
    """The other of real-time and serverless, and the rate at which both cost the same."""
    facts = case.facts
    fits = not (facts["accelerated"] or facts["many_models"] or facts["several_containers"])
    if not fits or facts["memory_needed"] > 6e9 or facts["payload"] > 4e6:
        return
    fixed = {**facts, "mode": "real_time"}
    instances = (
        case.size if isinstance(case.size, Fleet) else sizing.fleet(fixed, case.load, case.tariff.catalogue)
    )
    memory = (
        case.size
        if isinstance(case.size, OnDemand)
        else sizing.on_demand({**facts, "mode": "serverless"}, case.load)
    )
    ways = breakeven.serverless_against_real_time(
        case.tariff,
        pricing.on_demand_of(facts, memory),
        instances.type.name,
        pricing.scaling(instances),
        case.extras,
    )
    crossing = breakeven.crossing(
        ways["serverless"], ways["real-time"], pricing.traffic(facts), table("compute")["year"]
    )
    other = "serverless" if facts["mode"] == "real_time" else "real-time"
    month = ways[other](case.load).month
    even = "" if crossing is None else f"; serverless is cheaper below {told_rate(crossing.rps)}"
    yield Choice(
        other.replace("-", "_"),
        month,
        f"{other} in its place: about {told_money(month)} a month{even}",
        {"break_even_rate": None if crossing is None else crossing.rps},
    )


def _dedicated(case: Case) -> Iterator[Choice]:
    if not case.facts["many_models"] or not isinstance(case.size, Fleet):
        return
    memory = table("compute")["memory"]
    models = many_models.Models(
        case.facts["alike_models"], case.facts["model_size"], memory["hot_models"], memory["share"]
    )
    alone = {**case.facts, "many_models": False}
    small = sizing.fleet(alone, case.load.times(1 / models.count), case.tariff.catalogue)
    both = many_models.dedicated_against_shared(
        case.tariff,
        models,
        (small.type.name, pricing.scaling(small)),
        (case.size.type.name, pricing.scaling(case.size)),
        case.load,
    )
    yield Choice(
        "dedicated",
        both.first.month,
        f"an endpoint for each of the {models.count:,} models: about {told_money(both.first.month)} a month; one for "
        f"all saves {both.saved:.1%}",
        {"saved": both.saved},
    )
