"""The page of what is the reader's own: password, API tokens and sessions."""

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.operate_pages import render
from tidegate.domain.access import Access, Caller, Role
from tidegate.features.access.account_native import read_account
from tidegate.features.access.people_native import DAYS, MAX_DAYS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

ACCOUNT = f"{CONSOLE}/account"


def routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        caller: Caller = request.state.caller
        own = await read_account(gateway, request)
        roles = [role for role in Role if caller.role is not None and caller.role.includes(role)]
        now = gateway.context.clock.now().isoformat()
        return render("account", request, own=own, roles=roles, days=DAYS, most_days=MAX_DAYS, now=now)

    return [GuardedRoute(gateway, ACCOUNT, show, Access.READ)]
