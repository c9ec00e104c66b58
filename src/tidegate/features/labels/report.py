"""Joins captures with labels and measures: everything that ``tidegate labels measure`` says, as plain data."""

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from tidegate.features.labels.ledger import AnsweringVersion, LabelCoverage, LabelKind, Ledger
from tidegate.rows.label_lines import LineProblem, read_label, read_prediction
from tidegate.rows.sources import Line
from tidegate.statistics.measures import (
    BinaryQuality,
    measure_binary,
    measure_feedback,
    measure_numeric,
    measure_weighted,
)

T = TypeVar("T")

SELECTIVE = 2.0
"""Times that the highest scores are labelled more often, or more seldom, than the rest, from which labels count as
selective."""
FEWEST = 20
"""Labels from which that is said, and from which a slice is measured by itself."""
MOST_SLICES = 20
"""Slices of a version that are measured: those with most labels."""


@dataclass(frozen=True)
class QualityQuestion:
    """``where``: the place of the score in an answer; ``threshold``: scores from it on are positive; ``top``: share
    of the highest scores; ``latest``: seconds after which a label is too late."""

    where: str = ""
    threshold: float = 0.5
    top: float = 0.01
    latest: float = 365 * 86_400.0


def report_quality(
    captures: Iterable[Line], labels: Iterable[Line], asked: QualityQuestion, now: float
) -> dict[str, Any]:
    """Memory stays the same however much there is; a temporary file holds ids, scores and labels. ``now``: epoch
    seconds."""
    skipped: Counter[LineProblem] = Counter()
    unread: Counter[LineProblem] = Counter()
    with tempfile.TemporaryDirectory(prefix="tg-labels-") as folder, Ledger(Path(folder)) as ledger:
        read = (read_prediction(line, asked.where, path) for path, line in captures)
        ledger.add_predictions(entries(read, skipped))
        ledger.add_labels(entries((read_label(line, path) for path, line in labels), unread))
        outcomes = ledger.join(asked.latest, now)
        return {
            **describe_quality(ledger, asked),
            "versions": [
                {"config": version.config, "variant": version.variant, **describe_quality(ledger, asked, version)}
                for version in ledger.versions()
                if version.config
            ],
            "labels": {str(outcome): count for outcome, count in outcomes.items()}
            | {str(problem): count for problem, count in sorted(unread.items())},
            "captures_skipped": {str(problem): count for problem, count in sorted(skipped.items())},
            "threshold": asked.threshold,
            "top": asked.top,
        }


def describe_quality(
    ledger: Ledger,
    asked: QualityQuestion,
    version: AnsweringVersion | None = None,
    kind: LabelKind | None = None,
) -> dict[str, Any]:
    """Measures, coverage and delay of what was joined: of one version, or of all. ``kind`` None: what was joined
    tells."""
    if kind is LabelKind.FEEDBACK:
        return _describe_feedback(ledger, version)
    coverage, delays, binary = ledger.coverage(version), ledger.delays(version), ledger.only_classes()
    weighted = binary and 0 < coverage.labelled == coverage.weighted
    quality = (
        _measure_classes(ledger, asked, version, coverage.labelled, weighted)
        if binary
        else measure_numeric(ledger.pairs(version))
    )
    return {
        "kind": None if quality is None else "binary" if binary else "numeric",
        "quality": None if quality is None else asdict(quality),
        "slices": list(_describe_slices(ledger, asked, version, binary)),
        "weighted": weighted,
        "coverage": {
            **asdict(coverage),
            "share": _share(coverage),
            "selective": _is_selective(coverage),
            "bands": [asdict(band) for band in ledger.bands(version)],
            "over_time": [asdict(span) for span in ledger.coverage_over_time(version)],
        },
        "delay_seconds": None if delays is None else asdict(delays),
        "delay_counts": [asdict(count) for count in ledger.delay_counts(version)],
    }


def _describe_slices(
    ledger: Ledger, asked: QualityQuestion, version: AnsweringVersion | None, binary: bool
) -> Iterator[dict[str, Any]]:
    """Measures of the labels of each slice that has enough, not weighted."""
    for slice, count in ledger.slices(version, FEWEST, MOST_SLICES):
        pairs = ledger.pairs(version, slice)
        quality = measure_binary(pairs, count, asked.threshold, asked.top) if binary else measure_numeric(pairs)
        yield {"slice": slice, "labelled": count, "quality": None if quality is None else asdict(quality)}


def _describe_feedback(ledger: Ledger, version: AnsweringVersion | None) -> dict[str, Any]:
    """The answers have no scores, so nothing can be said by them."""
    coverage, delays = ledger.coverage(version), ledger.delays(version)
    quality = measure_feedback(value for _, value in ledger.pairs(version))
    return {
        "kind": None if quality is None else str(LabelKind.FEEDBACK),
        "quality": None if quality is None else asdict(quality),
        "weighted": False,
        "coverage": {
            **asdict(coverage),
            "share": _share(coverage),
            "selective": False,
            "bands": [],
            "over_time": [asdict(span) for span in ledger.coverage_over_time(version)],
        },
        "delay_seconds": None if delays is None else asdict(delays),
        "delay_counts": [asdict(count) for count in ledger.delay_counts(version)],
    }


def _measure_classes(
    ledger: Ledger, asked: QualityQuestion, version: AnsweringVersion | None, total: int, weighted: bool
) -> BinaryQuality | None:
    """Weighted only where the selection probability of every label is known: half of the weights would be worse than
    none."""
    if not weighted:
        return measure_binary(ledger.pairs(version), total, asked.threshold, asked.top)
    worth = math.fsum(weight for _, _, weight in ledger.weighted_pairs(version))
    return measure_weighted(ledger.weighted_pairs(version), worth, asked.threshold, asked.top)


def entries(read: Iterable[T | LineProblem], problems: Counter[LineProblem]) -> Iterator[T]:
    for one in read:
        if isinstance(one, LineProblem):
            problems[one] += 1
        else:
            yield one


def _share(coverage: LabelCoverage) -> float | None:
    return coverage.labelled / coverage.predictions if coverage.predictions else None


def _is_selective(coverage: LabelCoverage) -> bool:
    """Whether the highest scores have labels so much more often, or more seldom, that what is measured holds for
    labelled requests only."""
    if coverage.labelled < FEWEST:
        return False
    low, high = sorted((coverage.top, coverage.rest))
    return high > 0 and low * SELECTIVE <= high
