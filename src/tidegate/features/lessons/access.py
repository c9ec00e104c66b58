"""Who may do what, and what is written down of it; and what a capture keeps of a request with personal data."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tidegate.domain.access import Access, AuditEntry, Caller, Means, Role
from tidegate.domain.capture import Redaction
from tidegate.domain.errors import AuthError
from tidegate.features.capture.records import CSV, JSON, Body
from tidegate.features.capture.redaction import Redactor
from tidegate.features.lessons.lesson import Choice, Lesson, Simulation, outcome
from tidegate.gateway.native import ROUTES
from tidegate.host.features import features
from tidegate.service.audit_trail import RequestedOperation, Trail
from tidegate.simulation.memory_audit import MemoryAudit

NOBODY = "nobody"
ROLES: Mapping[str, str] = {
    NOBODY: "Nobody: not signed in",
    **{str(role): str(role).capitalize() for role in Role},
}
TITLES: Mapping[Access, str] = {
    Access.READ: "Read what runs",
    Access.USE: "Ask a model",
    Access.SEE: "Read captured requests",
    Access.CHANGE: "Deploy, roll back, scale",
    Access.INSPECT: "Read the audit",
    Access.OWN: "Change the own password and tokens",
    Access.ADMINISTER: "Give and take roles",
    Access.STOP: "Stop the server",
}
BODIES: Mapping[str, tuple[str, Body]] = {
    "payroll": (
        "A payroll record as JSON",
        Body(
            b'{"employee": "Dana Smith", "ssn": "078-05-1120", "iban": "DE89 3704 0044 0532 0130 00", "hours": 38.5,'
            b' "gross": 4210.0}',
            "application/json",
            JSON,
        ),
    ),
    "table": ("Rows of numbers as CSV", Body(b"38.5,4210.0,3\n40.0,5120.5,7\n", "text/csv", CSV)),
    "chat": (
        "A question to a chatbot",
        Body(
            b'{"prompt": "Why was my bonus not paid? Write to dana@example.com or call +1 202 555 0143."}',
            "application/json",
            JSON,
        ),
    ),
    "scan": ("A scanned form (an image)", Body(b"\x89PNG ...", "image/png", "BASE64")),
}
TREATMENTS: Mapping[str, str] = {
    "none": "Off: written as it came",
    "mask": "On: what is found is masked",
    "hash": "On, with a key: what is found is hashed",
}
KEY = b"a key of this lesson, and of nothing else"


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Try one operation of each kind as a caller of the role, and redact a body."""
    role = None if chosen["role"] == NOBODY else Role(chosen["role"])
    caller = Caller() if role is None else Caller("dana", role, Means.SESSION)
    audit = MemoryAudit()
    answers = {access: asyncio.run(_try(Trail(audit, lambda: now), caller, access)) for access in TITLES}
    allowed = [access for access, refusal in answers.items() if not refusal]
    kept = _redact(*BODIES[chosen["body"]][1:], chosen["redaction"])
    return outcome(
        (
            (
                *("May do", f"{len(allowed)} of {len(TITLES)}"),
                f"kinds of operations, as {ROLES[chosen['role']].lower()}",
                "",
            ),
            ("Recorded in the audit", str(len(audit.entries)), "changes, reads of captures, and refusals", ""),
            ("Of the request is kept", "nothing" if kept is None else f"{len(kept)} characters", "", ""),
        ),
        "Every operation declares what it asks of a caller, and one guard in front of all of them decides; a role may"
        " do what the lower ones may. The table was made by trying. A capture is redacted in the instance, before"
        " anything is written; a body that cannot be read is not written at all, since nobody could say"
        " what is in it.",
        tables=[
            (
                "What this caller may do",
                ("Operation", "Least role", "Answer", "In the audit", "For example"),
                [_row(access, refusal, audit.entries) for access, refusal in answers.items()],
            ),
            (
                "What a capture keeps of the request",
                ("What", "Text"),
                [
                    ["The client sent", BODIES[chosen["body"]][1].data.decode("utf-8", "backslashreplace")],
                    ["The capture has", "nothing: its form cannot be read" if kept is None else kept],
                ],
            ),
        ],
        further=("Who did what on this server, for admins", "tidegate access audit"),
        facts={
            "allowed": [str(one) for one in allowed],
            "recorded": [entry.action for entry in audit.entries],
            "kept": kept,
        },
    )


async def _try(trail: Trail, caller: Caller, access: Access) -> str:
    """Pass the guard of the server. Returns why it refuses; empty if it does not."""
    try:
        async with trail.allowing(RequestedOperation(caller, access, str(access), "fraud", "10.0.0.7", "")):
            return ""
    except AuthError as refusal:
        return refusal.message


def _row(access: Access, refusal: str, entries: Iterable[AuditEntry]) -> list[str]:
    entry = next((one for one in entries if one.action == access), None)
    examples = [f"{method} {path}" for method, path, found in _list_operations() if found is access]
    return [
        TITLES[access],
        str(access.role or "anybody"),
        refusal or "allowed",
        "–" if entry is None else str(entry.outcome),
        next(iter(examples), "–"),
    ]


def _list_operations() -> list[tuple[str, str, Access]]:
    """The operations of the native API."""
    rows = [row for one in features() for row in one.feature.routes]
    computed = [row for _, operations in features().hooks("native_operations") for row in operations]
    return [
        *((method, path, access) for method, path, _, access in ROUTES),
        *((row.method, row.path, row.access) for row in rows),
        *((method, path, access) for method, path, access, _, _ in computed),
    ]


def _redact(body: Body, treatment: str) -> str | None:
    """Redact a body as a capture does. None: nothing of it is written."""
    if treatment == "none":
        return body.data.decode("utf-8", "backslashreplace")
    found = Redactor(Redaction(), KEY if treatment == "hash" else None).redact(body, request=True)
    return None if found is None else found.data.decode()


ACCESS_LESSON = Lesson(
    "access",
    "Roles, audit and redaction",
    "Who may do what, what is recorded of it, and what is left of personal data in a capture?",
    simulation=Simulation(
        simulate,
        (
            Choice("role", "The caller is", ROLES, "viewer"),
            Choice("body", "A client sends", {name: title for name, (title, _) in BODIES.items()}, "payroll"),
            Choice("redaction", "Redaction of captures", TREATMENTS, "mask"),
        ),
    ),
)
