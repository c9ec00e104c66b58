"""Joins predictions and labels in a SQLite file, so that memory stays the same however many there are: a temporary
file for a command, a lasting one for an endpoint (``store``)."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from tidegate.rows.label_lines import Label, Prediction

TOGETHER = 5_000
"""Rows of one statement."""
DAY = 86_400.0
SKEW = 300.0
"""Seconds by which the clocks of two machines may differ: a label is not before its prediction for that."""
DELAY_STEPS = (
    60.0, 600.0, 3_600.0, 6 * 3_600.0, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY,
    180 * DAY,
)  # fmt: skip
"""Seconds between prediction and label by which labels are counted."""
SPANS = (60.0, 600.0, 3_600.0, 6 * 3_600.0, DAY, 7 * DAY, 30 * DAY)
"""Seconds of predictions whose coverage is counted together: the shortest of which there are not too many."""
MOST_SPANS = 48
BANDS = 10
"""Bands of equally many scores, in each of which the share of labelled predictions is counted."""
RARE = 0.01
"""Share of other labels up to which labels of 0 and 1 are still classes, where nobody said what they are."""
TURNS = 60.0
"""Seconds between two answers of a version that still answers, at most."""
SEPARATOR = "\n"
"""Between the slices of a prediction."""
MOST_COMBINED = 10_000
"""Combinations of slices, the most frequent ones, among which those with enough labels are looked for."""
PATIENCE = 30.0
"""Seconds that a statement waits for another connection to a lasting file."""


class JoinOutcome(StrEnum):
    """The result of joining a label with a prediction."""

    JOINED = "joined"
    REPEATED = "repeated"
    """The same again: it counts once."""
    CONTRADICTORY = "contradictory"
    """Another label of the same id says otherwise: none of them counts."""
    UNKNOWN = "unknown id"
    AMBIGUOUS = "id of several predictions"
    BEFORE = "before its prediction"
    LATE = "too late"
    FUTURE = "of the future"
    """Its time is later than the time at which it came."""
    CLASS = "class never seen"
    """Neither 0 nor 1, where the others are."""
    SCALE = "not from 0 to 1"
    """Where labels are what people think of answers."""
    FULL = "no room for unknown ids"
    """Its id is of no known prediction, and so are as many labels as are kept of such: it was not kept."""


class LabelKind(StrEnum):
    CLASSES = "classes"
    """0 and 1."""
    AMOUNTS = "amounts"
    FEEDBACK = "feedback"
    """What people think of the answer: from 0, not at all, to 1. The answer needs no score."""


@dataclass(frozen=True)
class Delays:
    """Seconds from prediction to label. ``known``: labels whose time is known."""

    known: int
    p50: float
    p90: float
    longest: float


@dataclass(frozen=True)
class Band:
    """Predictions with scores from ``low`` to ``high``, and how many of them have a label."""

    low: float
    high: float
    predictions: int
    labelled: int


@dataclass(frozen=True)
class DelayCount:
    """How many labels came up to ``seconds`` after their prediction, and after the step before; None: later."""

    seconds: float | None
    labels: int


@dataclass(frozen=True)
class CoverageSpan:
    """Predictions of the time from ``at`` (epoch seconds) on, for ``seconds``, and how many of them have a label."""

    at: float
    seconds: float
    predictions: int
    labelled: int


@dataclass(frozen=True)
class LabelCoverage:
    """``labelled`` of ``predictions`` have a label; ``top``: of the tenth with the highest scores; ``rest``: of the
    others, each a share. ``weighted``: of the labelled ones, those whose selection probability is known."""

    predictions: int
    labelled: int
    top: float
    rest: float
    weighted: int = 0


@dataclass(frozen=True)
class AnsweringVersion:
    """An endpoint config and one of its variants; empty where captures name none. What it answered from ``since`` on
    and before ``until``, in epoch seconds."""

    config: str
    variant: str
    since: float = float("-inf")
    until: float = float("inf")


@dataclass(frozen=True)
class SideBySide:
    """Two versions, and the epoch seconds between which they answered side by side: those of one rollout, since a
    config may serve again, or be tried again, in another month."""

    old: AnsweringVersion
    new: AnsweringVersion
    since: float = float("-inf")
    until: float = float("inf")


@dataclass(frozen=True)
class LabelledPair:
    """A label with its prediction."""

    id: str
    config: str
    score: float
    value: float
    slices: tuple[str, ...] = ()


_SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (id TEXT PRIMARY KEY, at REAL, score REAL, config TEXT, variant TEXT,
  times INTEGER DEFAULT 1, slices TEXT DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (id TEXT PRIMARY KEY, at REAL, value REAL, probability REAL, received REAL,
  times INTEGER DEFAULT 1, differs INTEGER DEFAULT 0) WITHOUT ROWID;
"""
_TEMPORARY = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768;"
_LASTING = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;"
_ADD_PREDICTION = """
INSERT INTO predictions (id, at, score, config, variant, slices) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET times = times + 1
"""
_ADD_LABEL = """
INSERT INTO labels (id, at, value, probability, received) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET times = times + 1, differs = differs OR value <> excluded.value,
  at = min(coalesce(at, excluded.at), coalesce(excluded.at, at)),
  probability = coalesce(probability, excluded.probability)
"""
_JOIN = """
CREATE TEMP TABLE joined AS
SELECT l.id, p.score, l.value, p.at AS asked, l.at - p.at AS delay, l.times, l.probability, p.config, p.variant,
  coalesce(p.slices, '') AS slices,
  coalesce(l.received, l.at, 0) AS came,
  CASE WHEN l.differs THEN 'contradictory' WHEN :classes AND l.value NOT IN (0, 1) THEN 'class never seen'
    WHEN :feedback AND l.value NOT BETWEEN 0 AND 1 THEN 'not from 0 to 1'
    WHEN l.at > coalesce(l.received, :now) + :skew THEN 'of the future' WHEN p.id IS NULL THEN 'unknown id'
    WHEN p.times > 1 THEN 'id of several predictions' WHEN l.at < p.at - :skew THEN 'before its prediction'
    WHEN l.at > p.at + :latest THEN 'too late' ELSE 'joined' END AS outcome
FROM labels l LEFT JOIN predictions p ON p.id = l.id
"""


class Ledger:
    """Add everything, ``join``, then read what was joined. A context manager. Of the methods that read, those with a
    ``version`` look at its predictions alone, if one is given."""

    def __init__(self, folder: Path, lasting: str = "") -> None:
        """Open a ledger. ``lasting``: name of a file in ``folder`` that stays; empty: a temporary one."""
        path = folder / (lasting or "ledger.db")
        self._database = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
        self._database.create_function("mixed", 1, lambda id: crc32(id.encode()), deterministic=True)
        self._database.executescript((_LASTING if lasting else _TEMPORARY) + _SCHEMA)
        if not any(row[1] == "slices" for row in self._database.execute("PRAGMA table_info(predictions)")):
            with suppress(sqlite3.OperationalError):  # of 0.1.0; another connection may have done it just now
                self._database.execute("ALTER TABLE predictions ADD COLUMN slices TEXT DEFAULT ''")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add_predictions(self, found: Iterable[Prediction]) -> None:
        self._add(_ADD_PREDICTION, map(_prediction_row, found))

    def insert_predictions(self, found: Iterable[Prediction]) -> None:
        """Insert predictions within a transaction of the caller."""
        self._database.executemany(_ADD_PREDICTION, map(_prediction_row, found))

    def insert_labels(self, found: Iterable[Label]) -> None:
        """Insert labels within a transaction of the caller."""
        self._database.executemany(_ADD_LABEL, map(_label_row, found))

    def add_labels(self, found: Iterable[Label]) -> None:
        self._add(_ADD_LABEL, map(_label_row, found))

    def join(
        self, latest: float, now: float = float("inf"), kind: LabelKind | None = None
    ) -> dict[JoinOutcome, int]:
        """The number of labels with each outcome. ``latest``: seconds after which a label is too late; ``now``: epoch
        seconds; ``kind`` None: labels are classes if nearly all of them are 0 or 1."""
        kind = kind or self.find_kind()
        self._database.execute("DROP TABLE IF EXISTS temp.joined")
        terms = {
            "skew": SKEW,
            "latest": latest,
            "classes": kind is LabelKind.CLASSES,
            "feedback": kind is LabelKind.FEEDBACK,
            "now": min(now, 1e300),
        }
        self._database.execute(_JOIN, terms)
        counts = dict.fromkeys(JoinOutcome, 0)
        rows = self._database.execute("SELECT outcome, count(*), sum(times) FROM joined GROUP BY outcome")
        for outcome, labels, lines in rows:
            apart = outcome == JoinOutcome.CONTRADICTORY
            counts[JoinOutcome(outcome)] += lines if apart else labels
            counts[JoinOutcome.REPEATED] += 0 if apart else lines - labels
        return counts

    def versions(self) -> list[AnsweringVersion]:
        """Return the versions that have predictions."""
        rows = self._database.execute("SELECT DISTINCT config, variant FROM predictions ORDER BY config, variant")
        return [AnsweringVersion(*row) for row in rows]

    def pairs(self, version: AnsweringVersion | None = None, slice: str = "") -> Iterator[tuple[float, float]]:
        """Score and label of what was joined, highest score first. ``slice``: empty for all."""
        for score, value, _ in self.weighted_pairs(version, slice):
            yield score, value

    def weighted_pairs(
        self, version: AnsweringVersion | None = None, slice: str = ""
    ) -> Iterator[tuple[float, float, float]]:
        """The same with one over the selection probability, 1 where that is not known."""
        where, values = _version_clause(version)
        if slice:
            where, values = f"{where} AND instr(? || slices || ?, ?)", (*values, *_slice_values(slice))
        query = f"""SELECT score, value, 1 / coalesce(probability, 1.0) FROM joined WHERE outcome = 'joined' {where}
            ORDER BY score DESC"""
        with closing(self._database.execute(query, values)) as rows:
            yield from rows

    def slices(self, version: AnsweringVersion | None, fewest: int, most: int) -> list[tuple[str, int]]:
        """Return slices of the joined labels with their numbers: those with at least ``fewest`` labels, the largest
        first, ``most`` at the most."""
        where, values = _version_clause(version)
        query = f"""SELECT slices, count(*) FROM joined WHERE outcome = 'joined' {where} AND slices <> ''
            GROUP BY slices ORDER BY count(*) DESC LIMIT {MOST_COMBINED}"""
        counts = Counter[str]()
        for text, count in self._database.execute(query, values):
            for slice in text.split(SEPARATOR):
                counts[slice] += count
        return sorted((one for one in counts.items() if one[1] >= fewest), key=lambda one: (-one[1], one[0]))[
            :most
        ]

    def in_order(self, pair: SideBySide) -> Iterator[LabelledPair]:
        """Yield the joined labels of two versions from the time in which both answered, in the order in which labels
        arrived. Labels that arrived together are ordered by a checksum of their ids, which is unrelated to their
        values."""
        query = f"""
            WITH span AS (SELECT
              (SELECT min(at) FROM predictions WHERE config = :new AND variant = :variant
                AND at BETWEEN :since AND :until) AS first,
              (SELECT max(at) FROM predictions WHERE config = :old AND variant = :variant
                AND at BETWEEN :since AND :until) AS last)
            SELECT j.id, j.config, j.score, j.value, j.slices FROM joined j, span
            WHERE j.outcome = 'joined' AND j.config IN (:old, :new) AND j.variant = :variant
              AND j.asked BETWEEN span.first - {TURNS} AND span.last + {TURNS}
              AND j.asked BETWEEN :since AND :until ORDER BY j.came, mixed(j.id), j.id"""
        names: dict[str, object] = {"old": pair.old.config, "new": pair.new.config, "variant": pair.new.variant}
        terms = names | {"since": pair.since, "until": pair.until}
        with closing(self._database.execute(query, terms)) as rows:
            for id, config, score, value, slices in rows:
                found = tuple(slices.split(SEPARATOR)) if slices else ()
                yield LabelledPair(id, config, score, value, found)

    def only_classes(self) -> bool:
        """Whether all labels that were joined are 0 or 1."""
        query = "SELECT count(*) FROM joined WHERE outcome = 'joined' AND value NOT IN (0, 1)"
        return self._number(query) == 0

    def delays(self, version: AnsweringVersion | None = None) -> Delays | None:
        """Return the delays of labels; None where no label has a time."""
        where, values = _version_clause(version)
        known = self._number(f"SELECT count(delay) FROM joined WHERE outcome = 'joined' {where}", *values)
        if not known:
            return None
        query = f"""SELECT max(delay, 0) FROM joined WHERE outcome = 'joined' {where} AND delay IS NOT NULL
            ORDER BY delay LIMIT 1 OFFSET ?"""
        p50, p90, longest = (
            float(self._database.execute(query, (*values, int((known - 1) * part))).fetchone()[0])
            for part in (0.5, 0.9, 1)
        )
        return Delays(known, p50, p90, longest)

    def delay_counts(self, version: AnsweringVersion | None = None) -> list[DelayCount]:
        """Count labels by the steps of ``DELAY_STEPS``; empty where no label has a time."""
        where, values = _version_clause(version)
        steps = " ".join(f"WHEN delay <= {seconds} THEN {place}" for place, seconds in enumerate(DELAY_STEPS))
        query = f"""SELECT CASE {steps} ELSE {len(DELAY_STEPS)} END AS step, count(*) FROM joined
            WHERE outcome = 'joined' {where} AND delay IS NOT NULL GROUP BY step"""
        found: dict[int, int] = dict(self._database.execute(query, values).fetchall())
        if not found:
            return []
        return [DelayCount(seconds, found.get(place, 0)) for place, seconds in enumerate((*DELAY_STEPS, None))]

    def coverage_over_time(self, version: AnsweringVersion | None = None) -> list[CoverageSpan]:
        """Return the coverage by the time of the predictions, oldest first. Spans without any are left out. All
        versions have the same spans."""
        where, values = _version_clause(version)
        first, last = self._database.execute("SELECT min(at), max(at) FROM predictions").fetchone()
        if first is None:
            return []
        span = next((one for one in SPANS if (last - first) / one < MOST_SPANS), (last - first) / (MOST_SPANS - 1))
        query = f"""
            SELECT cast((p.at - ?) / ? AS INTEGER) AS place, count(*), count(j.id)
            FROM (SELECT * FROM (SELECT *, at AS asked FROM predictions) WHERE 1 {where}) p
            LEFT JOIN joined j ON j.id = p.id AND j.outcome = 'joined' GROUP BY place ORDER BY place"""
        begin = first // span * span
        rows = self._database.execute(query, (begin, span, *values))
        return [CoverageSpan(begin + place * span, span, total, labelled) for place, total, labelled in rows]

    def coverage(self, version: AnsweringVersion | None = None) -> LabelCoverage:
        where, values = _version_clause(version, "at")
        total = self._number(f"SELECT count(*) FROM predictions WHERE 1 {where}", *values)
        joined = f"FROM joined WHERE outcome = 'joined' {_version_clause(version)[0]}"
        labelled = self._number(f"SELECT count(*) {joined}", *values)
        if not total:
            return LabelCoverage(0, 0, 0.0, 0.0)
        top = max(1, total // 10)
        query = f"SELECT score FROM predictions WHERE 1 {where} ORDER BY score DESC LIMIT 1 OFFSET ?"
        (least,) = self._database.execute(query, (*values, top - 1)).fetchone()
        above = self._number(f"SELECT count(*) FROM predictions WHERE 1 {where} AND score >= ?", *values, least)
        both = self._number(f"SELECT count(*) {joined} AND score >= ?", *values, least)
        rest = (labelled - both) / (total - above) if total > above else 0.0
        weighted = self._number(f"SELECT count(probability) {joined}", *values)
        return LabelCoverage(total, labelled, both / above, rest, weighted)

    def bands(self, version: AnsweringVersion | None = None) -> list[Band]:
        """Return bands from the lowest scores to the highest, each with the number of predictions that have a
        label."""
        where, values = _version_clause(version, "at")
        query = f"""
            SELECT min(score), max(score), count(*), count(found) FROM (
              SELECT p.score, j.id AS found, ntile({BANDS}) OVER (ORDER BY p.score, p.id) AS band
              FROM (SELECT id, score FROM predictions WHERE 1 {where}) p
              LEFT JOIN joined j ON j.id = p.id AND j.outcome = 'joined')
            GROUP BY band ORDER BY band"""
        return [Band(*row) for row in self._database.execute(query, values)]

    def find_kind(self) -> LabelKind:
        """Return the kind of nearly all labels. Labels of unknown ids are ignored as long as there are others."""
        for labels in ("labels JOIN predictions USING (id)", "labels"):
            query = f"SELECT count(*), coalesce(sum(value IN (0, 1)), 0) FROM {labels}"
            total, classes = self._database.execute(query).fetchone()
            if total:
                return LabelKind.CLASSES if total - classes <= RARE * total else LabelKind.AMOUNTS
        return LabelKind.CLASSES

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block, or none."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _add(self, statement: str, rows: Iterator[tuple[Any, ...]]) -> None:
        while batch := list(islice(rows, TOGETHER)):
            with self.transaction():
                self._database.executemany(statement, batch)

    def _number(self, query: str, *values: object) -> int:
        return int(self._database.execute(query, values).fetchone()[0])


def _prediction_row(one: Prediction) -> tuple[Any, ...]:
    return one.id, one.at, one.score, one.config, one.variant, SEPARATOR.join(one.slices)


def _label_row(one: Label) -> tuple[Any, ...]:
    return one.id, one.at, one.value, one.probability, one.received


def _slice_values(slice: str) -> tuple[str, str, str]:
    """Return the values of an ``instr`` that finds a whole slice among several."""
    return SEPARATOR, SEPARATOR, f"{SEPARATOR}{slice}{SEPARATOR}"


def _version_clause(version: AnsweringVersion | None, at: str = "asked") -> tuple[str, tuple[object, ...]]:
    """``at``: the column with the time of the prediction."""
    if version is None:
        return "", ()
    where = f"AND config = ? AND variant = ? AND {at} >= ? AND {at} < ?"
    return where, (version.config, version.variant, version.since, version.until)
