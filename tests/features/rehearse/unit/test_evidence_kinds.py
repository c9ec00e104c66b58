"""Which kinds of evidence a rollout has: what each one sees, after how much, and what is blind."""

from dataclasses import replace

import pytest

from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceConfig
from tidegate.domain.replay import ReplayConfig
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.rehearse.promise import Baseline, EvidenceKind, LabelFlow, PromiseTerms, Quantity, promise
from tidegate.features.rehearse.promise.evidence_power import chance_to_find
from tidegate.features.rehearse.promise.passage import ComparedStage

ALL = EvidenceConfig((*OF_TRAFFIC, Comparison.PAIRED), replay=ReplayConfig("file:///rows.csv", label="fraud"))
STAGES = (RolloutStage(0, 120), RolloutStage(1_000, 600), RolloutStage(10_000, 600))
FLOW = LabelFlow(0.05, 0.5, 3_600.0)
DAY = 86_400.0


def kinds(
    config: EvidenceConfig | None = ALL,
    rps: float = 40,
    usual: Baseline | None = None,
    terms: PromiseTerms | None = None,
) -> dict[str, EvidenceKind]:
    plan = RolloutPlan(stages=STAGES, evidence=config)
    found = promise(plan, [], rps, usual or Baseline(0.01), {Quantity.ERRORS: 0.01}, terms or PromiseTerms())
    return {one.kind: one for one in found.kinds}


def test_every_kind_has_a_row_with_what_it_sees_and_when() -> None:
    found = kinds(usual=Baseline(0.01, labels=FLOW, positives=300))
    assert set(found) == {*map(str, Comparison), "replay", "late labels"}
    errors, paired, replay = found["errors"], found["paired"], found["replay"]
    assert (errors.stage, errors.count, errors.seconds) == (1, 2_400, 600)
    assert (paired.stage, paired.count, paired.counted, paired.seconds) == (0, 2_400, "pairs", 120)
    assert (replay.count, replay.seconds, replay.stage) == (300, 0, None)
    for name in ("errors", "latency", "predictions", "paired", "replay", "late labels"):
        smallest = found[name].smallest
        assert found[name].asked and smallest is not None and smallest > 0


def test_the_smallest_harm_is_what_the_test_itself_finds_with_the_power() -> None:
    smallest = kinds()["errors"].smallest
    assert smallest is not None
    stages = [ComparedStage(0, 120, 40), ComparedStage(0.1, 600, 40)]
    assert chance_to_find(Comparison.ERRORS, ALL, stages, 0.01, smallest) == pytest.approx(0.95, abs=0.01)


def test_only_what_a_worker_reads_is_counted() -> None:
    config = EvidenceConfig((Comparison.ERRORS, Comparison.PREDICTIONS, Comparison.TEXT))
    found = kinds(config, rps=4_000)
    assert [found[name].count for name in ("errors", "predictions", "text")] == [240_000, 15_000, 3_000]


def test_too_few_requests_are_said_plainly_with_what_would_do() -> None:
    found = kinds(rps=0.02)
    assert found["predictions"].smallest is None
    assert "too few" in found["predictions"].blind
    assert "times as long a bake" in found["errors"].proposal or found["errors"].smallest is not None
    assert found["predictions"].proposal


def test_what_the_spec_does_not_ask_for_is_named_with_how_to() -> None:
    found = kinds(EvidenceConfig((Comparison.ERRORS,)))
    assert not found["latency"].asked
    assert found["latency"].proposal == "evidence: {compare: [latency]}"
    assert "no stages" in found["features"].blind
    assert "no labelled rows" in found["replay"].blind
    pipeline = kinds(EvidenceConfig((Comparison.ERRORS,)), terms=PromiseTerms(pipeline=True))
    assert pipeline["features"].proposal == "evidence: {compare: [features]}"
    assert kinds(None) == {}


@pytest.mark.parametrize(
    ("flow", "seconds", "said"),
    [
        (None, None, "how many labels come, and when, is not given"),
        (FLOW, 1_000 / (4 * 0.5 * 0.05) + 3_600, ""),
        (replace(FLOW, positive=0.0001), 1_000 / (4 * 0.5 * 0.0001) + 3_600, "labels are rare"),
        (replace(FLOW, delay=60 * DAY), 1_000 / (4 * 0.5 * 0.05) + 60 * DAY, "labels are rare"),
    ],
)
def test_late_labels_say_when_there_are_enough(flow: LabelFlow | None, seconds: float | None, said: str) -> None:
    late = kinds(usual=Baseline(0.01, labels=flow))["late labels"]
    assert late.seconds == (None if seconds is None else pytest.approx(seconds))
    assert said in late.blind
    assert (late.smallest is None) == bool(said)
    assert late.proposal, "it comes after a rollout of ten minutes"


def test_few_labelled_rows_decide_nothing() -> None:
    replay = kinds(usual=Baseline(0.01, positives=50))["replay"]
    assert (replay.smallest, replay.blind) == (None, "50 labels of 1 are too few (least_labels: 100)")


def test_a_target_that_counts_less_says_what_takes_its_place() -> None:
    terms = PromiseTerms(possible=frozenset({Comparison.ERRORS}), replays=False)
    found = kinds(EvidenceConfig((Comparison.ERRORS,)), terms=terms)
    assert found["errors"].smallest is not None
    for name in ("latency", "predictions", "paired", "features", "replay", "late labels"):
        assert found[name].smallest is None and "the target" in found[name].blind
        assert "tidegate compare" in found[name].proposal
