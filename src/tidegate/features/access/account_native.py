"""Operations of the native API on the caller's own account: password, API tokens and sessions. They require that the
caller is signed in, so that a leaked token cannot create tokens that last longer, or shut its owner out."""

from typing import Any, TypedDict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.access import Caller, Means, Role, Session
from tidegate.domain.errors import Conflict, Invalid, NotFound
from tidegate.features.access.people_native import (
    NO_STORE,
    OwnTokenBody,
    answer_token,
    open_book,
    parse_role,
    parse_text,
)
from tidegate.features.access.service import SESSION_ID, session_view, token_view
from tidegate.gateway import callers
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import EmptyBody, takes


async def describe_account(gateway: Gateway, request: Request) -> Response:
    """Show the caller's role, API tokens and sessions."""
    return JSONResponse(await read_account(gateway, request), headers=NO_STORE)


async def read_account(gateway: Gateway, request: Request) -> dict[str, Any]:
    """Describe the caller's account, with its tokens and sessions. ``user``: whether it is a user of this server,
    with a password and tokens."""
    caller: Caller = request.state.caller
    user = await _is_user(gateway, caller)
    tokens = await gateway.logins.book.tokens() if user else []
    return {
        "name": caller.name,
        "role": str(caller.role or ""),
        "means": str(caller.means),
        "user": user,
        "tokens": [token_view(token) for token in tokens if token.owner == caller.name],
        "sessions": [
            {**session_view(one), "this": one.digest == caller.session}
            for one in await _own_sessions(gateway, caller)
        ],
    }


class OwnPasswordBody(TypedDict):
    """The caller's present password, and the new one."""

    present: str
    password: str


@takes(OwnPasswordBody)
async def change_password(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Change the caller's password, and end all other sessions of the user."""
    caller, now = await _require_user(gateway, request), gateway.context.clock.now()
    present, wanted = parse_text(body, "present"), parse_text(body, "password")
    if present == wanted:
        raise Invalid("the new password is the present one: choose another")
    book = open_book(gateway, request, now)
    source = callers.network_of(callers.find_source(gateway.settings, request.headers))
    known = await gateway.logins.check_password(caller.name, present, source, now)
    await book.set_password(caller.name, wanted, now, keep=caller.session, known=known)
    return JSONResponse({"name": caller.name, "changed": True})


@takes(OwnTokenBody)
async def create_token(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Create an API token of the caller, whose secret is shown once."""
    caller, now = await _require_user(gateway, request), gateway.context.clock.now()
    role = parse_role(body, "role") or caller.role or Role.VIEWER
    return await answer_token(request, open_book(gateway, request, now), caller.name, body, role, now)


@takes(EmptyBody)
async def revoke_token(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Revoke an API token of the caller."""
    caller, now = await _require_user(gateway, request), gateway.context.clock.now()
    id = request.path_params["id"]
    gone = await open_book(gateway, request, now).revoke_token(id, now, caller.name)
    request.state.told.detail = gone.label if gone is not None else ""
    return JSONResponse({"id": id, "revoked": True})


class OwnSessionBody(TypedDict, total=False):
    """The session that ends; without an id all others do."""

    id: str


@takes(OwnSessionBody)
async def end_sessions(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """End all sessions of the caller but the present one, or the one with an ``id``."""
    caller, now = _require_session(request), gateway.context.clock.now()
    open_book(gateway, request, now)  # counts the change
    book = gateway.logins.book
    if "id" not in body:
        ended = await book.end_sessions(caller.name, caller.session)
    else:
        wanted = parse_text(body, "id")
        found = [one for one in await _own_sessions(gateway, caller) if one.digest[:SESSION_ID] == wanted]
        if not found:
            raise NotFound("there is no such session of yours: it has ended meanwhile")
        for one in found:
            await book.end_session(one.digest)
        ended = len(found)
    request.state.told.detail = f"{ended} sessions"
    return JSONResponse({"ended": ended})


async def _own_sessions(gateway: Gateway, caller: Caller) -> list[Session]:
    now = gateway.context.clock.now()
    if caller.means not in (Means.SESSION, Means.TOKEN):
        return []  # a key may be called like a user
    return [
        one
        for one in await gateway.logins.book.sessions()
        if one.name == caller.name and gateway.logins.is_open(one, now)
    ]


async def _is_user(gateway: Gateway, caller: Caller) -> bool:
    return caller.means in (Means.SESSION, Means.TOKEN) and await gateway.logins.book.user(caller.name) is not None


def _require_session(request: Request) -> Caller:
    """Raises Conflict."""
    caller: Caller = request.state.caller
    if caller.means is not Means.SESSION:
        raise Conflict("sign in to the console to change what is your own: no key or token can")
    return caller


async def _require_user(gateway: Gateway, request: Request) -> Caller:
    """Raises Conflict."""
    caller = _require_session(request)
    if not await _is_user(gateway, caller):
        raise Conflict(f"{caller.name} signs in at a provider of identity, and has no password or tokens here")
    return caller
