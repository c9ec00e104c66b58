"""Joins predictions and labels in a temporary SQLite file, so that memory stays the same however many there are."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Self

from tidegate.advisor.quality.label_lines import Label, Prediction

TOGETHER = 5_000
"""Rows of one statement."""
DAY = 86_400.0
SKEW = 300.0
"""Seconds by which the clocks of two machines may differ: a label is not before its prediction for that."""


class Outcome(StrEnum):
    """What becomes of a label."""

    JOINED = "joined"
    REPEATED = "repeated"
    """The same again: it counts once."""
    CONTRADICTORY = "contradictory"
    """Another label of the same id says otherwise: none of them counts."""
    UNKNOWN = "unknown id"
    AMBIGUOUS = "id of several predictions"
    BEFORE = "before its prediction"
    LATE = "too late"


@dataclass(frozen=True)
class Delays:
    """Seconds from prediction to label. ``known``: labels whose time is known."""

    known: int
    p50: float
    p90: float
    longest: float


@dataclass(frozen=True)
class Coverage:
    """``labelled`` of ``predictions`` have a label; ``top``: of the tenth with the highest scores; ``rest``: of the
    others, each a share."""

    predictions: int
    labelled: int
    top: float
    rest: float


_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32768;
CREATE TABLE predictions (id TEXT PRIMARY KEY, at REAL, score REAL, times INTEGER DEFAULT 1) WITHOUT ROWID;
CREATE TABLE labels (id TEXT PRIMARY KEY, at REAL, value REAL, times INTEGER DEFAULT 1, differs INTEGER DEFAULT 0)
  WITHOUT ROWID;
"""
_ADD_PREDICTION = (
    "INSERT INTO predictions (id, at, score) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET times = times + 1"
)
_ADD_LABEL = """
INSERT INTO labels (id, at, value) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET times = times + 1, differs = differs OR value <> excluded.value,
  at = min(coalesce(at, excluded.at), coalesce(excluded.at, at))
"""
_JOIN = """
CREATE TABLE joined AS
SELECT p.score, l.value, l.at - p.at AS delay, l.times,
  CASE WHEN l.differs THEN 'contradictory' WHEN p.id IS NULL THEN 'unknown id'
    WHEN p.times > 1 THEN 'id of several predictions' WHEN l.at < p.at - :skew THEN 'before its prediction'
    WHEN l.at > p.at + :latest THEN 'too late' ELSE 'joined' END AS outcome
FROM labels l LEFT JOIN predictions p ON p.id = l.id
"""


class Ledger:
    """Add everything, ``join`` once, then read. A context manager: the file goes at its end."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "ledger.db", isolation_level=None)
        self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add_predictions(self, found: Iterable[Prediction]) -> None:
        self._add(_ADD_PREDICTION, ((one.id, one.at, one.score) for one in found))

    def add_labels(self, found: Iterable[Label]) -> None:
        self._add(_ADD_LABEL, ((one.id, one.at, one.value) for one in found))

    def join(self, latest: float) -> dict[Outcome, int]:
        """The number of labels with each outcome. ``latest``: seconds after which a label is too late."""
        self._database.execute(_JOIN, {"skew": SKEW, "latest": latest})
        counts = dict.fromkeys(Outcome, 0)
        rows = self._database.execute("SELECT outcome, count(*), sum(times) FROM joined GROUP BY outcome")
        for outcome, labels, lines in rows:
            apart = outcome == Outcome.CONTRADICTORY
            counts[Outcome(outcome)] += lines if apart else labels
            counts[Outcome.REPEATED] += 0 if apart else lines - labels
        return counts

    def pairs(self) -> Iterator[tuple[float, float]]:
        """Score and label of what was joined, highest score first."""
        with closing(
            self._database.execute("SELECT score, value FROM joined WHERE outcome = 'joined' ORDER BY score DESC")
        ) as rows:
            yield from rows

    def only_classes(self) -> bool:
        """Whether all labels that were joined are 0 or 1."""
        query = "SELECT count(*) FROM joined WHERE outcome = 'joined' AND value NOT IN (0, 1)"
        return self._number(query) == 0

    def delays(self) -> Delays | None:
        """None where no label has a time."""
        known = self._number("SELECT count(delay) FROM joined WHERE outcome = 'joined'")
        if not known:
            return None
        query = """SELECT max(delay, 0) FROM joined WHERE outcome = 'joined' AND delay IS NOT NULL
            ORDER BY delay LIMIT 1 OFFSET ?"""
        p50, p90, longest = (
            float(self._database.execute(query, (int((known - 1) * part),)).fetchone()[0])
            for part in (0.5, 0.9, 1)
        )
        return Delays(known, p50, p90, longest)

    def coverage(self) -> Coverage:
        total = self._number("SELECT count(*) FROM predictions")
        labelled = self._number("SELECT count(*) FROM joined WHERE outcome = 'joined'")
        if not total:
            return Coverage(0, 0, 0.0, 0.0)
        top = max(1, total // 10)
        row = self._database.execute(
            "SELECT score FROM predictions ORDER BY score DESC LIMIT 1 OFFSET ?", (top - 1,)
        ).fetchone()
        above = self._number("SELECT count(*) FROM predictions WHERE score >= ?", row[0])
        both = self._number("SELECT count(*) FROM joined WHERE outcome = 'joined' AND score >= ?", row[0])
        rest = (labelled - both) / (total - above) if total > above else 0.0
        return Coverage(total, labelled, both / above, rest)

    def _add(self, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
        while batch := list(islice(rows, TOGETHER)):
            self._database.execute("BEGIN")
            self._database.executemany(statement, batch)
            self._database.execute("COMMIT")

    def _number(self, query: str, *values: object) -> int:
        return int(self._database.execute(query, values).fetchone()[0])
