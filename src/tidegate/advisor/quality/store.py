"""Labels of one endpoint that last: posted ones, the predictions that its captures tell of, and what follows.

A SQLite file per endpoint in the state folder. Everything blocks; a connection is opened for each use, so any thread
may use a store."""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.advisor.quality.label_lines import Label, Prediction, Problem
from tidegate.advisor.quality.ledger import SKEW, AnsweringVersion, LabelKind, Ledger, Outcome
from tidegate.advisor.quality.report import QualityQuestion, describe_quality
from tidegate.advisor.quality.version_labels import compare_versions
from tidegate.domain.errors import Transient

SUFFIX = ".db"
MOST_PREDICTIONS = 10_000_000
"""Predictions that are kept; beyond that the oldest go, and their labels are of unknown ids."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class LabelTerms:
    """How an endpoint's answers and labels are read. ``where``: the place of the score; ``kind`` None: nobody said,
    and the first labels tell."""

    where: str = ""
    kind: LabelKind | None = None


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

    def accept(self, labels: Sequence[Label], terms: LabelTerms) -> dict[Outcome, int]:
        """Keep labels, for good. Counts what can be said at once: those repeated, contradictory, of the future or of
        another class. The same labels again change nothing. What labels are is what somebody said last, or what the
        first ones were."""
        counts = dict.fromkeys((Outcome.REPEATED, Outcome.CONTRADICTORY, Outcome.FUTURE, Outcome.CLASS), 0)
        with self._open() as ledger:
            kept = self._settle(ledger, labels, terms)
            known = ledger.known([one.id for one in labels])
            fresh: dict[str, Label] = {}
            for one in labels:
                before = known.get(one.id) if one.id in known else (v.value if (v := fresh.get(one.id)) else None)
                if kept is LabelKind.CLASSES and one.value not in (0, 1):
                    counts[Outcome.CLASS] += 1
                elif one.at is not None and one.received is not None and one.at > one.received + SKEW:
                    counts[Outcome.FUTURE] += 1
                elif before is not None:
                    counts[Outcome.REPEATED if before == one.value else Outcome.CONTRADICTORY] += 1
                fresh.setdefault(one.id, one)
            ledger.add_labels(labels)
            ledger.put("changed", "labels")
        return counts

    def _settle(self, ledger: "_LastingLedger", labels: Sequence[Label], terms: LabelTerms) -> LabelKind:
        before = _read_terms(ledger)
        seen = LabelKind.CLASSES if all(one.value in (0, 1) for one in labels) else LabelKind.AMOUNTS
        kind = terms.kind or before.kind or seen
        after = replace(before, kind=kind)
        if terms.where and terms.where != before.where:
            ledger.forget_predictions()  # they are read again, from the other place
            after = replace(after, where=terms.where)
        if after != before:
            ledger.put("terms", json.dumps(asdict(after)))
        return kind

    def unread(self, paths: Iterable[str]) -> list[str]:
        """Those files whose predictions are not known yet."""
        with self._open() as ledger:
            return ledger.unread(paths)

    def add_file(self, path: str, predictions: Iterable[Prediction]) -> None:
        """All predictions of one file, once, however often this is tried."""
        with self._open() as ledger:
            ledger.add_file(path, predictions)

    def note_skipped(self, skipped: Counter[Problem]) -> None:
        """Count captures that could not be used, by reason."""
        if skipped:
            with self._open() as ledger:
                total = Counter[str](json.loads(ledger.get("skipped") or "{}"))
                total.update({str(problem): count for problem, count in skipped.items()})
                ledger.put("skipped", json.dumps(total))

    def forget_old(self, before: float) -> None:
        """Forget predictions from before this epoch second, and the oldest beyond the most that are kept."""
        with self._open() as ledger:
            ledger.forget_old(before, MOST_PREDICTIONS)

    def take_changed(self) -> bool:
        """Whether labels or predictions came since the last time."""
        with self._open() as ledger:
            return ledger.take_changed()

    def describe(
        self, asked: QualityQuestion, now: float, compared: Iterable[tuple[AnsweringVersion, AnsweringVersion]]
    ) -> dict[str, Any]:
        """Join everything, and measure each version, and the difference of old and new ones. ``now``: epoch
        seconds."""
        with self._open() as ledger:
            terms = _read_terms(ledger)
            outcomes = ledger.join(asked.latest, now, terms.kind)
            found = {
                "at": now,
                "score": terms.where,
                "labels": {str(outcome): count for outcome, count in outcomes.items()},
                "captures_skipped": json.loads(ledger.get("skipped") or "{}"),
                "versions": [
                    {**asdict(version), **describe_quality(ledger, asked, version)}
                    for version in ledger.versions()
                ],
                "comparisons": [compare_versions(ledger, terms.kind, old, new) for old, new in compared],
            }
            document: dict[str, Any] = _finite(found)
            ledger.put("document", json.dumps(document))
        return document

    def document(self) -> dict[str, Any] | None:
        """What ``describe`` found last."""
        with self._open() as ledger:
            text = ledger.get("document")
        return None if text is None else json.loads(text)

    def _open(self) -> "_LastingLedger":
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _LastingLedger(self._folder, self._file)
        except (OSError, sqlite3.Error) as error:
            raise Transient(f"the labels in {self._folder / self._file} cannot be used now: {error}") from None


class _LastingLedger(Ledger):
    def __init__(self, folder: Path, file: str) -> None:
        super().__init__(folder, file)
        self._database.executescript(_SCHEMA)

    def get(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def known(self, ids: Sequence[str]) -> dict[str, float]:
        """Labels that are kept, of these ids."""
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
        rows = [(one.id, one.at, one.score, one.config, one.variant) for one in predictions]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            new = self._database.execute("INSERT OR IGNORE INTO files VALUES (?)", (path,)).rowcount
            if new:
                self.insert_predictions(rows)
                self.put("changed", "predictions")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def forget_predictions(self) -> None:
        self._database.executescript("BEGIN; DELETE FROM predictions; DELETE FROM files; COMMIT;")

    def forget_old(self, before: float, most: int) -> None:
        self._database.execute("DELETE FROM predictions WHERE at < ?", (before,))
        total = self._number("SELECT count(*) FROM predictions")
        if total > most:
            row = self._database.execute(
                "SELECT at FROM predictions ORDER BY at LIMIT 1 OFFSET ?", (total - most,)
            ).fetchone()
            self._database.execute("DELETE FROM predictions WHERE at < ?", row)

    def take_changed(self) -> bool:
        return self._database.execute("DELETE FROM about WHERE name = 'changed'").rowcount > 0


def _read_terms(ledger: _LastingLedger) -> LabelTerms:
    text = ledger.get("terms")
    if text is None:
        return LabelTerms()
    found = json.loads(text)
    return LabelTerms(found["where"], None if found["kind"] is None else LabelKind(found["kind"]))


def _finite(found: Any) -> Any:
    """Plain data without numbers that JSON does not have: a measure of absurd amounts cannot be said."""
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
