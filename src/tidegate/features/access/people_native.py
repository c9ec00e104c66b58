"""Users, API tokens and sessions in the native API, for admins: the use cases that ``tidegate
access`` has, too. Each change is recorded by its route, before it is made."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.access import Caller, Means, Role
from tidegate.domain.errors import Conflict, Invalid
from tidegate.features.access.service import UserBook, session_view, token_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.native_body import ReasonBody, takes
from tidegate.gateway.request_parsing import parse_flag, parse_purpose

MAX_DAYS = 3650
DAYS = 90
NO_STORE = {"cache-control": "no-store"}


def open_book(gateway: Gateway, request: Request, now: datetime) -> UserBook:
    """Open the user book for one change. Raises Conflict where nobody signs in, TooManyAttempts."""
    if not gateway.signed:
        raise Conflict(
            "nobody signs in to this server: add the first user on its machine (tidegate access user add NAME --role"
            " admin) and start it anew"
        )
    caller: Caller = request.state.caller
    logins = gateway.logins
    logins.count_change(caller, now)
    return UserBook(logins.book, None, caller, logins.random, logins.cost, logins.turns)


async def list_users(gateway: Gateway, request: Request) -> Response:
    """List the users with their roles."""
    return JSONResponse({"users": await read_users(gateway)}, headers=NO_STORE)


async def read_users(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the users by name, each with the number of sessions and tokens."""
    book, now = gateway.logins.book, gateway.context.clock.now()
    tokens = Counter(token.owner for token in await book.tokens())
    open_now = [one for one in await book.sessions() if one.role is None and gateway.logins.is_open(one, now)]
    sessions = Counter(one.name for one in open_now)
    return [
        {
            "name": user.name,
            "role": str(user.role),
            "disabled": user.disabled,
            "created_at": user.created_at.isoformat(),
            "changed_at": user.changed_at.isoformat(),
            "sessions": sessions[user.name],
            "tokens": tokens[user.name],
        }
        for user in await book.users()
    ]


class UserBody(ReasonBody):
    """A user to add."""

    name: str
    role: Role
    password: str


@takes(UserBody)
async def add_user(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Add a user, with a role and a password."""
    name, role, now = parse_text(body, "name"), parse_role(body, "role"), gateway.context.clock.now()
    if role is None:
        raise Invalid("'role' is missing")
    _check_reason(body)
    await open_book(gateway, request, now).add(name, role, parse_text(body, "password"), now)
    request.state.told.detail = str(role)
    return JSONResponse({"name": name, "role": role}, 201)


class RoleBody(ReasonBody):
    """The role that a user gets."""

    role: Role


@takes(RoleBody)
async def set_role(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Change the role of a user."""
    name, role, now = request.path_params["user"], parse_role(body, "role"), gateway.context.clock.now()
    if role is None:
        raise Invalid("'role' is missing")
    _check_reason(body)
    _refuse_oneself(request, name, "nobody changes their own role: ask another admin")
    await open_book(gateway, request, now).set_role(name, role, now)
    request.state.told.detail = str(role)
    return JSONResponse({"name": name, "role": role})


class PasswordBody(ReasonBody):
    """The password that a user gets."""

    password: str


@takes(PasswordBody)
async def set_password(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Set the password of another user. Callers change their own on the account page, which requires the present
    password."""
    name, now = request.path_params["user"], gateway.context.clock.now()
    _check_reason(body)
    _refuse_oneself(request, name, "your own password is changed on your account's page, with the present one")
    await open_book(gateway, request, now).set_password(name, parse_text(body, "password"), now)
    return JSONResponse({"name": name, "changed": True})


class DisabledBody(ReasonBody):
    """Whether a user may sign in no longer."""

    disabled: bool


@takes(DisabledBody)
async def set_disabled(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Disable a user, or enable the user again."""
    name, now = request.path_params["user"], gateway.context.clock.now()
    if "disabled" not in body:
        raise Invalid("'disabled' is missing: true or false")
    disabled = parse_flag(body, "disabled")
    _check_reason(body)
    _refuse_oneself(request, name, "nobody disables themselves: ask another admin")
    await open_book(gateway, request, now).set_disabled(name, disabled, now)
    request.state.told.detail = "disabled" if disabled else "enabled"
    return JSONResponse({"name": name, "disabled": disabled})


@takes(ReasonBody)
async def remove_user(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Remove a user, with all tokens and sessions."""
    name, now = request.path_params["user"], gateway.context.clock.now()
    _check_reason(body)
    _refuse_oneself(request, name, "nobody removes themselves: ask another admin")
    await open_book(gateway, request, now).remove(name, now)
    return JSONResponse({"name": name, "removed": True})


async def list_sessions(gateway: Gateway, request: Request) -> Response:
    """List the sessions of all users."""
    now = gateway.context.clock.now()
    found = [one for one in await gateway.logins.book.sessions() if gateway.logins.is_open(one, now)]
    return JSONResponse({"sessions": [session_view(one) for one in found]}, headers=NO_STORE)


class SignedInBody(ReasonBody):
    """A person whose sessions end."""

    name: str


@takes(SignedInBody)
async def end_sessions(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """End all sessions of a local user, or of a person whom the identity provider authenticates."""
    name, now = parse_text(body, "name"), gateway.context.clock.now()
    _check_reason(body)
    ended = await open_book(gateway, request, now).sign_out(name, now)
    request.state.told.detail = f"{ended} sessions"
    return JSONResponse({"name": name, "ended": ended})


async def list_tokens(gateway: Gateway, request: Request) -> Response:
    """List the API tokens of all users."""
    found = await gateway.logins.book.tokens()
    return JSONResponse({"tokens": [token_view(token) for token in found]}, headers=NO_STORE)


class OwnTokenBody(TypedDict):
    """An API token. ``days``: until it expires; 0: it does not."""

    label: str
    role: NotRequired[Role | None]
    days: NotRequired[Annotated[int, Meta(ge=0, le=MAX_DAYS)]]


class TokenBody(OwnTokenBody, ReasonBody):
    """An API token of a user."""

    owner: str


@takes(TokenBody)
async def create_token(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Create an API token for a user, whose secret is shown once."""
    now = gateway.context.clock.now()
    _check_reason(body)
    return await answer_token(
        request, open_book(gateway, request, now), parse_text(body, "owner"), body, parse_role(body, "role"), now
    )


async def answer_token(
    request: Request, book: UserBook, owner: str, body: dict[str, Any], role: Role | None, now: datetime
) -> Response:
    """The new token with its text, this once."""
    days = body.get("days", DAYS)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= MAX_DAYS:
        raise Invalid(f"'days' must be a whole number from 0 (it does not expire) to {MAX_DAYS}")
    made, text = await book.create_token(owner, role, parse_text(body, "label"), days or None, now)
    request.state.told.detail = f"{made.id}: {made.label}, {made.role}"
    return JSONResponse({**token_view(made), "token": text}, 201, headers=NO_STORE)


@takes(ReasonBody)
async def revoke_token(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Revoke an API token of any user."""
    id, now = request.path_params["id"], gateway.context.clock.now()
    _check_reason(body)
    gone = await open_book(gateway, request, now).revoke_token(id, now)
    if gone is not None:
        request.state.told.detail = f"{gone.label}, of {gone.owner}"
    return JSONResponse({"id": id, "revoked": True})


def _refuse_oneself(request: Request, name: str, why: str) -> None:
    """An open page or a token that somebody else got hold of is not to shut its owner out. Raises Conflict."""
    caller: Caller = request.state.caller
    if caller.means in (Means.SESSION, Means.TOKEN) and caller.name == name:
        raise Conflict(why)


def _check_reason(body: dict[str, Any]) -> None:
    """Check that a reason is given, which the route records. Raises Invalid."""
    parse_purpose({"reason": body.get("reason", "")})


def parse_text(body: dict[str, Any], name: str) -> str:
    """Parse a text without quoting it in errors, since it may be a password. Raises Invalid."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"'{name}' must be text")
    return value


def parse_role(body: dict[str, Any], name: str) -> Role | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in set(Role):
        raise Invalid(f"'{name}' must be one of {', '.join(Role)}")
    return Role(value)
