"""Joins the captures of a window with ground truth by id. Pure but for the lines that it is given.

Captures are kept in memory, and labels pass by: those of other windows cost nothing.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.features.monitor.pairs import UnusedReason
from tidegate.rows.label_lines import read_time
from tidegate.rows.sources import Line

MOST_CAPTURED = 1_000_000
"""Captures of a window."""
MOST_KEPT = 256_000_000
"""Characters of answers, and of requests where they are needed, that are kept at a time."""
LONGEST_SIDE = 65_536
"""Characters of an answer or of a request."""
SKEW = 300.0
"""Seconds by which clocks may differ: a label is not before its prediction for that."""
HOUR = 3_600.0
_UNREADABLE = (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(slots=True)
class MergedRequest:
    """A captured request. ``labels``: of its rows; None: none came."""

    at: float
    sides: dict[str, Any]
    labels: list[Any] | None = None
    contradictory: bool = False


@dataclass
class Merge:
    """``since`` and ``before``: epoch seconds of the window. ``sides``: of a capture, those that are kept."""

    since: float
    before: float
    sides: tuple[str, ...] = ("endpointOutput",)
    unused: Counter[UnusedReason] = field(default_factory=Counter)
    captured: int = 0
    _by_id: dict[str, MergedRequest | None] = field(default_factory=dict)
    """None: the id is of several captures."""
    _kept: int = 0

    def add_capture(self, line: bytes) -> None:
        """Raises Invalid for more captures than may be held in memory."""
        found = self._read_capture(line)
        if found is None:
            return
        if isinstance(found, UnusedReason):
            self.unused[found] += 1
            return
        ids, one = found
        self.captured += 1
        if self.captured > MOST_CAPTURED or self._kept > MOST_KEPT:
            raise Invalid(
                f"there are more captures than can be kept ({self.captured:,}): capture a smaller sample, or analyse"
                " a shorter time"
            )
        if any(id in self._by_id for id in ids):
            self.unused[UnusedReason.AMBIGUOUS] += 1
        for id in ids:
            self._by_id[id] = None if id in self._by_id else one

    def _read_capture(self, line: bytes) -> tuple[set[str], MergedRequest] | UnusedReason | None:
        """None: it is of another time."""
        try:
            document = msgspec.json.decode(line)
            about, captured = document["eventMetadata"], document["captureData"]
            at = read_time(about.get("inferenceTime"))
            sides = {name: dict(captured[name]) for name in self.sides if captured.get(name) is not None}
        except _UNREADABLE:
            return UnusedReason.BROKEN
        if at is None:
            return UnusedReason.NO_TIME
        if not self.since <= at < self.before:
            return None
        ids = {id for id in (about.get("inferenceId"), about.get("eventId")) if isinstance(id, str) and id}
        if not ids:
            return UnusedReason.NO_ID
        if "endpointOutput" not in sides:
            return UnusedReason.NO_PREDICTION
        size = sum(len(data) for side in sides.values() if isinstance(data := side.get("data"), str))
        if size > LONGEST_SIDE:
            return UnusedReason.TOO_LONG
        self._kept += size
        return ids, MergedRequest(at, sides)

    def add_label(self, line: bytes, hour: float) -> None:
        """``hour``: epoch seconds at which the hour of its folder begins."""
        found = _read_label(line)
        if isinstance(found, UnusedReason):
            self.unused[found] += 1
            return
        id, labels, at = found
        one = self._by_id.get(id)
        if one is None:
            self.unused[UnusedReason.AMBIGUOUS if id in self._by_id else UnusedReason.UNKNOWN] += 1
        elif (hour + HOUR if at is None else at) + SKEW < one.at:
            self.unused[UnusedReason.BEFORE] += 1
        elif one.labels is None:
            one.labels = labels
        elif one.labels == labels:
            self.unused[UnusedReason.REPEATED] += 1
        else:
            self.unused[UnusedReason.CONTRADICTORY] += 1
            one.contradictory = True

    def add_captures(self, lines: Iterable[Line]) -> None:
        """Raises Invalid."""
        for _, line in lines:
            self.add_capture(line)

    def labelled(self) -> list[MergedRequest]:
        """Those with labels that nothing contradicts, each once."""
        found = {id(one): one for one in self._by_id.values() if one is not None and one.labels is not None}
        return [one for one in found.values() if not one.contradictory]


def _read_label(line: bytes) -> tuple[str, list[Any], float | None] | UnusedReason:
    """Id, labels, and when they were known where the line says so (``labelTime``, a member of ours)."""
    try:
        document = msgspec.json.decode(line)
        truth, about = document["groundTruthData"], document["eventMetadata"]
        id, data, encoding = about["eventId"], truth["data"], truth.get("encoding", "CSV")
        at = read_time(about["labelTime"]) if "labelTime" in about else None
    except _UNREADABLE:
        return UnusedReason.BROKEN
    if not isinstance(id, str) or not id:
        return UnusedReason.NO_ID
    if "labelTime" in about and at is None:
        return UnusedReason.NO_TIME
    labels = _read_labels(data, encoding)
    return UnusedReason.NO_LABEL if not labels else (id, labels, at)


def _read_labels(data: Any, encoding: Any) -> list[Any] | None:
    """One for each row of the request: lines of CSV, or a value or a list of JSON."""
    if encoding == "JSON" and isinstance(data, str):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return None
    elif isinstance(data, str):
        try:
            rows = [cells for cells in csv.reader(io.StringIO(data, newline=""), strict=True) if cells]
        except csv.Error:
            return None
        return [cells[0].strip() for cells in rows] if all(len(cells) == 1 for cells in rows) else None
    if isinstance(data, dict):
        return None
    return data if isinstance(data, list) else [data]
