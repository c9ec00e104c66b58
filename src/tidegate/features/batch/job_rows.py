"""Batch transform jobs as rows of a list. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tidegate.console.figures import UNKNOWN, format_age, format_clock
from tidegate.domain.memory_sizes import format_bytes

TONES: Mapping[str, str] = {"Completed": "good", "Failed": "bad", "Stopped": "warn", "Stopping": "warn"}
RESUMABLE = ("Failed", "Stopped")
"""States from which a job goes on where it was."""


def job_row(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """``document``: as the native API describes the job (``service.transforms.view``)."""
    total, done = document["bytes"], document["bytes_done"]
    under_way = document["status"] == "InProgress"
    eta = document["eta"]
    return {
        "name": document["job"],
        "status": document["status"],
        "tone": TONES.get(document["status"], ""),
        "detail": document["reason"] or document["waiting"] or "",
        "model": document["model"],
        "part": round(100 * min(1.0, done / total), 1) if total else None,
        "bytes": f"{format_bytes(done)} of {format_bytes(total)}" if total else UNKNOWN,
        "objects": f"{document['objects_done']:,} of {document['objects']:,}",
        "failed": document["objects_failed"],
        "records": f"{document['records']:,}",
        "bad": document["bad_records"],
        "took": format_clock(document["seconds"]),
        "left": format_clock(eta) if under_way and eta is not None else "",
        "resumable": document["status"] in RESUMABLE,
        "age": format_age(document["created"], now),
    }
