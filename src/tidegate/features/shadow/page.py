"""A shadow variant beside its production variant, on the same requests."""

from typing import Any

from tidegate.console.figures import UNKNOWN, format_milliseconds, format_percent
from tidegate.domain.errors import NotFound
from tidegate.features.shadow.native import ComparedFleet, ShadowComparison, compare_shadows, describe_experiment
from tidegate.features.shadow.service import find_of_endpoint
from tidegate.gateway.dependencies import Gateway
from tidegate.service import endpoints

SECONDS = 3_600
"""The time that is compared."""


async def shadow_page(gateway: Gateway, name: str) -> dict[str, Any]:
    """Raises NotFound for an endpoint that is not there."""
    context, now = gateway.context, gateway.context.clock.now()
    endpoint, test = await context.store.read(
        lambda tx: (endpoints.get_endpoint(tx, name).body, find_of_endpoint(tx, name))
    )
    try:
        found = await compare_shadows(context.metrics, endpoint, SECONDS, now)
    except NotFound:
        return {"there": False, "comparisons": [], "experiment": None}
    experiment = describe_experiment(test) if test is not None and not test.ended else None
    return {"there": True, "comparisons": [_comparison(one) for one in found], "experiment": experiment}


def _comparison(one: ShadowComparison) -> dict[str, Any]:
    return {
        "config": one.config,
        "share": f"{one.share:g} %",
        "copies": f"{one.copies:,.0f}",
        "failed": f"{one.failed:,.0f}",
        "dropped": f"{one.dropped:,.0f}",
        "compared": f"{one.compared:,.0f}",
        "agreement": format_percent(one.agreement),
        "mean": UNKNOWN if one.mean_difference is None else f"{one.mean_difference:.3g}",
        "largest": UNKNOWN if one.largest_difference is None else f"{one.largest_difference:.3g}",
        "sides": (
            {"name": one.variant, "role": "answers clients", **_fleet(one.original)},
            {"name": one.shadow, "role": "shadow", **_fleet(one.copied)},
        ),
    }


def _fleet(one: ComparedFleet) -> dict[str, str]:
    return {
        "requests": f"{one.requests:,.0f}",
        "errors": format_percent(one.errors),
        "p50": format_milliseconds(one.p50_ms),
        "p99": format_milliseconds(one.p99_ms),
    }
