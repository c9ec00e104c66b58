"""What an assurance takes, and that one which cannot be reached is refused."""

from dataclasses import replace

import pytest

from tidegate.domain.assurance import Assurance, AssuranceUnit, Harm, PredictionHarm
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.evidence.judge import recompute
from tidegate.features.rehearse.promise import Baseline, Promise, PromiseTerms, promise

STAGES = (RolloutStage(2_500, 600), RolloutStage(10_000, 600))


def promised(
    harm: Harm, rps: float = 40, usual: float = 0.001, unit: AssuranceUnit = AssuranceUnit.REQUEST
) -> Promise:
    compare = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PAIRED)
    config = EvidenceConfig(compare, assure=Assurance(harm, 2_500, unit=unit), deadline=7200)
    return promise(RolloutPlan(stages=STAGES, evidence=config), [], rps, Baseline(usual), {}, PromiseTerms())


def test_errors_take_requests_and_time_by_the_traffic() -> None:
    (one,) = promised(Harm(errors=0.01)).harms
    assert (one.harm, one.counted, one.reached) == ("errors", "requests", True)
    assert one.count is not None and one.seconds == pytest.approx(one.count / 10)
    (many,) = promised(Harm(errors=0.01), rps=400).harms
    assert many.seconds == pytest.approx(one.count / 20), "a second counts as 20 requests at most"


@pytest.mark.parametrize("harm", [0.02, 0.05])
def test_the_promised_requests_are_those_that_the_test_needs(harm: float) -> None:
    (one,) = promised(Harm(errors=harm), usual=0.0).harms
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
    assert found["bias"].count is None and found["recall"].count is None
    assert found["auc"].count is not None and 50 < found["auc"].count < 1000


@pytest.mark.parametrize(
    ("harm", "unit", "says"),
    [
        (
            Harm(errors=0.0002),
            AssuranceUnit.REQUEST,
            "errors cannot be .*, which takes about .* requests to the new version",
        ),
        (
            Harm(errors=0.002),
            AssuranceUnit.SECOND,
            "errors cannot be ruled out before the deadline with 40 requests",
        ),
    ],
)
def test_an_assurance_that_cannot_be_reached_is_refused_with_what_to_do(
    harm: Harm, unit: AssuranceUnit, says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        promised(harm, unit=unit)
    assert replace(harm, errors=0.05) and promised(replace(harm, errors=0.05), unit=unit).harms[0].reached
