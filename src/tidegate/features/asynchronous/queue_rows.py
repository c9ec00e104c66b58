"""The queue of an asynchronous endpoint as its page shows it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tidegate.console.figures import format_age
from tidegate.domain.asynchronous import Backlog, OutcomeKind
from tidegate.ports.queue import QueueRow

READ = 200
"""Of the latest requests, those among which failed ones are looked for."""
SHOWN_FAILURES = 5


def queue_view(backlog: Backlog, latest: Sequence[QueueRow], now: datetime) -> dict[str, Any]:
    """``latest``: requests, newest first. Finished ones are kept for an hour."""
    ended = [row for row in latest if row.outcome is not None]
    failed = [row for row in ended if row.outcome is not None and row.outcome.end is not OutcomeKind.COMPLETED]
    return {
        "waiting": backlog.waiting,
        "working": backlog.working,
        "oldest": _age(backlog.oldest, now),
        "looked_at": len(latest),
        "ended": len(ended),
        "failed": len(failed),
        "newest": latest[0].item.accepted_at if latest else None,
        "failures": [_failure(row, now) for row in failed[:SHOWN_FAILURES]],
    }


def _failure(row: QueueRow, now: datetime) -> dict[str, str]:
    assert row.outcome is not None
    return {
        "id": row.item.id,
        "end": str(row.outcome.end).lower(),
        "age": _age(row.outcome.at, now),
        "reason": row.outcome.reason or "no reason is known",
        "where": row.item.failure or "",
    }


def _age(at: float | None, now: datetime) -> str:
    return format_age(None if at is None else datetime.fromtimestamp(at, UTC).isoformat(), now)
