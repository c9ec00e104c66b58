"""The rows of evidence in a promise."""

from dataclasses import replace

import pytest

from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceAction, EvidenceConfig
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.rehearse.promise import Baseline, Promise, PromiseTerms, Quantity, promise

ALL = EvidenceConfig(compare=OF_TRAFFIC)


def promised(config: EvidenceConfig | None, rps: float = 40, parts: dict[str, float] | None = None) -> Promise:
    stages = (RolloutStage(1_000, 600), RolloutStage(5_000, 600), RolloutStage(10_000, 600))
    plan = RolloutPlan(stages=stages, evidence=config)
    return promise(plan, [], rps, Baseline(0.01), {Quantity.ERRORS: 0.01}, PromiseTerms(parts=parts or {}))


def test_each_comparison_has_its_smallest_difference_by_stage() -> None:
    found = promised(ALL).evidence
    assert [one.comparison for one in found] == list(OF_TRAFFIC)
    for one in found:
        first, second, last = one.smallest
        assert first is not None and second is not None
        assert second < first, "more requests find less"
        assert last == second, "with all traffic on the new version nothing is compared"


def test_what_is_tolerated_is_never_found() -> None:
    least = {
        Comparison.ERRORS: 0.05,
        Comparison.LATENCY: 0.01,
        Comparison.PREDICTIONS: 0.3,
        Comparison.TEXT: 0.02,
    }
    for one in promised(replace(ALL, errors=0.05, predictions=0.3)).evidence:
        assert all(size is None or size > least[one.comparison] for size in one.smallest)


def test_the_rate_of_false_rollbacks_counts_only_where_it_rolls_back() -> None:
    assert promised(ALL).false_alarm == pytest.approx(0.01)
    assert promised(replace(ALL, action=EvidenceAction.GATE)).false_alarm == 0
    assert promised(None).evidence == ()


def test_variants_have_rows_of_their_own_and_share_the_rate() -> None:
    found = promised(replace(ALL, compare=(Comparison.ERRORS,)), parts={"large": 0.9, "small": 0.1})
    large, small = found.evidence
    assert (large.variant, small.variant) == ("large", "small")
    assert large.smallest[0] is not None and small.smallest[0] is not None
    assert large.smallest[0] < small.smallest[0]
    assert found.false_alarm == pytest.approx(0.01)


def test_without_traffic_for_it_nothing_is_found() -> None:
    assert all(size is None for one in promised(ALL, rps=0.001).evidence for size in one.smallest)
