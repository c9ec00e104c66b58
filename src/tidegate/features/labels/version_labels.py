"""The late labels of two versions that answered side by side, compared at every look."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tidegate.features.labels.ledger import LabelKind, Ledger, SideBySide
from tidegate.statistics.label_quality import (
    LabelComparison,
    LabelTest,
    TimedLabel,
    compare_amounts,
    compare_classes,
    compare_feedback,
)

_COMPARED: dict[LabelKind, Callable[[Iterable[TimedLabel]], LabelComparison]] = {
    LabelKind.CLASSES: compare_classes,
    LabelKind.AMOUNTS: compare_amounts,
    LabelKind.FEEDBACK: compare_feedback,
}


def compare_versions(ledger: Ledger, kind: LabelKind, pair: SideBySide) -> dict[str, Any]:
    """Describe as plain data how close the new version is to having lost more than is tolerated. ``tests``: all that
    was compared; the test with the most evidence is repeated beside them."""
    found = _COMPARED[kind](_time_labels(ledger, pair))
    return {
        "old": pair.old.config,
        "new": pair.new.config,
        "variant": pair.new.variant,
        "since": pair.since,
        **_describe_test(found.leading),
        "tests": [_describe_test(one) for one in found.tests],
    }


def _describe_test(one: LabelTest) -> dict[str, Any]:
    return {
        "name": one.name,
        "slice": one.slice,
        "tolerance": one.tolerance,
        "evidence": one.evidence,
        "old_compared": one.old[0],
        "old_mean": one.old[1],
        "new_compared": one.new[0],
        "new_mean": one.new[1],
    }


def _time_labels(ledger: Ledger, pair: SideBySide) -> Iterator[TimedLabel]:
    for one in ledger.in_order(pair):
        yield TimedLabel(one.config == pair.new.config, one.id, one.score, one.value, one.slices)
