"""Lines of several logs in one list, by time. Pure.

Replicas write lines without times, unless a model's own logging adds them. A line has the time that it begins with;
one without, such as those of a traceback, that of the line before it. Of a log in which no line begins with a time,
it is known alone when it was written last: its lines stand there together, in their order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidegate.ports.logs import ReplicaLog

THE_LINE, ANOTHER_LINE, LAST_WRITE = "line", "another line", "last write"
"""What the time of a line is the time of."""
LONGEST = 4_000
"""Characters of a line that are shown."""
_AT = re.compile(
    r"[\[(]?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?(?![\d:])", re.ASCII
)
"""ISO 8601, and the form of Python's logging, in a bracket or none; without a zone it is UTC."""


@dataclass(frozen=True)
class LogSearch:
    """``find``: a text that lines have, in any case; empty: all. ``replica``: of this one alone. ``limit``: so many
    lines, the last ones."""

    find: str = ""
    replica: str = ""
    limit: int = 200


@dataclass(frozen=True)
class TimedLine:
    """``at``: epoch seconds, or None where nothing is known. ``at_of``: what it is the time of."""

    at: float | None
    at_of: str
    text: str


def search_logs(found: Sequence[ReplicaLog], search: LogSearch) -> dict[str, Any]:
    """The last lines that match, the newest last, with how many were searched and how many match."""
    wanted = search.find.casefold()
    searched = matching = 0
    every: list[tuple[float, int, int, TimedLine]] = []
    for place, log in enumerate(found):
        if search.replica not in ("", log.replica):
            continue
        timed = time_lines(log)
        kept = [
            (line.at or 0.0, place, number, line)
            for number, line in enumerate(timed)
            if wanted in line.text.casefold()
        ]
        searched, matching = searched + len(timed), matching + len(kept)
        every += kept[-search.limit :]
    every.sort(key=lambda one: one[:3])
    return {
        "searched": searched,
        "matching": matching,
        "replicas": [_name(one) for one in found],
        "lines": [_render(line, found[place]) for *_, place, _, line in every[-search.limit :]],
    }


def time_lines(log: ReplicaLog) -> list[TimedLine]:
    """In the order of the log, so that times never go back: a clock that was set back changes no order."""
    own = [parse_time(line) for line in log.lines]
    first = next((at for at in own if at is not None), None)
    now = log.written if first is None else first
    found = []
    for at, text in zip(own, log.lines, strict=True):
        now = at if now is None or (at is not None and at > now) else now
        of = LAST_WRITE if first is None else THE_LINE if at is not None and at == now else ANOTHER_LINE
        found.append(TimedLine(now, of, text))
    return found


def parse_time(line: str) -> float | None:
    """The time that a line begins with, in epoch seconds; None: it has none, or one that there is not."""
    found = _AT.match(line)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        text = f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}"
        at = datetime.fromisoformat(text + (zone or "Z"))
        return at.timestamp()
    except (ValueError, OverflowError):
        return None


def _name(log: ReplicaLog) -> dict[str, Any]:
    return {"replica": log.replica, "variant": log.variant, "generation": log.generation}


def _render(line: TimedLine, log: ReplicaLog) -> dict[str, Any]:
    cut = line.text if len(line.text) <= LONGEST else f"{line.text[:LONGEST]} … {len(line.text)} characters in all"
    at = None if line.at is None else datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds")
    return {"at": at, "at_of": line.at_of, **_name(log), "line": cut}
