"""The late labels of two versions that answered side by side, compared at every look."""

from collections.abc import Iterator
from typing import Any

from tidegate.advisor.quality.ledger import LabelKind, Ledger, SideBySide
from tidegate.evidence.label_quality import (
    AUC_TOLERANCE,
    ERROR_TOLERANCE,
    TimedLabel,
    compare_amounts,
    compare_classes,
)


def compare_versions(ledger: Ledger, kind: LabelKind, pair: SideBySide) -> dict[str, Any]:
    """As plain data: how close the new version is to having lost more than the tolerance."""
    classes = kind is LabelKind.CLASSES
    labels = _timed(ledger, pair)
    found = compare_classes(labels) if classes else compare_amounts(labels)
    old_n, old_k, new_n, new_k = found.counts
    return {
        "old": pair.old.config,
        "new": pair.new.config,
        "variant": pair.new.variant,
        "since": pair.since,
        "what": "positives below a negative" if classes else "errors above the old version's median",
        "tolerance": AUC_TOLERANCE if classes else ERROR_TOLERANCE,
        "evidence": found.evidence,
        "old_compared": old_n,
        "old_wrong": old_k,
        "new_compared": new_n,
        "new_wrong": new_k,
    }


def _timed(ledger: Ledger, pair: SideBySide) -> Iterator[TimedLabel]:
    for one in ledger.in_order(pair):
        yield TimedLabel(one.config == pair.new.config, one.id, one.score, one.value)
