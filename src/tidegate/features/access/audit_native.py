"""The audit in the native API, and who the caller is."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.access import AuditEntry
from tidegate.domain.errors import Invalid
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_number

MAX_ENTRIES = 1_000
MAX_NAME = 200


async def read_audit(gateway: Gateway, request: Request) -> Response:
    """List the audit's entries, newest first; ``before`` is the number of the last entry that was read."""
    limit = parse_number(request, "limit", 100, 1, MAX_ENTRIES)
    before = parse_number(request, "before", 0, 0, 2**63 - 1)
    found = await gateway.trail.audit.read(
        before=before, limit=limit, who=_parse_name(request, "who"), about=_parse_name(request, "about")
    )
    return JSONResponse({"entries": [entry_view(entry) for entry in found]})


def entry_view(entry: AuditEntry) -> dict[str, Any]:
    return {**asdict(entry), "at": entry.at.isoformat()}


def _parse_name(request: Request, name: str) -> str:
    given = request.query_params.getlist(name)
    if len(given) > 1 or any(len(text) > MAX_NAME for text in given):
        raise Invalid(f"{name} is given once, with at most {MAX_NAME} characters")
    return given[0] if given else ""
