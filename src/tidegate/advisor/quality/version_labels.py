"""The late labels of two versions that answered side by side, compared at every look."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tidegate.advisor.quality.ledger import LabelKind, Ledger, SideBySide
from tidegate.evidence.label_quality import (
    AUC_TOLERANCE,
    ERROR_TOLERANCE,
    FEEDBACK_TOLERANCE,
    LabelComparison,
    TimedLabel,
    compare_amounts,
    compare_classes,
    compare_feedback,
)

_COMPARED: dict[LabelKind, tuple[Callable[[Iterable[TimedLabel]], LabelComparison], str, float]] = {
    LabelKind.CLASSES: (compare_classes, "positives below a negative", AUC_TOLERANCE),
    LabelKind.AMOUNTS: (compare_amounts, "errors above the old version's median", ERROR_TOLERANCE),
    LabelKind.FEEDBACK: (compare_feedback, "answers disliked", FEEDBACK_TOLERANCE),
}
"""How labels are compared, what of them is counted, and by how much it may differ."""


def compare_versions(ledger: Ledger, kind: LabelKind, pair: SideBySide) -> dict[str, Any]:
    """As plain data: how close the new version is to having lost more than the tolerance."""
    compare, what, tolerance = _COMPARED[kind]
    found = compare(_timed(ledger, pair))
    old_n, old_k, new_n, new_k = found.counts
    return {
        "old": pair.old.config,
        "new": pair.new.config,
        "variant": pair.new.variant,
        "since": pair.since,
        "what": what,
        "tolerance": tolerance,
        "evidence": found.evidence,
        "old_compared": old_n,
        "old_wrong": old_k,
        "new_compared": new_n,
        "new_wrong": new_k,
    }


def _timed(ledger: Ledger, pair: SideBySide) -> Iterator[TimedLabel]:
    for one in ledger.in_order(pair):
        yield TimedLabel(one.config == pair.new.config, one.id, one.score, one.value)
