"""Routes of the lab: its page, live, and its steps in the native API."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console import endpoint_page
from tidegate.console.figures import format_clock
from tidegate.console.identity import identify_reader
from tidegate.console.live_stream import LiveStreams, Snapshot
from tidegate.console.operate_pages import open_stream
from tidegate.console.rendering import TEMPLATES, load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, NotFound
from tidegate.features.cost.endpoint_cost import cost_view
from tidegate.features.cost.reader import CostReader
from tidegate.features.lessons.lab.desk import BAKE, LAB, LEAST_BAKE, LONGEST_BAKE, LabDesk, Look
from tidegate.features.lessons.lab.progress import ENDPOINT, VERSIONS, Step, StepState
from tidegate.features.lessons.lab.story import TEXTS, list_commands
from tidegate.features.lessons.lab.training import read_quality
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE, NATIVE
from tidegate.gateway.request_parsing import parse_json_object, parse_purpose, parse_requester

PAGE = f"{CONSOLE}/lab"
OPERATIONS = (("GET", "/lab", Access.READ), ("POST", "/lab/{step}", Access.CHANGE))
"""Method, path under the native API, and what it asks of a caller."""
BAKES = tuple(f"{seconds:g}" for seconds in (LEAST_BAKE, BAKE, LONGEST_BAKE))
TONES = {StepState.DONE: "good", StepState.UNDER_WAY: "warn"}
WORDS = {
    StepState.AHEAD: "to come",
    StepState.READY: "your turn",
    StepState.UNDER_WAY: "under way",
    StepState.DONE: "done",
}


def routes(gateway: Gateway, desk: LabDesk, streams: LiveStreams) -> list[GuardedRoute]:
    costs = CostReader(gateway)

    async def show(request: Request) -> Response:
        may = identify_reader(request).may_operate
        lab = await _read(gateway, desk, costs, may)
        return render_page("lab", request, await load_catalogue(gateway), lab=lab, texts=TEXTS, bakes=BAKES)

    async def stream(request: Request) -> Response:
        may = identify_reader(request).may_operate
        view = "/lab/commands" if may else "/lab"
        return open_stream(gateway, streams, request, view, lambda: _snapshot(gateway, desk, costs, may))

    return [
        GuardedRoute(gateway, PAGE, show, Access.READ),
        GuardedRoute(gateway, f"{PAGE}/live", stream, Access.READ),
        *(
            GuardedRoute(gateway, NATIVE + path, partial(handle, desk), access, [method])
            for (method, path, access), handle in zip(OPERATIONS, (_describe, _do), strict=True)
        ),
    ]


async def _describe(desk: LabDesk, request: Request) -> Response:
    return JSONResponse(_document(await desk.look()))


async def _do(desk: LabDesk, request: Request) -> Response:
    """Do a step; answers with all of them."""
    body = parse_json_object(request, ("by", "reason", "run", "bake"))
    by, bake, run = parse_requester(request, body), body.get("bake", BAKE), body.get("run")
    parse_purpose({"reason": body.get("reason", "")})
    if isinstance(bake, bool) or not isinstance(bake, int | float) or not LEAST_BAKE <= bake <= LONGEST_BAKE:
        raise Invalid(f"'bake' must be the seconds of a stage's bake: {LEAST_BAKE:g} to {LONGEST_BAKE:g}")
    if run is not None and not isinstance(run, str):
        raise Invalid("'run' must be the id of a lab, or empty for none")
    step = await desk.do(request.path_params["step"], by, run, bake, request.state.caller)
    request.state.told.detail = f"step {step.name} of the lab"
    return JSONResponse(_document(await desk.look()), 202)


def _document(found: Look) -> dict[str, Any]:
    run = found.run
    return {
        "run": None if run is None else run.id,
        "endpoint": ENDPOINT,
        "by": None if run is None else run.by,
        "until": None if run is None else run.until.isoformat(),
        "steps": [{"name": one.name, "state": one.state, "said": one.said} for one in found.steps],
    }


async def _snapshot(gateway: Gateway, desk: LabDesk, costs: CostReader, may: bool) -> Snapshot:
    lab = await _read(gateway, desk, costs, may)
    parts: Any = TEMPLATES.get_template("lab_parts.html").module
    whole = {f"step-{step['name']}": str(parts.step(lab, step)) for step in lab["steps"]}
    return Snapshot({**whole, "run": str(parts.run(lab))})


async def _read(gateway: Gateway, desk: LabDesk, costs: CostReader, may: bool) -> dict[str, Any]:
    """All that the page shows; buttons only for those who may press them."""
    found = await desk.look()
    page, cost = None, None
    if found.seen.present:
        try:
            page = await endpoint_page.read_page(gateway, ENDPOINT, False)
            cost = cost_view(await costs.read(ENDPOINT))
        except NotFound:
            page = None  # it was removed between two looks
    compared = page is not None and page["evidence"] is not None
    shown = found.versions.get(page["rollout"]["new"]) if page is not None and page["rollout"] else None
    run, now = found.run, gateway.context.clock.now()
    return {
        "run": "" if run is None else run.id,
        "by": "" if run is None else run.by,
        "left": None if run is None else format_clock(max(0.0, (run.until - now).total_seconds())),
        "steps": [_step_view(step, gateway, desk, may) for step in found.steps],
        "page": page,
        "cost": cost if page is not None else None,
        "shown": shown,
        "compared": compared and shown == "worse",
        "quality": read_quality(desk.folder) if found.seen.trained else [],
        "traffic": _traffic_view(desk, found, now),
    }


def _step_view(step: Step, gateway: Gateway, desk: LabDesk, may: bool) -> dict[str, Any]:
    told = TEXTS[step.name]
    ready = step.state is StepState.READY
    return {
        "name": str(step.name),
        "state": step.state,
        "word": WORDS[step.state],
        "tone": TONES.get(step.state, "") or (step.tone if ready else ""),
        "notice": step.tone if step.tone in ("bad", "warn") else "",
        "said": step.said,
        "version": VERSIONS.get(step.name, ""),
        "button": (f"{told.label} again" if step.again else told.label) if ready and may else "",
        "waits": ready and not may and bool(told.label),
        "confirm": told.confirm,
        "commands": list_commands(step.name, desk.folder, gateway.settings.url, gateway.signed),
    }


def _traffic_view(desk: LabDesk, found: Look, now: Any) -> dict[str, str] | None:
    """What this server sends; None if it sends nothing."""
    traffic = None if found.run is None else found.run.traffic_at(now)
    if traffic is None or not found.seen.sending:
        return None
    counts = desk.runs.counts(LAB)
    answered, failed = sum(counts.answered.values()), sum(counts.failed.values())
    return {
        "rate": f"{traffic.rate_at(now):g}",
        "left": format_clock(max(0.0, (traffic.until - now).total_seconds())),
        "answered": f"{answered:,}",
        "failed": f"{failed:,}",
        "failure": counts.last_failure if failed else "",
    }
