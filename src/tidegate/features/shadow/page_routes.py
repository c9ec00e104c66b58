"""The page of an endpoint's shadow variants: each beside its production variant, on the same requests."""

from functools import partial
from typing import Any

from tidegate.console.figures import UNKNOWN, format_milliseconds, format_percent
from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.domain.errors import NotFound
from tidegate.features.shadow.native import ComparedFleet, ShadowComparison, compare_shadows, describe_experiment
from tidegate.features.shadow.service import find_of_endpoint
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.service import endpoints

SECONDS = 3_600
"""The time that is compared."""


def page_routes(context: PageContext) -> list[GuardedRoute]:
    read = partial(_shadow_page, context.gateway)
    return live_routes(context, EndpointPart("shadow", "Shadow", "tidegate compare --shadow {}", "shadow"), read)


async def _shadow_page(gateway: Gateway, name: str) -> dict[str, Any]:
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
        "numbers": f"{one.with_numbers:,.0f}",
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
