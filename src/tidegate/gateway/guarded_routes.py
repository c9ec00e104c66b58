"""Routes that each declare what they ask of a caller, which is checked, and recorded for changes, before the handler
runs."""

import inspect
import json
from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.domain.access import Access, Caller, Means
from tidegate.gateway import callers
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.paths import NATIVE
from tidegate.service.audit_trail import RequestedOperation

Handler = Callable[[Request], Awaitable[Response]]


class GuardedRoute(Route):
    def __init__(
        self, gateway: Gateway, path: str, handler: Handler, access: Access, methods: Collection[str] = ("GET",)
    ) -> None:
        self.access = access

        async def endpoint(request: Request) -> Response:
            async with gateway.trail.allowing(describe_request(gateway, request, access)) as request.state.told:
                return await handler(request)

        super().__init__(path, endpoint, methods=list(methods))


def summarize(handler: object) -> str:
    """Return the first paragraph of a handler's docstring on one line, in Markdown."""
    text = inspect.cleandoc(getattr(handler, "__doc__", None) or "").partition("\n\n")[0]
    return " ".join(text.replace("``", "`").split())


def describe_request(gateway: Gateway, request: Request, access: Access) -> RequestedOperation:
    caller: Caller = request.state.caller
    about = next((str(value) for value in request.path_params.values()), "")
    said: dict[str, object] = {}
    if access.is_change:
        said = _read_object(request.state.body)
        about = about or _find_name(said)
    if caller.means is Means.LOOPBACK:
        caller = Caller(_text(said.get("by")), caller.role, caller.means)
    path = request.url.path.removeprefix(NATIVE)
    return RequestedOperation(
        caller,
        access,
        f"{request.method} {path}",
        about,
        callers.find_source(gateway.settings, request.headers),
        _text(said.get("reason")),
    )


def _find_name(said: dict[str, object]) -> str:
    spec = said.get("spec")
    if isinstance(spec, dict):
        return _text(spec.get("endpoint"))
    return _text(said.get("name")) or _text(said.get("owner"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_object(body: bytes) -> dict[str, object]:
    """The JSON object in a body; empty for anything else, which the handler refuses."""
    try:
        found = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
