"""One endpoint for many models against one for each: sliders over the real cost model. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.features.cost import many_models
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.breakeven import BillComparison
from tidegate.features.cost.fleet import ScalingBounds
from tidegate.features.cost.shapes import shape
from tidegate.features.cost.sliders import Slider, form_fields, read_sliders
from tidegate.features.cost.traffic import YEAR, Load, Traffic
from tidegate.prices import Catalogue

REGION = "us-east-1"
EACH, SHARED = "ml.c5.large", "ml.m5.xlarge"
SLIDERS = (
    Slider("clients", "Clients, each with a model of its own", 1000, 1, 5000, 1),
    Slider(
        "megabytes",
        "Megabytes of one model in memory",
        45,
        1,
        1000,
        1,
        "tidegate show models shows what yours take",
    ),
    Slider("rate", "Requests a second of one client, in a busy hour", 0.05, 0.001, 10, 0.001),
    Slider("hot", "Percent of the models that are in use at a time", 50, 1, 100, 1),
)
POINTS = 24


def architectures(query: Mapping[str, str], catalogue: Catalogue) -> dict[str, Any]:
    """Everything that the page shows."""
    values, problems = read_sliders(SLIDERS, query)
    tariff = Tariff(catalogue, REGION)
    unit = Traffic(1.0, shape("diurnal")).hours(YEAR)
    wanted = round(values["clients"])
    here = _compare(tariff, unit, wanted, values)
    counts = sorted({round(5000 ** (step / (POINTS - 1))) for step in range(POINTS)} | {wanted})
    both = [_compare(tariff, unit, count, values) for count in counts]
    return {
        "fields": form_fields(SLIDERS, values),
        "problems": problems,
        "clients": wanted,
        "apart": here.first.month,
        "together": here.second.month,
        "saved": here.saved,
        "held": _pool(wanted, values).instances(catalogue.instance(SHARED).memory_gib),
        "each": EACH,
        "shared": SHARED,
        "curve": {
            "x": counts,
            "series": [
                {"label": "an endpoint each", "colour": "--blue", "values": [one.first.month for one in both]},
                {
                    "label": "one endpoint for all",
                    "colour": "--green",
                    "dash": [7, 4],
                    "values": [one.second.month for one in both],
                },
            ],
            "log": True,
            "log_up": True,
            "across": "clients",
            "before": "$",
            "marks": [wanted],
        },
    }


def _pool(count: int, values: Mapping[str, float]) -> many_models.ModelPool:
    return many_models.ModelPool(count, values["megabytes"] * 1e6, hot=values["hot"] / 100)


def _compare(tariff: Tariff, unit: Load, count: int, values: Mapping[str, float]) -> BillComparison:
    return many_models.dedicated_against_shared(
        tariff,
        _pool(count, values),
        (EACH, ScalingBounds(50.0, 1, 4)),
        (SHARED, ScalingBounds(200.0, 1, 1000)),
        unit.times(values["rate"] * count),
    )
