"""The metrics of late labels: enough labels or none, by version."""

from typing import Any

import pytest

from tidegate.domain.metric import LABELS
from tidegate.features.labels.label_metrics import label_samples


def version(pairs: int, positives: int | None, **more: Any) -> dict[str, Any]:
    quality = {"pairs": pairs, "auc": 0.8} if positives is not None else {"pairs": pairs, "bias": -2.0}
    if positives is not None:
        quality["positives"] = positives
    coverage = {"labelled": pairs, "share": 0.2}
    return {
        **{"config": "v1", "variant": "blue", "quality": quality, "coverage": coverage},
        **{"delay_seconds": {"p50": 30.0}, **more},
    }


def names(*versions: dict[str, Any], comparisons: tuple[dict[str, Any], ...] = ()) -> dict[str, float]:
    document = {"versions": versions, "comparisons": comparisons}
    found = label_samples("fraud", document, 7)
    assert all(one.metric.namespace == LABELS and one.at == 7 for one in found)
    assert all(dict(one.metric.dimensions)["EndpointName"] == "fraud" for one in found)
    return {one.metric.name: one.total for one in found}


@pytest.mark.parametrize(("one", "measured"), [
    (version(300, 100), {"AUC": 0.8}),
    (version(300, 99), {}),
    (version(300, 201), {}),
    (version(100, None), {"Bias": -2.0}),
    (version(99, None), {}),
])  # fmt: skip
def test_measures_are_published_with_enough_labels_only(one: dict[str, Any], measured: dict[str, float]) -> None:
    basis = {"Labelled": float(one["coverage"]["labelled"]), "LabelCoverage": 20.0, "LabelDelay": 30.0}
    assert names(one) == basis | measured


def test_without_labels_or_a_version_there_is_nothing_to_publish() -> None:
    assert names(version(0, 0, quality=None)) == {}
    assert names(version(300, 100, config="")) == {}
    assert "AUC" not in names(version(300, 100, quality={"pairs": 300, "positives": 150, "auc": None}))


def test_a_comparison_is_published_for_the_new_version() -> None:
    one = {"new": "v2", "variant": "blue", "evidence": 1.2, "old_compared": 9, "new_compared": 9}
    assert names(comparisons=(one,)) == {"LabelEvidence": 1.2}
    assert names(comparisons=({**one, "new_compared": 0},)) == {}
