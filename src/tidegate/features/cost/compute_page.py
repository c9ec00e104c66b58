"""Compute and cost: instance types for a model's size, autoscaling over a December, commitments, break-even. Pure."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tidegate.features.cost import breakeven, savings
from tidegate.features.cost.bill import MONTHS, Tariff
from tidegate.features.cost.fleet import FleetUsage, ScalingBounds, fixed, fleet
from tidegate.features.cost.on_demand import OnDemandUsage
from tidegate.features.cost.shapes import SHAPES, shape
from tidegate.features.cost.sliders import Slider, form_fields, read_sliders
from tidegate.features.cost.traffic import YEAR, Load, Traffic
from tidegate.prices import HOSTING, Catalogue

REGION = "us-east-1"
TYPE = "ml.c5.xlarge"
DECEMBER = slice(334 * 24, 365 * 24)
KINDS = (
    ("cpu", "processors", "--blue", None),
    ("gpu", "GPU", "--warn", [2, 4]),
    ("inferentia", "Inferentia", "--green", [7, 4]),
)
SIZES = tuple(2.0**power for power in range(-2, 10))
"""GiB of a loaded model."""
USABLE = 0.7
"""Part of a machine's (or its accelerators') memory that a model may take; the rest is for requests."""
SLIDERS = (
    Slider("gib", "GiB of the loaded model", 0.5, 0.01, 500, 0.01),
    Slider("rate", "Requests a second in an ordinary busy hour", 95, 0.01, 10_000, 0.01),
    Slider(
        "each",
        "Requests a second that one instance answers in time",
        200,
        0.1,
        10_000,
        0.1,
        "tidegate recommend measures it",
    ),
    Slider("least", "Instances at least", 2, 1, 50, 1),
    Slider("memory", "Serverless: GB of memory", 2, 1, 6, 1),
    Slider("seconds", "Serverless: seconds of one request", 0.2, 0.01, 60, 0.01),
)


def compute(query: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """Everything that the page shows."""
    values, problems = read_sliders(SLIDERS, query)
    chosen = query.get("shape", "payroll")
    if chosen not in SHAPES:
        problems.append(f"shape of the traffic: {chosen[:40]!r} is none of {', '.join(SHAPES)}")
        chosen = "payroll"
    tariff, load = (
        Tariff(catalogue, REGION),
        Traffic(values["rate"], shape(chosen)).hours(YEAR),
    )
    scaling = ScalingBounds(values["each"], round(values["least"]), 1000)
    usage = fleet(load, scaling)
    return {
        "fields": form_fields(SLIDERS, values),
        "problems": problems,
        "shape": chosen,
        "shapes": {name: one.says for name, one in SHAPES.items()},
        "type": TYPE,
        "types": _types(tariff, values["gib"]),
        "scaled": _scaled(tariff, load, scaling, usage),
        "commitment": _commitment(tariff, usage),
        "serverless": _serverless(tariff, values, chosen),
    }


def cheapest(tariff: Tariff, gib: float) -> dict[str, tuple[str, float]]:
    """The instance type that holds a model of this size at the lowest price, with dollars a month, by kind."""
    found: dict[str, tuple[str, float]] = {}
    for one in tariff.catalogue.instances():
        memory = one.accelerator_gib if one.accelerators else one.memory_gib
        if not one.name.startswith("ml.") or memory * USABLE < gib or not tariff.has(HOSTING + one.name):
            continue
        month = tariff.hosting(one.name).amount * 8760 / MONTHS
        if one.kind not in found or month < found[one.kind][1]:
            found[one.kind] = (one.name, month)
    return found


def _types(tariff: Tariff, gib: float) -> dict[str, Any]:
    by_size = {size: cheapest(tariff, size) for size in SIZES}
    series = [
        {
            **{"label": label, "colour": colour, "dash": dash},
            "values": [by_size[size][kind][1] if kind in by_size[size] else None for size in SIZES],
        }
        for kind, label, colour, dash in KINDS
    ]
    shown = cheapest(tariff, gib)
    return {
        "chosen": [(label, *shown[kind]) for kind, label, *_ in KINDS if kind in shown],
        "chart": {
            **{"x": list(SIZES), "series": series, "log": True, "log_up": True, "marks": [gib]},
            **{"across": "GiB of the loaded model", "before": "$"},
        },
    }


def _scaled(tariff: Tariff, load: Load, scaling: ScalingBounds, usage: FleetUsage) -> dict[str, Any]:
    both = breakeven.fixed_against_scaled(tariff, TYPE, scaling, load)
    most = fixed(load, scaling).most
    counts = usage.counts[DECEMBER]
    return {
        "fixed": both.first.month,
        "month": both.second.month,
        "saved": both.saved,
        "most": most,
        "short": usage.short,
        "bound": scaling.most,
        "chart": {
            "x": [hour / 24 + 1 for hour in range(len(counts))],
            "series": [
                {"label": "instances with autoscaling", "colour": "--green", "values": list(counts)},
                {
                    "label": "without: the busiest hour's",
                    "colour": "--blue",
                    "dash": [2, 4],
                    "values": [most] * len(counts),
                },
            ],
            "steps": True,
            "whole": True,
            "across": "day of December",
        },
        "days": [
            {
                "day": day + 1,
                "least": min(counts[24 * day : 24 * day + 24]),
                "most": max(counts[24 * day : 24 * day + 24]),
            }
            for day in range(31)
        ],
    }


def _commitment(tariff: Tariff, usage: FleetUsage) -> dict[str, Any]:
    hourly = [paid * tariff.hosting(TYPE).amount for paid in usage.paid]
    made = []
    for years in (1, 3):
        best = savings.best(hourly, tariff.catalogue.discount(years).part)
        falls = savings.bearable(hourly, best)
        row = {"years": years, "discount": best.discount, "covers": best.covers, "hourly": best.hourly}
        made.append({**row, "saving": best.saving / MONTHS, "falls": falls})
    points = [savings.curve(hourly, tariff.catalogue.discount(years).part) for years in (1, 3)]
    return {
        "made": made,
        "before": math.fsum(hourly) / MONTHS,
        "chart": {
            "x": [covers for covers, _ in points[0]],
            "series": [
                {"label": "one year", "colour": "--green", "values": [after / MONTHS for _, after in points[0]]},
                {
                    "label": "three years",
                    "colour": "--blue",
                    "dash": [7, 4],
                    "values": [after / MONTHS for _, after in points[1]],
                },
            ],
            "across": "dollars an hour committed",
            "before": "$",
            "marks": [made[0]["covers"]],
        },
    }


def _serverless(tariff: Tariff, values: Mapping[str, float], chosen: str) -> dict[str, Any]:
    traffic, year = Traffic(1.0, shape(chosen)), YEAR
    asked = OnDemandUsage(values["memory"], values["seconds"])
    ways = breakeven.serverless_against_real_time(tariff, asked, TYPE, ScalingBounds(values["each"], 1, 1000))
    crossing = breakeven.crossing(ways["serverless"], ways["real-time"], traffic, year)
    points = breakeven.curve(ways, traffic, year, least=0.01, most=100.0)
    return {
        "crossing": None if crossing is None else asdict(crossing),
        "chart": {
            "x": [point["rps"] for point in points],
            "series": [
                {
                    "label": "serverless",
                    "colour": "--green",
                    "dash": [7, 4],
                    "values": [point["serverless"] for point in points],
                },
                {"label": TYPE, "colour": "--blue", "values": [point["real-time"] for point in points]},
            ],
            **{"log": True, "log_up": True, "across": "requests a second in a busy hour", "before": "$"},
            "marks": [] if crossing is None else [crossing.rps],
        },
    }
