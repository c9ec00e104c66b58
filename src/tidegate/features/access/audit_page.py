"""The page of the audit: who changed what, or tried to."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.endpoint_rows import BAD, GOOD, PLAIN, WARN
from tidegate.console.operate_pages import render
from tidegate.domain.access import Access, AuditEntry, AuditOutcome
from tidegate.features.access.audit_native import entry_view
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_number

AUDIT = f"{CONSOLE}/audit"
SHOWN = 100
TONES = {
    AuditOutcome.DONE: GOOD,
    AuditOutcome.FAILED: WARN,
    AuditOutcome.REFUSED: BAD,
    AuditOutcome.STARTED: PLAIN,
}


def routes(gateway: Gateway) -> list[GuardedRoute]:
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
