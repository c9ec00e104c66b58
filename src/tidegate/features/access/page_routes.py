"""The pages of users, the account and the audit, and the routes of these and of the pages to sign in."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.endpoint_rows import BAD, GOOD, PLAIN, WARN
from tidegate.console.operate_pages import render
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Access, AuditEntry, AuditOutcome, Caller, Role
from tidegate.features.access import login_pages, openid_pages
from tidegate.features.access.account_native import read_account
from tidegate.features.access.audit_native import entry_view
from tidegate.features.access.people_native import DAYS, MAX_DAYS, read_users
from tidegate.features.access.service import token_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_number

# The page of users, API tokens and sessions, for admins. It changes them through the native API.


USERS = f"{CONSOLE}/users"


def users_routes(gateway: Gateway) -> list[GuardedRoute]:
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


# --- the page of the audit: who changed what, or tried to ---


AUDIT = f"{CONSOLE}/audit"
SHOWN = 100
TONES = {
    AuditOutcome.DONE: GOOD,
    AuditOutcome.FAILED: WARN,
    AuditOutcome.REFUSED: BAD,
    AuditOutcome.STARTED: PLAIN,
}


def audit_routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        before = parse_number(request, "before", 0, 0, 2**63 - 1)
        asked = {name: request.query_params.get(name, "").strip() for name in ("who", "about")}
        found = await gateway.trail.audit.read(before=before, limit=SHOWN + 1, **asked)
        shown, older = found[:SHOWN], None
        if len(found) > SHOWN:
            older = f"{AUDIT}?{urlencode({**asked, 'before': shown[-1].seq})}"
        rows = [_audit_row(entry) for entry in shown]
        return render("audit", request, rows=rows, older=older, who_asked=asked["who"], about=asked["about"])

    return [GuardedRoute(gateway, AUDIT, show, Access.INSPECT)]


def _audit_row(entry: AuditEntry) -> dict[str, object]:
    outcome = "not known" if entry.outcome is AuditOutcome.STARTED else str(entry.outcome)
    return {**entry_view(entry), "outcome": outcome, "tone": TONES[entry.outcome]}


# --- the page of what is the reader's own: password, API tokens and sessions ---


ACCOUNT = f"{CONSOLE}/account"


def _account_routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        caller: Caller = request.state.caller
        own = await read_account(gateway, request)
        roles = [role for role in Role if caller.role is not None and caller.role.includes(role)]
        now = gateway.context.clock.now().isoformat()
        return render("account", request, own=own, roles=roles, days=DAYS, most_days=MAX_DAYS, now=now)

    return [GuardedRoute(gateway, ACCOUNT, show, Access.READ)]


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway = context.gateway
    return [
        *login_pages.routes(gateway),
        *openid_pages.routes(gateway),
        *audit_routes(gateway),
        *users_routes(gateway),
        *_account_routes(gateway),
    ]
