"""The numbers of the overview, each computed from the planner and the catalogue when the page is asked for. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.advisor import planner
from tidegate.advisor.cost import breakeven, many_models, savings
from tidegate.advisor.cost.bill import MONTHS, Tariff
from tidegate.advisor.cost.fleet import ScalingBounds, fleet
from tidegate.advisor.cost.on_demand import OnDemandUsage
from tidegate.advisor.cost.shapes import shape
from tidegate.advisor.cost.traffic import Traffic
from tidegate.advisor.planner import pricing, what_is_asked
from tidegate.advisor.planner.sizing import FleetSize
from tidegate.advisor.planner.tables import table
from tidegate.advisor.planner.traffic import traffic
from tidegate.advisor.prices import Catalogue
from tidegate.console.flowchart import MODES
from tidegate.console.money import format_dollars
from tidegate.console.rehearsal_page import DESCRIPTIONS, STRATEGIES

REGION = "us-east-1"
SMALL = "ml.c5.large"
LOOKUP = OnDemandUsage(2.0, 0.2)
"""A serverless request: 2 GB for 200 ms."""
ONE = ScalingBounds(per_instance=40.0, least=1, most=1)
CLIENTS = (1, 10, 50, 100, 250, 500, 1000, 1500, 2000)
MODEL_BYTES = 45e6
"""Of one client's model in memory, libraries' share included."""
CLIENT_RATE = 0.05
"""Requests a second of one client."""


TARGETS: Mapping[str, Mapping[str, str]] = {
    "sagemaker": {
        "title": "SageMaker endpoints",
        "about": "Scaling, alarms and traffic shifting come with it. The place to begin for any model, and the one"
        " that the planner proposes unless something speaks against it.",
    },
    "eks": {
        "title": "Kubernetes (EKS)",
        "about": "For serving logic that SageMaker's containers cannot hold, in a team that already runs Kubernetes.",
    },
    "ecs": {
        "title": "Containers (ECS)",
        "about": "The same need for control over the container, without Kubernetes to look after.",
    },
    "lambda": {
        "title": "Functions (Lambda)",
        "about": "Light scoring that an event starts. Small models, no accelerator, paid by the call.",
    },
}
THERE: Mapping[str, Mapping[str, object]] = {
    "sagemaker": {},
    "eks": {"custom_logic": True, "platform": "kubernetes"},
    "ecs": {"custom_logic": True, "platform": "containers"},
    "lambda": {"event_driven": True},
}
"""Answers that lead to a target."""
ARCHITECTURES: Mapping[str, Mapping[str, str]] = {
    "dedicated": {
        "title": "Dedicated",
        "about": "One model has its instances for itself, so nothing else moves its latency.",
    },
    "multi_model": {
        "title": "Multi-model",
        "about": "Many alike models share a container; each is loaded when it is asked for, and goes when memory is"
        " short.",
    },
    "pipeline": {
        "title": "Serial pipeline",
        "about": "Each request goes through several containers, one after the other, within one instance.",
    },
    "direct": {
        "title": "Side by side",
        "about": "Several containers share an endpoint, and each request names the one it is for.",
    },
}


def numbers(catalogue: Catalogue) -> dict[str, Any]:
    """Everything that the overview shows."""
    tariff = Tariff(catalogue, REGION)
    plans = {name: planner.plan(planner.example(name), catalogue) for name in planner.examples()}
    summaries = {name: _summary(name, plan) for name, plan in plans.items()}
    fraud = plans["payroll-fraud"]
    return {
        "plans": summaries,
        "targets": [{**told, "month": _month(name, catalogue)} for name, told in TARGETS.items()],
        "modes": {
            name: {"title": title, "about": MODES[name]} for name, title in what_is_asked()["modes"].items()
        },
        "architectures": ARCHITECTURES,
        "strategies": {name: {"title": title, "about": DESCRIPTIONS[name]} for name, title in STRATEGIES.items()},
        "serverless": _serverless(tariff),
        "many": _many_models(tariff),
        "savings": _savings(fraud, tariff),
        "choices": {choice.name: choice for choice in fraud.choices},
        "dollars": format_dollars,
    }


def _month(target: str, catalogue: Catalogue) -> float:
    """Dollars of the fraud model there."""
    given = {**planner.answers_of("payroll-fraud"), **THERE[target]}
    made = planner.plan(planner.read(given), catalogue)
    assert made.place.target == target
    return made.bill.month


def _summary(name: str, plan: planner.Plan) -> dict[str, Any]:
    return {
        "name": name,
        "title": planner.examples()[name]["title"],
        "about": planner.examples()[name]["about"],
        "rows": {row.name: row.value for row in plan.rows},
        "month": plan.bill.month,
        "mode": plan.place.mode,
    }


def _serverless(tariff: Tariff) -> dict[str, Any]:
    """Dollars a month of serverless and of one instance, over the rate."""
    office, year = Traffic(1.0, shape("business_hours")), table("compute")["year"]
    ways = breakeven.serverless_against_real_time(tariff, LOOKUP, SMALL, ONE)
    crossing = breakeven.crossing(ways["serverless"], ways["real-time"], office, year)
    points = breakeven.curve(ways, office, year, least=0.1, most=30.0)
    return {
        "crossing": None if crossing is None else crossing.rps,
        "chart": {
            "x": [point["rps"] for point in points],
            "series": [
                {
                    "label": "serverless, 2 GB",
                    "colour": "--green",
                    "dash": [7, 4],
                    "values": [point["serverless"] for point in points],
                },
                {
                    "label": f"one {SMALL}",
                    "colour": "--blue",
                    "values": [point["real-time"] for point in points],
                },
            ],
            "log": True,
            "across": "requests a second in a busy hour",
            "before": "$",
            "marks": [] if crossing is None else [crossing.rps],
        },
    }


def _many_models(tariff: Tariff) -> dict[str, Any]:
    """Dollars a month of an endpoint for each client and of one for all."""
    base, apart, together = Traffic(1.0, shape("diurnal")).hours(table("compute")["year"]), [], []
    saved = 0.0
    for count in CLIENTS:
        models = many_models.ModelPool(count, MODEL_BYTES, hot=0.5)
        both = many_models.dedicated_against_shared(
            tariff,
            models,
            (SMALL, ScalingBounds(50.0, 1, 4)),
            ("ml.m5.xlarge", ScalingBounds(200.0, 1, 100)),
            base.times(CLIENT_RATE * count),
        )
        apart.append(both.first.month)
        together.append(both.second.month)
        saved = both.saved if count == 1000 else saved
    return {
        "saved": saved,
        "at_1000": (apart[CLIENTS.index(1000)], together[CLIENTS.index(1000)]),
        "chart": {
            "x": list(CLIENTS),
            "series": [
                {"label": "an endpoint each", "colour": "--blue", "values": apart},
                {"label": "one of many models", "colour": "--green", "dash": [7, 4], "values": together},
            ],
            "log": True,
            "log_up": True,
            "across": "clients",
            "before": "$",
        },
    }


def _savings(plan: planner.Plan, tariff: Tariff) -> dict[str, Any]:
    """Dollars a month of the fraud model over what is committed for a year."""
    assert isinstance(plan.size, FleetSize)
    hour = tariff.hosting(plan.size.type.name).amount
    load = traffic(plan.facts).hours(table("compute")["year"])
    usage = [paid * hour for paid in fleet(load, pricing.scaling(plan.size)).paid]
    discount = tariff.catalogue.discount(1).part
    best = savings.best(usage, discount)
    points = savings.curve(usage, discount)
    return {
        "discount": discount,
        "hourly": best.hourly,
        "covers": best.covers,
        "saving": best.saving / MONTHS,
        "bearable": savings.bearable(usage, best),
        "chart": {
            "x": [covers for covers, _ in points],
            "series": [
                {
                    "label": "instances, with the commitment",
                    "colour": "--green",
                    "values": [after / MONTHS for _, after in points],
                },
                {
                    "label": "without",
                    "colour": "--blue",
                    "dash": [2, 4],
                    "values": [best.before / MONTHS for _ in points],
                },
            ],
            "across": "on-demand dollars an hour that are committed",
            "before": "$",
            "marks": [best.covers],
        },
    }
