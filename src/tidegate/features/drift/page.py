"""Whether what an endpoint is asked has drifted: the last look, by feature and slice, and what was before. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.console.alarm_meters import meter
from tidegate.console.endpoint_rows import BAD, GOOD, WARN
from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.console.plots import BarList, Box, LinePlot, bar_list, steps
from tidegate.domain.errors import NotFound
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.drift.service import show_drift
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.ports.store import Tx
from tidegate.service import endpoints

VERDICTS: Mapping[str, tuple[str, str]] = {
    "drift": ("drift", BAD),
    "no_drift": ("no drift", GOOD),
    "unknown": ("unknown", WARN),
}
SIDES = ("baseline", "now")
SHOWN_TURNS = 20


def drift_page(told: Mapping[str, Any]) -> dict[str, Any]:
    """``told``: schedule, last look and history, as the native API has them."""
    schedule, last = told["schedule"], told["last"]
    shown: dict[str, Any] = {"schedule": schedule, "looked": last is not None, "history": _turns(told["history"])}
    if last is None:
        return shown
    word, tone = VERDICTS[last["verdict"]]
    least = schedule["least"]
    return {
        **shown,
        "verdict": word,
        "tone": tone,
        "reason": last["reason"],
        "last": last,
        "skipped": [(reason, count) for reason, count in last["skipped"].items() if count],
        "findings": last["findings"],
        "more": last["total"] - len(last["findings"]),
        "changes": [_change(one, least) for one in last.get("changes", ())],
        "plots": [_plot(one) for one in last.get("shares", ())],
    }


def _turns(history: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Newest first."""
    newest = list(reversed(history))[:SHOWN_TURNS]
    return [{"at": one["at"], "said": one["said"], "tone": VERDICTS[one["verdict"]][1]} for one in newest]


def _change(one: Mapping[str, Any], least: float) -> dict[str, Any]:
    return {
        **one,
        "place": one["slice"] or "all rows",
        "meter": meter(one["distance"], least),
        "about": f"distance {one['distance']:.3f}, of which {least:g} or more matters",
    }


def _plot(one: Mapping[str, Any]) -> tuple[str, LinePlot | BarList]:
    """With the name of the macro that draws it."""
    title = f"{one['column']}, {one['slice'] or 'all rows'}"
    parts = [[100 * part for part in one[side]] for side in ("before", "now")]
    if one["names"]:
        return "bars", bar_list(title, SIDES, one["names"], parts)
    edges = one["edges"]
    box = Box(edges[0], edges[-1], 1.1 * max(max(each) for each in parts))
    lines = [
        box.line(name, style, steps(edges, each))
        for style, (name, each) in enumerate(zip(SIDES, parts, strict=True))
    ]
    said = "; ".join(f"{name}: most often {_peak(edges, each)}" for name, each in zip(SIDES, parts, strict=True))
    return "line_plot", LinePlot(
        title, f"{box.top:.0f} %", f"{edges[0]:.4g}", f"{edges[-1]:.4g}", said, tuple(lines)
    )


def _peak(edges: list[float], parts: list[float]) -> str:
    at = max(range(len(parts)), key=parts.__getitem__)
    return f"{edges[at]:.4g} to {edges[at + 1]:.4g}"


# --- the page of an endpoint's drift ---


def page_routes(context: PageContext) -> list[GuardedRoute]:
    async def read(name: str) -> dict[str, Any]:
        def work(tx: Tx) -> tuple[bool, dict[str, Any] | None]:
            captured = bool(captured_addresses(endpoints.get_endpoint(tx, name).body))
            try:
                return captured, show_drift(tx, name)
            except NotFound:
                return captured, None

        captured, told = await context.gateway.context.store.read(work)
        shown = None if told is None else drift_page(told)
        return {"there": shown is not None, "captured": captured, "drift": shown}

    return live_routes(context, EndpointPart("drift", "Drift", "tidegate drift schedule show {}", "drift"), read)
