"""Figures of the overview and worked examples of the chapters, computed from the planner and the catalogue. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.console.figures import format_dollars
from tidegate.features.cost import many_models, savings
from tidegate.features.cost.bill import MONTHS, Tariff
from tidegate.features.cost.fleet import ScalingBounds, fleet
from tidegate.features.cost.shapes import shape
from tidegate.features.cost.traffic import YEAR, Traffic
from tidegate.features.planner import planning as planner
from tidegate.features.planner import pricing
from tidegate.features.planner.flowchart_page import MODES
from tidegate.features.planner.planning import what_is_asked
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.traffic import traffic
from tidegate.features.rehearse.page import DESCRIPTIONS, STRATEGIES
from tidegate.gateway.paths import CONSOLE
from tidegate.prices import Catalogue

REGION = "us-east-1"
SMALL = "ml.c5.large"
SHARED = "ml.m5.xlarge"
CLIENTS = 1000
MODEL_BYTES = 45e6
"""Of one client's model in memory, libraries' share included."""
CLIENT_RATE = 0.05
"""Requests a second of one client."""
MODE_EXAMPLES: Mapping[str, str] = {
    "real_time": "payroll-fraud",
    "serverless": "salary-benchmarking",
    "asynchronous": "document-ocr",
    "batch": "monthly-attrition",
}
STRATEGY_EXAMPLES: Mapping[str, str] = {
    "all_at_once": "learning-recommendations",
    "canary": "assist",
    "linear": "payroll-fraud",
}


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
        "example": "payroll-fraud",
        "about": "One model has its instances for itself, so nothing else moves its latency.",
    },
    "multi_model": {
        "title": "Multi-model",
        "example": "client-attrition",
        "about": "Many alike models share a container; each is loaded when it is asked for, and goes when memory is"
        " short.",
    },
    "pipeline": {
        "title": "Serial pipeline",
        "example": "document-ocr",
        "about": "Each request goes through several containers, one after the other, within one instance.",
    },
    "direct": {
        "title": "Side by side",
        "example": "salary-explained",
        "about": "Several containers share an endpoint, and each request names the one it is for.",
    },
}


def compute_figures(query: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """Figures of an example, by the path of the chapter that they stand for."""
    tariff = Tariff(catalogue, REGION)
    fraud = planner.plan(planner.example("payroll-fraud"), catalogue)
    rows = {row.name: row.value for row in fraud.rows}
    month = {name: _month(name, catalogue) for name in TARGETS}
    apart, together = _many_models(tariff)
    saved, covers = _savings(fraud, tariff)
    found = {
        "targets": f"Payroll fraud: {format_dollars(month['sagemaker'])} a month on SageMaker,"
        f" {format_dollars(month['ecs'])} on ECS, {format_dollars(month['eks'])} on Kubernetes without its control"
        f" plane. {format_dollars(month['lambda'])} on Lambda, if requests may wait for a cold start",
        "architectures": f"1,000 clients: {format_dollars(apart)} or {format_dollars(together)} a month",
        "compute": f"Payroll fraud: ${covers:.3f} an hour for a year saves {format_dollars(saved)} a month",
        "planner": f"Payroll fraud: {rows['Instance Type']}, {rows['Scaling']}, {rows['Estimated Cost']}",
    }
    return {"figures": {f"{CONSOLE}/{name}": text for name, text in found.items()}}


def mode_examples(query: Mapping[str, str], catalogue: Catalogue) -> list[dict[str, Any]]:
    """The four inference modes, each with a worked example."""
    titles = what_is_asked()["modes"]
    return [
        {"mode": mode, "title": titles[mode], "about": MODES[mode], **_summary(name, catalogue)}
        for mode, name in MODE_EXAMPLES.items()
    ]


def architecture_examples(query: Mapping[str, str], catalogue: Catalogue) -> list[dict[str, Any]]:
    return [{**told, **_summary(told["example"], catalogue)} for told in ARCHITECTURES.values()]


def strategy_examples(query: Mapping[str, str], catalogue: Catalogue) -> list[dict[str, Any]]:
    """How a new version takes over, from the fastest to the most careful, and rolling."""
    found: list[dict[str, Any]] = []
    for name, title in STRATEGIES.items():
        about: dict[str, Any] = {"title": title, "about": DESCRIPTIONS[name], "example": ""}
        if name in STRATEGY_EXAMPLES:
            about |= _summary(STRATEGY_EXAMPLES[name], catalogue)
            about["rows"]["Deployment Strategy"] = about["wanted"]
        found.append(about)
    return found


def _month(target: str, catalogue: Catalogue) -> float:
    """Dollars of the fraud model there."""
    given = {**planner.answers_of("payroll-fraud"), **THERE[target]}
    made = planner.plan(planner.read(given), catalogue)
    assert made.place.target == target
    return made.bill.month


def _summary(name: str, catalogue: Catalogue) -> dict[str, Any]:
    plan = planner.plan(planner.example(name), catalogue)
    return {
        "example": name,
        "model": planner.examples()[name]["title"],
        "rows": {row.name: row.value for row in plan.rows},
        "wanted": f"{plan.rollout.wanted.title}, alarm rollback",
    }


def _many_models(tariff: Tariff) -> tuple[float, float]:
    """Dollars a month of 1,000 endpoints, and of one for all."""
    load = Traffic(CLIENT_RATE * CLIENTS, shape("diurnal")).hours(YEAR)
    both = many_models.dedicated_against_shared(
        tariff,
        many_models.ModelPool(CLIENTS, MODEL_BYTES, hot=0.5),
        (SMALL, ScalingBounds(50.0, 1, 4)),
        (SHARED, ScalingBounds(200.0, 1, 100)),
        load,
    )
    return both.first.month, both.second.month


def _savings(plan: planner.Plan, tariff: Tariff) -> tuple[float, float]:
    """Dollars a month that the best commitment for a year saves of the plan's instances, and the on-demand dollars
    an hour that it covers."""
    assert isinstance(plan.size, FleetSize)
    hour = tariff.hosting(plan.size.type.name).amount
    load = traffic(plan.facts).hours(YEAR)
    usage = [paid * hour for paid in fleet(load, pricing.scaling(plan.size)).paid]
    best = savings.best(usage, tariff.catalogue.discount(1).part)
    return best.saving / MONTHS, best.hourly
