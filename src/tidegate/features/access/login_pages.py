"""Signing in and out, and what a page asks to learn whether its session goes on."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tidegate import __version__
from tidegate.console.identity import identify_reader
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import USER_NAME, Access, Caller, Means
from tidegate.domain.errors import AuthError, TooManyAttempts
from tidegate.gateway import callers
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.error_responses import status_of
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE, LOGIN
from tidegate.service.audit_trail import RequestedOperation

NEXT = re.compile(rf"{CONSOLE}(?:[/?][\x21-\x5b\x5d-\x7e]*)?")
"""Addresses that a login may lead to: pages of the console."""
MAX_NAME = 64
NO_STORE = {**HEADERS, "cache-control": "no-store"}


def routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        caller: Caller = request.state.caller
        if caller.means is not Means.NONE:
            return RedirectResponse(next_page(request.query_params), 303, headers=NO_STORE)
        ended = "Your session has ended." if request.query_params.get("ended") else ""
        return await show_form(gateway, request.query_params, notice=ended)

    async def sign_in(request: Request) -> Response:
        return await _sign_in(gateway, request)

    async def sign_out(request: Request) -> Response:
        await gateway.logins.end(request.state.caller)
        answer = RedirectResponse(LOGIN, 303, headers=NO_STORE)
        answer.delete_cookie(callers.cookie_name(gateway.settings), path="/", **_attributes(gateway))
        return answer

    async def describe(request: Request) -> Response:
        reader = identify_reader(request)
        told = {"name": reader.name, "role": reader.role, "csrf": reader.csrf}
        return JSONResponse(told, headers=NO_STORE)

    return [
        GuardedRoute(gateway, LOGIN, show, Access.OPEN),
        GuardedRoute(gateway, LOGIN, sign_in, Access.OPEN, ["POST"]),
        GuardedRoute(gateway, f"{CONSOLE}/logout", sign_out, Access.READ, ["POST"]),
        GuardedRoute(gateway, f"{CONSOLE}/session", describe, Access.READ),
    ]


async def _sign_in(gateway: Gateway, request: Request) -> Response:
    form, source = callers.parse_form(request.scope), callers.find_source(gateway.settings, request.headers)
    if not gateway.signed:
        return RedirectResponse(next_page(form), 303, headers=NO_STORE)
    name = form.get("name", "").strip()
    callers.check_site(gateway, request.headers)
    before = callers.find_cookie(gateway.settings, request.headers) or ""
    now = gateway.context.clock.now()
    try:
        secret = await gateway.logins.login(
            name, form.get("password", ""), callers.network_of(source), now, before
        )
    except AuthError as error:
        await gateway.trail.note_refusal(
            RequestedOperation(await _find_caller(gateway, name), Access.CHANGE, "login", source=source), error
        )
        return await show_form(gateway, form, problem=error)
    caller = await gateway.logins.find_session(secret, now)
    await gateway.trail.note(RequestedOperation(caller, Access.CHANGE, "login", source=source))
    return begin_session(gateway, secret, next_page(form))


async def _find_caller(gateway: Gateway, name: str) -> Caller:
    """Who failed to sign in. What nobody is called is not recorded: people type passwords into the wrong field."""
    user = await gateway.logins.book.user(name) if USER_NAME.fullmatch(name) else None
    return Caller(user.name if user is not None else "(nobody)", None, Means.NONE)


def begin_session(gateway: Gateway, secret: str, target: str) -> Response:
    answer = RedirectResponse(target, 303, headers=NO_STORE)
    answer.set_cookie(callers.cookie_name(gateway.settings), secret, path="/", **_attributes(gateway))
    return answer


def _attributes(gateway: Gateway) -> dict[str, Any]:
    """No expiry: the cookie ends with the browser, if the session does not before."""
    return {"httponly": True, "samesite": "lax", "secure": callers.is_encrypted(gateway.settings)}


async def show_form(
    gateway: Gateway, asked: Mapping[str, str], *, notice: str = "", problem: AuthError | None = None
) -> Response:
    settings = gateway.settings
    text = TEMPLATES.get_template("login.html").render(
        version=__version__,
        next=next_page(asked),
        name=asked.get("name", "")[:MAX_NAME],
        notice=notice,
        problem=problem.message if problem is not None else "",
        provider=settings.oidc_issuer,
        users=bool(await gateway.logins.book.users()),
        encrypted=settings.loopback or callers.is_encrypted(settings),
    )
    headers = dict(NO_STORE)
    if isinstance(problem, TooManyAttempts):
        headers["retry-after"] = str(round(problem.wait) + 1)
    status = 200 if problem is None else 401 if status_of(problem) == 403 else status_of(problem)
    return HTMLResponse(text, status, headers=headers)


def next_page(asked: Mapping[str, str]) -> str:
    wanted = asked.get("next", "")
    return wanted if NEXT.fullmatch(wanted) else CONSOLE
