"""The page of users, API tokens and sessions, for admins. It changes them through the native API."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.operate_pages import render
from tidegate.domain.access import Access, Role
from tidegate.features.access.people_native import DAYS, MAX_DAYS, read_users
from tidegate.features.access.service import token_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

USERS = f"{CONSOLE}/users"


def routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        shown = await _read_people(gateway)
        return render("users", request, roles=list(Role), days=DAYS, most_days=MAX_DAYS, **shown)

    return [GuardedRoute(gateway, USERS, show, Access.INSPECT)]


async def _read_people(gateway: Gateway) -> dict[str, Any]:
    """``people``: those of the provider of identity, with how many sessions each has."""
    now, logins = gateway.context.clock.now(), gateway.logins
    people: dict[str, dict[str, Any]] = {}
    for one in await logins.book.sessions():
        if one.role is not None and logins.is_open(one, now):
            shown = people.setdefault(one.name, {"name": one.name, "role": str(one.role), "sessions": 0})
            shown["sessions"] += 1
    return {
        "login": gateway.signed,
        "users": await read_users(gateway),
        "people": list(people.values()),
        "tokens": [token_view(token) for token in await logins.book.tokens()],
        "now": now.isoformat(),
    }
