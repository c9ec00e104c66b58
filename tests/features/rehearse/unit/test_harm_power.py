"""What an assurance takes, and that one which cannot be reached is refused."""

import re
import statistics
from contextlib import nullcontext
from dataclasses import replace

import pytest

from bench import assure
from tidegate.domain.assurance import Assurance, AssuranceUnit, Harm, PredictionHarm
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.evidence.judge import recompute
from tidegate.features.rehearse.promise import (
    Baseline,
    HarmPromise,
    Predictions,
    Promise,
    PromiseTerms,
    promise,
)
from tidegate.features.rehearse.promise.harm_power import promise_harms
from tidegate.features.rehearse.promise.passage import ComparedStage
from tidegate.spec.units import percent, seconds

STAGES = (RolloutStage(2_500, 600), RolloutStage(10_000, 600))


BASELINE = Baseline(0.001)


def promised(
    harm: Harm,
    rps: float = 40,
    unit: AssuranceUnit = AssuranceUnit.REQUEST,
    baseline: Baseline = BASELINE,
) -> Promise:
    compare = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PAIRED)
    config = EvidenceConfig(compare, assure=Assurance(harm, 2_500, unit=unit), deadline=7200)
    return promise(RolloutPlan(stages=STAGES, evidence=config), [], rps, baseline, {}, PromiseTerms())


def test_errors_take_requests_and_time_by_the_traffic() -> None:
    (one,) = promised(Harm(errors=0.01)).harms
    assert (one.harm, one.counted, one.reached) == ("errors", "requests", True)
    assert one.count is not None and one.seconds == pytest.approx(one.count / 10)
    (many,) = promised(Harm(errors=0.01), rps=400).harms
    assert many.seconds == pytest.approx(one.count / 20), "a second counts as 20 requests at most"


@pytest.mark.parametrize("harm", [0.02, 0.05])
def test_the_promised_requests_are_those_that_the_test_needs(harm: float) -> None:
    (one,) = promised(Harm(errors=harm), baseline=Baseline(0.0)).harms
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


def test_what_follows_from_the_model_is_named_without_a_number() -> None:
    found = {
        one.harm: one for one in promised(Harm(predictions=PredictionHarm(bias=93), auc=0.05, recall=0.05)).harms
    }
    assert found["bias"].count is None
    assert found["auc"].count is not None and 50 < found["auc"].count < 1000
    amounts = replace(BASELINE, predictions=Predictions(1_000, 400))
    (bias,) = promised(Harm(predictions=PredictionHarm(bias=80)), baseline=amounts).harms
    (wider,) = promised(Harm(predictions=PredictionHarm(bias=160)), baseline=amounts).harms
    assert bias.count is not None and wider.count is not None and bias.count > wider.count > 400


@pytest.mark.parametrize(("name", "harm"), [
    ("errors +0.5 points", Harm(errors=assure.ERRORS)),
    ("p50 +50 %", Harm(latency=0.5)),
    ("bias 0.4 units", Harm(predictions=PredictionHarm(bias=assure.BIAS))),
])  # fmt: skip
def test_the_promised_time_is_that_of_simulated_rollouts_of_an_equal_version(name: str, harm: Harm) -> None:
    found = assure.run(name, "independent", 0.0, 200, 400)
    baseline = Baseline(assure.USUAL, predictions=Predictions(0.5, 0.1))
    # The simulation has ten pairs of predictions in a second.
    rps = assure.PAIRS / (1 - assure.SHARE) if harm.of_pairs else assure.RATE
    one = promised(harm, rps=rps, baseline=baseline).harms[0]
    assert one.seconds == pytest.approx(statistics.median(found.seconds), rel=0.3)


def test_the_promised_labels_rule_a_harm_out_of_nearly_every_equal_version() -> None:
    (one,) = promised(Harm(auc=assure.AUC)).harms
    assert one.count is not None
    assert assure.run_labels(0.0, 30, one.count, 10 * one.count) >= 25
    assert assure.run_labels(0.0, 30, one.count // 4, 10 * (one.count // 4)) < 20


@pytest.mark.parametrize(
    ("harm", "unit", "says"),
    [
        (
            Harm(errors=0.0002),
            AssuranceUnit.REQUEST,
            r"errors cannot be .*: it takes about [0-9,]+ requests \(about .*\), and there are 78,000 in about 2 h;"
            r" what would do: a stage of 25% that bakes .* \(now 10m\), or errors: 0\.\d+% as the harm$",
        ),
        (
            Harm(errors=0.002),
            AssuranceUnit.SECOND,
            "errors cannot be ruled out before the deadline at 40 requests",
        ),
    ],
)
def test_an_assurance_that_cannot_be_reached_is_refused_with_what_to_do(
    harm: Harm, unit: AssuranceUnit, says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        promised(harm, unit=unit)
    assert replace(harm, errors=0.05) and promised(replace(harm, errors=0.05), unit=unit).harms[0].reached


@pytest.mark.parametrize("harm", [Harm(errors=0.0005), Harm(predictions=PredictionHarm(bias=0.002))])
def test_each_remedy_that_is_named_would_do(harm: Harm) -> None:
    def promise_with(asked: Harm, bake: int, exposure: int | None = None) -> HarmPromise:
        config = EvidenceConfig(assure=Assurance(asked, 2_500, exposure=exposure), deadline=600)
        baseline = replace(BASELINE, predictions=Predictions(0.5, 0.1))
        return next(promise_harms(config, "one", [ComparedStage(0.25, bake, 40)], baseline))

    found = promise_with(harm, 600)
    assert not found.reached and found.has is not None and found.count is not None and found.has < found.count
    (bake,) = (re.search("bakes (.*) .now", one) for one in found.remedies if "bakes" in one)
    (size,) = (re.search(": (.*) as the harm", one) for one in found.remedies if "as the harm" in one)
    assert bake and promise_with(harm, seconds(bake[1], ())).reached
    assert not promise_with(harm, seconds(bake[1], ()) // 2).reached
    assert size
    larger = percent(size[1], ()) / 100 if harm.errors else float(size[1])
    better = Harm(errors=larger) if harm.errors else Harm(predictions=PredictionHarm(bias=larger))
    assert promise_with(better, 600).reached
    spent = promise_with(Harm(errors=0.01), 86_400, exposure=300)
    (exposure,) = (re.search("exposure: (.*)", one) for one in spent.remedies if "exposure" in one)
    assert exposure and promise_with(Harm(errors=0.01), 86_400, exposure=int(exposure[1])).reached


def test_too_few_labelled_rows_are_named_with_how_many_would_do() -> None:
    with pytest.raises(
        Invalid, match=r"auc.*there are 50; what would do: a replay of \d+ labels of 1, or auc: 0\.\d+ as"
    ):
        promised(Harm(auc=0.05), baseline=replace(BASELINE, positives=50))


def test_without_a_stage_below_the_share_nothing_is_reached() -> None:
    config = EvidenceConfig(assure=Assurance(Harm(errors=0.01), 1_000))
    found = next(promise_harms(config, "one", [ComparedStage(0.25, 600, 40)], BASELINE))
    assert not found.reached and found.remedies == ("a stage of at most 10% of the traffic that bakes",)


RAMP = tuple(RolloutStage(100 * share, 60) for share in (*range(1, 100), 100))


@pytest.mark.parametrize(("rate", "refused"), [(20, False), (40, True)])
def test_budgets_need_room_for_the_first_share_after_copies(rate: float, refused: bool) -> None:
    asked = Assurance(Harm(errors=0.02), 2_500, failed=50, ramp=True)
    config = EvidenceConfig((Comparison.ERRORS, Comparison.PAIRED), assure=asked, deadline=7200)
    plan = RolloutPlan(stages=(RolloutStage(0, 120), *RAMP), evidence=config)
    with pytest.raises(Invalid, match="never have room for the stage of 1 % at") if refused else nullcontext():
        promise(plan, [], rate, BASELINE, {}, PromiseTerms())


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (Assurance(Harm(errors=0.02), 2_500, exposure=20_000, failed=200, ramp=True), ""),
        (Assurance(Harm(errors=0.02), 2_500, exposure=20_000, failed=200), ""),
        (Assurance(Harm(errors=0.02), 2_500, failed=1, ramp=True), "it needs 84, and they allow"),
        (Assurance(Harm(errors=0.02), 100, exposure=5_000, ramp=True), ""),
    ],
)
def test_budgets_that_never_have_room_for_a_second_stage_are_refused(asked: Assurance, refused: str) -> None:
    config = EvidenceConfig((Comparison.ERRORS,), assure=asked, deadline=7200)
    plan = RolloutPlan(stages=RAMP, evidence=config)
    if not refused:
        assert promise(plan, [], 40, BASELINE, {}, PromiseTerms()).harms
        return
    with pytest.raises(Invalid, match=f"ramp: auto: the budgets never have room for the stage of 2 % .*{refused}"):
        promise(plan, [], 40, BASELINE, {}, PromiseTerms())
