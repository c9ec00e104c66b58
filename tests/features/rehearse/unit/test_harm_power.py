"""What an assurance takes, and that one which cannot be reached is refused."""

import random
import statistics
from dataclasses import replace
from typing import Any

import pytest

from bench.assure import BIAS, KINDS, RATE, SHARE, USUAL, run
from tidegate.domain.assurance import Assurance, AssuranceUnit, Harm, PredictionHarm
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig
from tidegate.domain.replay import ReplayConfig
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.evidence.assurance import begin_assurance, find_harms
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.report import ScoredRows
from tidegate.features.rehearse.promise import (
    Baseline,
    LabelFlow,
    LatencyDistribution,
    Predictions,
    Promise,
    PromiseTerms,
    promise,
)

STAGES = (RolloutStage(2_500, 600), RolloutStage(10_000, 600))
COPIED = (RolloutStage(0, 120), *STAGES)


def promised(
    harm: Harm,
    rps: float = 40,
    usual: Baseline | None = None,
    unit: AssuranceUnit = AssuranceUnit.REQUEST,
    *,
    exposure: int | None = None,
    stages: tuple[RolloutStage, ...] = STAGES,
) -> Promise:
    compare = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PAIRED)
    assure = Assurance(harm, 2_500, unit=unit, exposure=exposure)
    config = EvidenceConfig(compare, assure=assure, deadline=7200)
    plan = RolloutPlan(stages=stages, evidence=config)
    return promise(plan, [], rps, usual or Baseline(), {}, PromiseTerms())


def test_errors_take_requests_and_time_by_the_traffic() -> None:
    (one,) = promised(Harm(errors=0.01)).harms
    assert (one.harm, one.counted, one.reached) == ("errors", "requests to the new version", True)
    assert one.count is not None and one.seconds == pytest.approx(one.count / 10)
    (many,) = promised(Harm(errors=0.01), rps=400).harms
    assert many.seconds == pytest.approx(one.count / 20), "a second counts as 20 requests at most"


@pytest.mark.parametrize("harm", [0.02, 0.05])
def test_the_promised_requests_are_those_that_the_test_needs(harm: float) -> None:
    (one,) = promised(Harm(errors=harm), usual=Baseline(0.0)).harms
    assert one.count is not None
    config = EvidenceConfig(assure=Assurance(Harm(errors=harm), 2_500))
    blocks = [
        EvidenceBlock(at, 1, 0, {"AllTraffic/errors/errors": (30, 0, 10, 0)}) for at in range(one.count // 5)
    ]
    needed = next(
        10 * n for n in range(1, len(blocks)) if recompute(config, ("AllTraffic",), blocks[:n], 0).assured
    )
    assert needed == pytest.approx(one.count, rel=0.25)


def test_latencies_take_blocks_and_the_tail_takes_most() -> None:
    median, tail = promised(Harm(latency=0.5)).harms
    assert median.seconds is not None and tail.seconds is not None
    assert 5 < median.seconds < 40 < 600 < tail.seconds < 7200


@pytest.mark.parametrize(
    ("kind", "harm", "place"),
    [
        ("errors +0.5 points", Harm(errors=0.005), 0),
        ("p50 +50 %", Harm(latency=0.5), 0),
        ("p99 +50 %", Harm(latency=0.5), 1),
        ("bias 0.4 units", Harm(predictions=PredictionHarm(bias=BIAS)), 0),
    ],
)
def test_half_of_the_simulated_equal_versions_need_no_more_than_is_promised(
    kind: str, harm: Harm, place: int
) -> None:
    """The simulation has a block each second; those of a stage last five seconds after its first 300."""
    usual = Baseline(USUAL, LatencyDistribution.lognormal(20_000, 20_000 * 2.0094))  # a spread of 0.3
    found = promised(harm, RATE, usual).harms[place]
    assert found.seconds is not None and (SHARE, KINDS[kind][1][0]) == (0.25, "independent")
    blocks = statistics.median(run(kind, "independent", 0.0, 200, 1500, seed=3).seconds.tolist())
    usable = 20 / 25 if place == 0 and harm.errors else 1.0  # a second of 25 requests counts as 20
    seconds = blocks if usable < 1 or blocks < 300 else 300 + 5 * (blocks - 300)
    assert found.seconds == pytest.approx(seconds, rel=0.25), seconds


def scored(positives: int, seed: int, amounts: bool) -> ScoredRows:
    """Rows as ``label_power`` takes them: two versions that agree by a half, with normal scores or errors."""
    chance = random.Random(seed)
    truth = [0.0] * positives if amounts else [1.0] * positives + [0.0] * (10 * positives)
    shared = [chance.gauss(0, 1) for _ in truth]
    old, new = (
        [0.5**0.5 * (one + chance.gauss(0, 1)) + 1.19 * label for one, label in zip(shared, truth, strict=True)]
        for _ in range(2)
    )
    labels = [chance.gauss(0, 100) for _ in truth] if amounts else truth
    rest = [label if amounts else 0.0 for label in labels]
    old, new = ([one + more for one, more in zip(side, rest, strict=True)] for side in (old, new))
    return ScoredRows(old, new, labels, [{} for _ in truth], labelled=True)


@pytest.mark.parametrize("harm", [Harm(auc=0.05), Harm(recall=0.1), Harm(mean_error=0.1)])
def test_about_half_of_the_replays_of_equal_versions_rule_a_harm_out_by_the_promised_labels(harm: Harm) -> None:
    (found,) = promised(harm).harms
    assert found.count is not None
    state = begin_assurance(Assurance(harm, 2_500), ("main",))
    config, replays = ReplayConfig("rows", recall=True, least_labels=10), 24
    ruled_out = sum(
        find_harms(state, {"main": judge_replay(rows, config, 0.005)})[0].excluded
        for rows in (scored(found.count, seed, harm.mean_error is not None) for seed in range(replays))
    )
    assert 0.2 * replays <= ruled_out <= 0.97 * replays


def test_amounts_are_known_by_their_deviation_and_not_without_it() -> None:
    harm = Harm(predictions=PredictionHarm(bias=93))
    (unknown,) = promised(harm).harms
    assert (unknown.count, unknown.reached) == (None, True)
    (known,) = promised(harm, usual=Baseline(predictions=Predictions(900, 200))).harms
    assert known.count is not None and known.seconds is not None and known.count > 400


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"harm": Harm(errors=0.0002)},
            r"errors 0.02% cannot be ruled out in time: it takes about 738,\d{3} requests to the new version in"
            r" 20h31m, and there are 78,000 requests .* in the 2h10m before the deadline: bake 18h31m at 25% \(it is"
            r" 10m\); or name a larger harm \(0.067%\)$",
        ),
        ({"harm": Harm(errors=0.0006)}, r"; or give that stage 50% of the traffic \(before: 50%\); or name a"),
        ({"harm": Harm(errors=0.0002), "unit": AssuranceUnit.SECOND}, r"deadline: name a larger harm \(0.74%\)$"),
        ({"harm": Harm(errors=0.01), "exposure": 500}, r"exposure: 1\d{3} \(it is 500\)"),
        ({"harm": Harm(latency=0.5), "rps": 0.5}, r"latency p99 50% .*: bake .* at 25%"),
        (
            {"harm": Harm(predictions=PredictionHarm(bias=0.01)), "stages": COPIED, "rps": 0.2},
            r"bias 0.01 .* pairs .*: get copies for .* first \(evidence.copies is 2m\); or name a larger harm"
            r" \(0.0\d+\); or name what labelled rows show in its place: auc: 0.05 takes about \d+ labels of 1",
        ),
        ({"harm": Harm(errors=0.05), "stages": STAGES[1:]}, "give a first stage 25% of the traffic or less"),
        (
            {"harm": Harm(auc=0.02), "usual": Baseline(positives=300, labels=LabelFlow(0.01))},
            r"auc 0.02 .* it takes about \d+ labels of 1 in .*, and there are 300 labels of 1: a replay of rows with"
            r" \d+ labels of 1: those of .*; or name a larger harm \(0.031\)",
        ),
    ],
)
def test_an_assurance_that_cannot_be_reached_is_refused_with_what_would_do(
    asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        promised(**asked)


def test_what_is_proposed_does() -> None:
    longer = (replace(STAGES[0], bake=(18 * 60 + 31) * 60), STAGES[1])
    assert promised(Harm(errors=0.0002), stages=longer).harms[0].reached
    assert promised(Harm(errors=0.00067)).harms[0].reached
