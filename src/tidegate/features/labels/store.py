"""Labels of one endpoint that last: posted ones, the predictions that its captures tell of, and what follows.

A SQLite file per endpoint in the state folder. Everything blocks; a connection is opened for each use, so any thread
may use a store."""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.domain.errors import Transient
from tidegate.domain.history import History
from tidegate.features.labels.label_terms import LabelTerms, check_posted
from tidegate.features.labels.ledger import SKEW, AnsweringVersion, JoinOutcome, LabelKind, Ledger, SideBySide
from tidegate.features.labels.report import QualityQuestion, describe_quality
from tidegate.features.labels.version_labels import compare_versions
from tidegate.rows.label_lines import Label, LineProblem, Prediction

# From when on a config answered: each time that it served or was tried is a life of its own. Pure. A config may
# serve again months later, be tried again, or have belonged to an endpoint of the same name that was removed. What
# it answered then says nothing of how good it is now.


Lives = Mapping[str, Sequence[float]]
"""Config -> epoch seconds at which its lives began, oldest first."""


@dataclass(frozen=True)
class VersionLife:
    """``current``: the last one of its config; an earlier one has ended."""

    version: AnsweringVersion
    current: bool


def find_lives(history: History) -> Lives:
    found: dict[str, list[float]] = {}
    for entry in history.begun:
        found.setdefault(entry.version.config_name, []).append(entry.began_at.timestamp())
    return {config: sorted(began) for config, began in found.items()}


def split_lives(version: AnsweringVersion, lives: Lives) -> Iterator[VersionLife]:
    """The lives of one version, the last one first. What it answered before the first one that is known is one that
    has ended, and so is all of a config of which none is known. Clocks of hosts differ, so each begins a little
    earlier than it is said to."""
    until = version.until
    for number, began in enumerate(reversed(lives.get(version.config, ()))):
        yield VersionLife(replace(version, since=began - SKEW, until=until), number == 0)
        until = began - SKEW
    yield VersionLife(replace(version, until=until), False)


SUFFIX = ".db"
FOLDER = "labels"
"""In the state folder."""
MOST_PREDICTIONS = 10_000_000
"""Predictions that are kept; beyond that the oldest go, and their labels with them."""
MOST_UNKNOWN = 500_000
"""Labels that are kept of ids of which no prediction is known yet. Anybody who may use an endpoint may post them."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
TABLES = ("predictions", "labels", "files", "about")


def label_folder(state: Path) -> Path:
    return state / FOLDER


class LabelStore:
    """Raises Transient where the file cannot be used now."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder, self._file = folder, f"{endpoint}{SUFFIX}"

    @property
    def exists(self) -> bool:
        return (self._folder / self._file).exists()

    def remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            (self._folder / f"{self._file}{suffix}").unlink(missing_ok=True)

    def terms(self) -> LabelTerms:
        with self._open() as ledger:
            return _read_terms(ledger)

    def accept(self, labels: Sequence[Label], terms: LabelTerms) -> dict[JoinOutcome, int]:
        """Keep all labels for which there is room. Counts what can be said at once: those not kept, repeated,
        contradictory, of the future, of another class or not on the scale. The same labels again change nothing. What
        labels are is what somebody said, or what nearly all are. Raises Conflict, and keeps none, where the terms
        contradict how labels are read."""
        with self._open() as ledger, ledger.transaction():
            seen = _last_kind(ledger) if ledger.has("labels") else None
            check_posted(_read_terms(ledger), terms, predicted=ledger.has("predictions"), seen=seen)
            said = _settle(ledger, terms)
            known = ledger.known([one.id for one in labels])
            kept = _choose(ledger, labels, known)
            ledger.insert_labels(kept)
            ledger.put("changed", "labels")
            counts = _count(kept, known, said or _last_kind(ledger))
        return counts | {JoinOutcome.FULL: len(labels) - len(kept)}

    def change_terms(self, terms: LabelTerms, unset: Collection[str] = ()) -> LabelTerms:
        """An operator's word: read labels and answers by these terms from now on, those that are there too.
        ``unset``: ``score`` or ``kind`` that is "not said" again. Returns all terms."""
        with self._open() as ledger, ledger.transaction():
            before = _read_terms(ledger)
            _keep_terms(ledger, before, before.changed_by_operator(terms, unset))
            ledger.put("changed", "terms")
            return _read_terms(ledger)

    def unread(self, paths: Iterable[str]) -> list[str]:
        """Return the files whose predictions have not been added yet."""
        with self._open() as ledger:
            return ledger.unread(paths)

    def add_file(self, path: str, predictions: Iterable[Prediction]) -> None:
        """Add all predictions of one file, once, however often this is tried."""
        with self._open() as ledger:
            ledger.add_file(path, predictions)

    def note_skipped(self, skipped: Counter[LineProblem]) -> None:
        """Count captures that could not be used, by reason."""
        if skipped:
            with self._open() as ledger:
                total = Counter[str](json.loads(ledger.get("skipped") or "{}"))
                total.update({str(problem): count for problem, count in skipped.items()})
                ledger.put("skipped", json.dumps(total))

    def forget_old(self, before: float, unknown_before: float | None = None) -> None:
        """Forget predictions from before this epoch second, and the oldest beyond the most that are kept, with their
        labels; and labels that came before ``unknown_before`` and whose predictions are not known."""
        with self._open() as ledger, ledger.transaction():
            ledger.forget_old(before, MOST_PREDICTIONS)
            if unknown_before is not None:
                ledger.forget_unknown(unknown_before)

    def insert_rows(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows of a backup into one of ``TABLES``. Raises sqlite3.Error for rows that do not fit."""
        with self._open() as ledger, ledger.transaction():
            ledger.insert_rows(table, columns, rows)

    def take_changed(self) -> bool:
        """Whether labels or predictions came since the last time."""
        with self._open() as ledger:
            return ledger.take_changed()

    def describe(
        self, asked: QualityQuestion, now: float, compared: Iterable[SideBySide], lives: Lives | None = None
    ) -> dict[str, Any]:
        """Join everything, and measure each life of each version, and the difference of old and new ones. ``now``:
        epoch seconds; ``lives`` None: each has one."""
        with self._open() as ledger:
            terms = _read_terms(ledger)
            kind = terms.kind or ledger.find_kind()
            outcomes = ledger.join(asked.latest, now, kind)
            ledger.count_unknown()
            ledger.put("seen", kind)
            found = {
                "at": now,
                "score": terms.where,
                "labels": {str(outcome): count for outcome, count in outcomes.items()},
                "captures_skipped": json.loads(ledger.get("skipped") or "{}"),
                "versions": list(_describe_versions(ledger, asked, lives, kind)),
                "comparisons": [compare_versions(ledger, kind, pair) for pair in compared],
            }
            document: dict[str, Any] = _finite(found)
            ledger.put("document", json.dumps(document))
        return document

    def document(self) -> dict[str, Any] | None:
        """Return what ``describe`` found last; None if it has found nothing yet."""
        with self._open() as ledger:
            text = ledger.get("document")
        return None if text is None else json.loads(text)

    @contextmanager
    def _open(self) -> "Iterator[_LastingLedger]":
        """Raises Transient also while it is used: the disk may be full, or another connection may take long."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = _LastingLedger(self._folder, self._file)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from None
        with opened:
            try:
                yield opened
            except sqlite3.OperationalError as error:
                raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> Transient:
        return Transient(f"the labels in {self._folder / self._file} cannot be used now: {error}")


class _LastingLedger(Ledger):
    def __init__(self, folder: Path, file: str) -> None:
        super().__init__(folder, file)
        self._database.executescript(_SCHEMA)

    def get(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def insert_rows(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows of a backup. Columns that this version does not have are left out."""
        there = {row[1] for row in self._database.execute(f"PRAGMA table_info({table})")}
        places = [place for place, column in enumerate(columns) if column in there]
        if not places:
            raise sqlite3.DataError(f"{table} has none of its columns")
        names = ", ".join(columns[place] for place in places)
        query = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(places))})"
        self._database.executemany(query, ([row[place] for place in places] for row in rows))

    def has(self, table: str) -> bool:
        return self._database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None

    def known(self, ids: Sequence[str]) -> dict[str, float]:
        """Return the kept labels of these ids."""
        found = {}
        for id in dict.fromkeys(ids):
            row = self._database.execute("SELECT value FROM labels WHERE id = ?", (id,)).fetchone()
            if row is not None:
                found[id] = float(row[0])
        return found

    def unread(self, paths: Iterable[str]) -> list[str]:
        query = "SELECT 1 FROM files WHERE path = ?"
        return [path for path in paths if self._database.execute(query, (path,)).fetchone() is None]

    def add_file(self, path: str, predictions: Iterable[Prediction]) -> None:
        rows = list(predictions)
        with self.transaction():
            new = self._database.execute("INSERT OR IGNORE INTO files VALUES (?)", (path,)).rowcount
            if new:
                self.insert_predictions(rows)
                self.put("changed", "predictions")

    def is_predicted(self, id: str) -> bool:
        query = "SELECT 1 FROM predictions WHERE id = ?"
        return self._database.execute(query, (id,)).fetchone() is not None

    def unknown(self) -> int:
        """Return the number of kept labels whose predictions were not known when they came, or when they were
        counted."""
        return int(self.get("unknown") or 0)

    def count_unknown(self) -> None:
        before = self.unknown()
        query = "SELECT count(*) FROM labels WHERE id NOT IN (SELECT id FROM predictions)"
        counted = self._number(query)
        with self.transaction():  # others may have come meanwhile
            self.put("unknown", str(counted + max(0, self.unknown() - before)))

    def forget_predictions(self) -> None:
        self._database.execute("DELETE FROM predictions")
        self._database.execute("DELETE FROM files")

    def forget_old(self, before: float, most: int) -> None:
        total = self._number("SELECT count(*) FROM predictions WHERE at >= ?", before)
        if total > most:
            query = "SELECT at FROM predictions ORDER BY at DESC LIMIT 1 OFFSET ?"
            before = float(self._database.execute(query, (most - 1,)).fetchone()[0])
        old = "SELECT id FROM predictions WHERE at < ?"
        self._database.execute(f"DELETE FROM labels WHERE id IN ({old})", (before,))
        self._database.execute("DELETE FROM predictions WHERE at < ?", (before,))

    def forget_unknown(self, before: float) -> None:
        known = "SELECT id FROM predictions"
        query = f"DELETE FROM labels WHERE received < ? AND id NOT IN ({known})"
        if self._database.execute(query, (before,)).rowcount:
            self.put("changed", "labels")

    def take_changed(self) -> bool:
        return self._database.execute("DELETE FROM about WHERE name = 'changed'").rowcount > 0


def _describe_versions(
    ledger: Ledger, asked: QualityQuestion, lives: Lives | None, kind: LabelKind | None
) -> Iterator[dict[str, Any]]:
    """Describe the lives of versions, except those without predictions."""
    for version in ledger.versions():
        split = [VersionLife(version, True)] if lives is None else split_lives(version, lives)
        for life in split:
            found = describe_quality(ledger, asked, life.version, kind)
            if found["coverage"]["predictions"]:
                yield {**asdict(life.version), "current": life.current, **found}


def _settle(ledger: _LastingLedger, terms: LabelTerms) -> LabelKind | None:
    """Keep what is new in the terms. Returns what somebody said that labels are."""
    before = _read_terms(ledger)
    after = before.with_said(terms)
    _keep_terms(ledger, before, after)
    return after.kind


def _keep_terms(ledger: _LastingLedger, before: LabelTerms, after: LabelTerms) -> None:
    if after.where != before.where or after.scored != before.scored:
        ledger.forget_predictions()  # they are read again, from the other place
    if after != before:
        ledger.put("terms", json.dumps(asdict(after)))


def _choose(ledger: _LastingLedger, labels: Sequence[Label], known: Container[str]) -> list[Label]:
    """Choose the labels for which there is space: all but some whose ids are unknown."""
    unknown, chosen, fresh = ledger.unknown(), list[Label](), set[str]()
    for one in labels:
        if one.id not in known and one.id not in fresh and not ledger.is_predicted(one.id):
            if unknown >= MOST_UNKNOWN:
                continue
            unknown += 1
        fresh.add(one.id)
        chosen.append(one)
    ledger.put("unknown", str(unknown))
    return chosen


def _last_kind(ledger: _LastingLedger) -> LabelKind:
    """Return the kind that nearly all labels had when they were last joined."""
    text = ledger.get("seen")
    return ledger.find_kind() if text is None else LabelKind(text)


def _count(labels: Iterable[Label], known: Mapping[str, float], kind: LabelKind) -> dict[JoinOutcome, int]:
    """Count labels by what is wrong with them. ``known``: values that were kept before, by id."""
    outcomes = (
        JoinOutcome.REPEATED,
        JoinOutcome.CONTRADICTORY,
        JoinOutcome.FUTURE,
        JoinOutcome.CLASS,
        JoinOutcome.SCALE,
    )
    counts = dict.fromkeys(outcomes, 0)
    values = dict(known)
    for one in labels:
        before = values.get(one.id)
        if kind is LabelKind.CLASSES and one.value not in (0, 1):
            counts[JoinOutcome.CLASS] += 1
        elif kind is LabelKind.FEEDBACK and not 0 <= one.value <= 1:
            counts[JoinOutcome.SCALE] += 1
        elif one.at is not None and one.received is not None and one.at > one.received + SKEW:
            counts[JoinOutcome.FUTURE] += 1
        elif before is not None:
            counts[JoinOutcome.REPEATED if before == one.value else JoinOutcome.CONTRADICTORY] += 1
        values.setdefault(one.id, one.value)
    return counts


def _read_terms(ledger: _LastingLedger) -> LabelTerms:
    text = ledger.get("terms")
    if text is None:
        return LabelTerms()
    found = json.loads(text)
    kind = None if found["kind"] is None else LabelKind(found["kind"])
    return LabelTerms(found["where"], kind, tuple(found.get("left_open", ())))


def _finite(found: Any) -> Any:
    """Replace numbers that JSON does not have by None: measures of absurdly large amounts have no value."""
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
