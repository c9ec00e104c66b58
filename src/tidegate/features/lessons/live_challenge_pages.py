"""Routes of the live challenges: started, stopped and shown by the native API, and followed by the page."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console.identity import Reader, identify_reader
from tidegate.console.live_stream import LiveStreams, Snapshot
from tidegate.console.operate_pages import open_stream
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.features.access.audit_native import entry_view
from tidegate.features.lessons.challenge_records import LiveChallenge
from tidegate.features.lessons.live_challenges.driver import LiveChallenges
from tidegate.features.lessons.live_challenges.specs import NAMES, find_challenge
from tidegate.features.lessons.live_challenges.view import Surroundings, describe
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute, describe_request
from tidegate.gateway.paths import CONSOLE, NATIVE
from tidegate.gateway.request_parsing import parse_json_object, parse_purpose, parse_requester

PARTS = ("state", "figures", "story")
OPERATIONS = (
    ("GET", "/challenges", Access.READ),
    ("GET", "/challenges/{name}", Access.READ),
    ("POST", "/challenges/{name}", Access.CHANGE),
    ("POST", "/challenges/{name}/stop", Access.CHANGE),
)
"""Method, path under the native API, and what it asks of a caller."""
SHOWN_ENTRIES = 20
MEMBERS = ("by", "reason")


def routes(gateway: Gateway, live: LiveChallenges, streams: LiveStreams) -> list[GuardedRoute]:
    async def show_all(request: Request) -> Response:
        found = [await _render(live, name) for name in NAMES]
        return JSONResponse({"obstacle": live.describe_obstacle() or None, "challenges": found})

    async def show(request: Request) -> Response:
        return JSONResponse(await _render(live, _parse_name(gateway, request)))

    async def start(request: Request) -> Response:
        name, body = _parse_name(gateway, request), parse_json_object(request, MEMBERS)
        parse_purpose(body)
        await live.begin(name, describe_request(gateway, request, Access.CHANGE), parse_requester(request, body))
        return JSONResponse(await _render(live, name), 201)

    async def stop(request: Request) -> Response:
        name, body = _parse_name(gateway, request), parse_json_object(request, (*MEMBERS, "run"))
        parse_purpose(body)
        run = body.get("run")
        if run is not None and not isinstance(run, str):
            raise Invalid("'run' must be the id of a run")
        await live.stop(name, parse_requester(request, body), run)
        return JSONResponse(await _render(live, name))

    async def follow(request: Request) -> Response:
        name, who = _parse_name(gateway, request), identify_reader(request)
        view = f"challenges/{name}/{who.may_operate}/{who.may_inspect}"
        return open_stream(gateway, streams, request, view, lambda: _snapshot(live, name, who))

    return [
        *(
            GuardedRoute(gateway, NATIVE + path, handle, access, [method])
            for (method, path, access), handle in zip(OPERATIONS, (show_all, show, start, stop), strict=True)
        ),
        GuardedRoute(gateway, f"{CONSOLE}/challenges/{{name}}/live", follow, Access.READ),
    ]


def _parse_name(gateway: Gateway, request: Request) -> str:
    """Raises NotFound."""
    return find_challenge(request.path_params["name"], gateway.settings.capture_seconds).name


async def _render(live: LiveChallenges, name: str) -> dict[str, Any]:
    """``verdict`` None: it is under way, or was never run (``run`` None)."""
    seen = await live.see(name)
    return {"name": name, "removing": seen.removing, **_members(seen.found)}


def _members(found: LiveChallenge | None) -> dict[str, Any]:
    if found is None:
        return {"run": None, "verdict": None}
    return {
        "run": found.run,
        "endpoint": found.endpoint,
        "by": found.by,
        "begun_at": found.begun_at.isoformat(),
        "verdict": str(found.verdict) if found.verdict else None,
        "said": found.said,
        "ended_at": found.ended_at.isoformat() if found.ended_at else None,
        "picture": found.picture,
    }


async def read_challenge(live: LiveChallenges, name: str, who: Reader) -> dict[str, Any]:
    """What the page shows of it to this reader."""
    gateway = live.gateway
    challenge = find_challenge(name, gateway.settings.capture_seconds)
    seen = await live.see(name)
    found = seen.found
    around = Surroundings(live.describe_obstacle(), seen.removing, seen.other, who.may_operate)
    shown = describe(challenge, found, around)
    entries: list[dict[str, Any]] = []
    if name == "incident" and who.may_inspect and found is not None:
        read = await gateway.trail.audit.read(before=0, limit=SHOWN_ENTRIES, who="", about=found.endpoint)
        entries = [entry_view(entry) for entry in reversed(read)]
    return {**shown, "audit": entries, "may_inspect": who.may_inspect}


async def _snapshot(live: LiveChallenges, name: str, who: Reader) -> Snapshot:
    it = await read_challenge(live, name, who)
    parts: Any = TEMPLATES.get_template("live_challenge_parts.html").module
    return Snapshot({part: str(getattr(parts, part)(it)) for part in PARTS})
