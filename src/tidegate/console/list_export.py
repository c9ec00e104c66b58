"""The rows of the list of endpoints as files: CSV and JSON. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from tidegate.console.list_query import Columns, ListedFacts

COLUMNS = (
    *("name", "target", "state", "modes", "versions", "tags", "alarms", "requests_per_second", "p50_ms", "p99_ms"),
    *("errors", "instances_ready", "instances_desired"),
)
LAST = "last_rollout_ended"
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""How a cell begins that spreadsheets would compute; some read the wide forms of East Asian keyboards alike."""
_CONTROL = ("\t", "\r", "\n")


def name_fields(added: Columns) -> tuple[str, ...]:
    """``added``: columns of features."""
    return (*COLUMNS, *(one.exported for one in added), LAST)


def write_rows(found: Sequence[tuple[ListedFacts, Sequence[str]]], added: Columns = ()) -> list[dict[str, Any]]:
    """Each endpoint with the names of its alarms that are on; what is not known is None."""
    return [
        {
            "name": one.name,
            "target": one.target,
            "state": one.status,
            "modes": list(one.modes),
            "versions": list(one.versions),
            "tags": dict(one.tags),
            "alarms": list(ringing),
            "requests_per_second": one.rate,
            "p50_ms": one.p50_ms,
            "p99_ms": one.p99_ms,
            "errors": one.errors,
            "instances_ready": one.ready,
            "instances_desired": one.desired,
            **{column.exported: one.added.get(column.key) for column in added},
            LAST: one.last_ended,
        }
        for one, ringing in found
    ]


def write_csv(rows: Iterable[dict[str, Any]], added: Columns = ()) -> str:
    """With a line of headings. Cells are text that no spreadsheet computes."""
    text = io.StringIO()
    writer = csv.writer(text)
    fields = name_fields(added)
    writer.writerow(fields)
    for row in rows:
        writer.writerow([disarm(_cell(row[column])) for column in fields])
    return text.getvalue()


def disarm(cell: str) -> str:
    """The cell with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(_CONTROL) or cell.lstrip().startswith(_FORMULA) else cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"{key}={said}" for key, said in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
