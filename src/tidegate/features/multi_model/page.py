"""The models of a multi-model endpoint, as its instances have them: searched, and shown page by page. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.endpoint_rows import BAD, GOOD, WARN
from tidegate.console.figures import UNKNOWN, format_clock, format_milliseconds, format_percent, format_rate
from tidegate.console.insight_pages import EndpointPart, render_part
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Access
from tidegate.domain.memory_sizes import format_size
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.service import endpoints

SHOWN = 100
"""Models of one page."""
TONES: Mapping[str, str] = {"loaded": GOOD, "loading": WARN, "refused": BAD}


def models_page(replicas: Sequence[Mapping[str, Any]], find: str, page: int) -> dict[str, Any]:
    """Make the data of the page. ``find``: part of a name, in any case; empty: all. ``page``: from 1; beyond the last
    one it is the last."""
    answered = [one for one in replicas if "models" in one]
    every = [(model, one["replica"]) for one in answered for model in one["models"]]
    wanted = find.casefold()
    found = [both for both in every if wanted in both[0]["name"].casefold()]
    found.sort(key=lambda both: (-both[0]["requests_per_second"], both[0]["name"], both[1]))
    last = max(1, -(-len(found) // SHOWN))
    here = min(max(1, page), last)
    return {
        "instances": [_instance(one) for one in replicas],
        "rows": [_row(model, replica) for model, replica in found[SHOWN * (here - 1) : SHOWN * here]],
        "find": find,
        "total": f"{len(found):,}",
        "known": f"{len(every):,}",
        "page": here,
        "pages": last,
        "before": _address(find, here - 1) if here > 1 else None,
        "after": _address(find, here + 1) if here < last else None,
    }


def _address(find: str, page: int) -> str:
    return "?" + urlencode({"find": find, "page": page})


def _instance(one: Mapping[str, Any]) -> dict[str, Any]:
    if "models" not in one:
        return {"name": one["replica"], "answered": False}
    held, memory = one["held"], one["memory"]
    return {
        "name": one["replica"],
        "answered": True,
        "loaded": f"{one['loaded']:,}",
        "held": format_size(held),
        "memory": format_size(memory),
        "part": round(min(100.0, 100 * held / memory), 1) if memory else 0,
    }


def _row(model: Mapping[str, Any], replica: str) -> dict[str, Any]:
    return {
        "name": model["name"],
        "replica": replica,
        "state": model["state"],
        "tone": TONES.get(model["state"], WARN),
        "pinned": model["pinned"],
        "bytes": format_size(model["bytes"]),
        "rate": format_rate(model["requests_per_second"]),
        "reason": model["reason"],
        **_answers(model.get("answers")),
    }


def _answers(told: Mapping[str, Any] | None) -> dict[str, str]:
    """Format a model's answers of the last minutes. Unknown values are dashes, as are those of instances of an
    earlier version."""
    if told is None:
        return {"latency": UNKNOWN, "errors": UNKNOWN, "last": UNKNOWN}
    errors = told["errors"] / told["requests"] if told["requests"] else None
    return {
        "latency": f"{format_milliseconds(told['p50_ms'])} / {format_milliseconds(told['p99_ms'])}",
        "errors": format_percent(errors),
        "last": f"{format_clock(told['seconds_since_last'])} ago",
    }


# --- the page of the models of a multi-model endpoint ---


MOST_MODELS = 10_000
"""Of each instance; one lists 1,000."""
MOST_PAGES = 100_000


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway = context.gateway

    async def show(request: Request) -> Response:
        name, page = parse_endpoint_name(request), parse_number(request, "page", 1, 1, MOST_PAGES)
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
        listed: Any = await gateway.models(name, MOST_MODELS)
        replicas = [one for one in listed if "signature" not in one]
        shown = models_page(replicas, request.query_params.get("find", "")[:200].strip(), page)
        part = EndpointPart("models", "Models", "tidegate show models {} --limit 1000", "models?limit=1000")
        return await render_part(gateway, part, {"there": bool(replicas), **shown}, request, live=False)

    return [GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/models", show, Access.READ)]
