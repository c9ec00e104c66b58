"""A processing job: the baseline of a data set, of its columns or of its predictions. Blocks."""

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

from tidegate.domain.drift import DriftReportPlace
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.drift.constraints import USUAL_THRESHOLD
from tidegate.features.drift.report import write_report
from tidegate.features.drift.shapes import make_constraints, make_statistics
from tidegate.features.monitor.datasets import read_rows
from tidegate.features.monitor.measures import MEASURE, deviations, sizes, standard_errors
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.multiclass import MOST_CLASSES, count_classes
from tidegate.features.monitor.pairs import Pair, UnusedReason, make_pair
from tidegate.features.monitor.processing_records import BaselineJob, BaselineOutcome, BaselineTask
from tidegate.features.monitor.quality_statistics import make_quality_statistics
from tidegate.features.monitor.thresholds import CONSTRAINED, suggest_constraints
from tidegate.features.monitor.user_files import find_user_files
from tidegate.rows.profile import MOST_COLUMNS, Row, TableProfile, Value

FEWEST = 50
"""Rows of a baseline, below which nothing could be compared with it."""
MOST_PAIRS = 500_000
"""Pairs that are measured together; more would take too much memory."""

Documents = dict[str, dict[str, Any]]


def make_baseline(task: BaselineTask, draw: Random) -> BaselineOutcome:
    """Make a baseline. Anything that goes wrong gives a failed outcome with the reason, and neither file is
    written."""
    work, access = task.work, task.access
    try:
        rows = read_rows(find_user_files(work.source, access), work.format)
        count, documents = (
            _suggest_quality(work.quality, rows, draw) if work.quality else _suggest(work, rows, draw)
        )
    except TidegateError as error:
        return BaselineOutcome(reason=f"data set {work.source}: {error}")
    place = DriftReportPlace(work.output, kms_key=work.kms_key, roots=access.output_roots)
    try:
        write_report(place, documents, access.s3)
    except TidegateError as error:
        return BaselineOutcome(reason=f"output {work.output}: {error}")
    return BaselineOutcome(count)


def _suggest(work: BaselineJob, rows: Iterable[Row], draw: Random) -> tuple[int, Documents]:
    """Raises Invalid."""
    table = TableProfile(draw.randrange)
    for row in rows:
        table.add(row)
        if len(table.columns) == MOST_COLUMNS and row.keys() - table.columns.keys():
            raise Invalid(f"it has more than {MOST_COLUMNS:,} columns")
    _check_count(table.rows, "rows")
    constraints = make_constraints(table, USUAL_THRESHOLD)
    if work.drift_method:
        distribution = constraints["monitoring_config"]["distribution_constraints"]
        distribution["categorical_drift_method"] = work.drift_method
    return table.rows, {"statistics.json": make_statistics(table), "constraints.json": constraints}


def _suggest_quality(terms: QualityTerms, rows: Iterable[Row], draw: Random) -> tuple[int, Documents]:
    """Raises Invalid."""
    pairs = _read_pairs(terms, rows)
    _check_count(len(pairs), "rows with a label and a prediction")
    measured = MEASURE[terms.problem](pairs)
    unsaid = [name for name in CONSTRAINED[terms.problem] if name in measured and measured[name] != measured[name]]
    if unsaid:
        raise Invalid(f"a class is never seen, or all labels are the same: {', '.join(unsaid)} cannot be said")
    statistics = make_quality_statistics(terms.problem, pairs, measured, deviations(terms.problem, pairs, draw))
    constraints = suggest_constraints(
        terms.problem, measured, standard_errors(terms.problem, pairs, draw), sizes(terms.problem, pairs)
    )
    return len(pairs), {"statistics.json": statistics, "constraints.json": constraints}


def _read_pairs(terms: QualityTerms, rows: Iterable[Row]) -> list[Pair]:
    """Read the pairs of a data set. Raises Invalid if a column is missing, or any row has no pair."""
    pairs: list[Pair] = []
    bad: Counter[UnusedReason] = Counter()
    first, count = "", 0
    for count, row in enumerate(rows, 1):
        label, inference, probability = (
            _value(row, name, count) for name in (terms.label, terms.inference, terms.probability)
        )
        pair = make_pair(terms, label, inference, probability)
        if isinstance(pair, UnusedReason):
            bad[pair] += 1
            first = first or f"row {count}: {pair}"
        else:
            pairs.append(pair)
        check_pairs(pairs)
    if bad:
        raise Invalid(f"{sum(bad.values())} of {count} rows cannot be used; the first is {first}")
    if terms.problem is ProblemType.MULTICLASS:
        check_classes(pairs)
    return pairs


def _value(row: Row, name: str, count: int) -> Value:
    """Return the value of a column, which is given by name or by number from 0; None if no column is given. Raises
    Invalid if the row does not have it."""
    if not name:
        return None
    if name not in row and name.isdecimal() and int(name) < len(row):
        name = list(row)[int(name)]
    if name not in row:
        raise Invalid(f"row {count} has no column {name!r}: it has {', '.join(list(row)[:8])}")
    return row[name]


def check_pairs(pairs: list[Pair]) -> None:
    """Raises Invalid for too many."""
    if len(pairs) > MOST_PAIRS:
        raise Invalid(
            f"there are more than {MOST_PAIRS:,} labels with a prediction: give a sample, or a shorter time"
        )


def check_classes(pairs: list[Pair]) -> None:
    """Raises Invalid for too many."""
    classes = count_classes(pairs)
    if classes > MOST_CLASSES:
        raise Invalid(
            f"there are {classes:,} classes, at most {MOST_CLASSES:,} can be: labels that are amounts are Regression"
        )


def _check_count(count: int, what: str) -> None:
    """Raises Invalid."""
    if count < FEWEST:
        raise Invalid(f"it has {count} {what}: a baseline needs {FEWEST}")
