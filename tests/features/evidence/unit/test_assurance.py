"""An assurance: which harm blocks of counts rule out, what rules out nothing, and what is checked of the split."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tidegate.domain.assurance import Assurance, AssuranceUnit, Harm, HarmResult, PredictionHarm
from tidegate.domain.errors import Conflict
from tidegate.domain.evidence import (
    RULES,
    Comparison,
    EvidenceBlock,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Verdict,
)
from tidegate.domain.replay import ReplayConfig, ReplayResult, ReplayStatistic
from tidegate.features.evidence.command import verify
from tidegate.features.evidence.command_report import make_report
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.rows import harm_rows
from tidegate.features.evidence.service import describe_timeline
from tidegate.features.evidence.timeline import trace_evidence

NUMBERS = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PAIRED)
BEFORE = 2500


def assuring(harm: Harm, unit: AssuranceUnit = AssuranceUnit.REQUEST) -> EvidenceConfig:
    return EvidenceConfig(NUMBERS, assure=Assurance(harm, BEFORE, unit=unit))


def judged(
    config: EvidenceConfig, blocks: Iterable[EvidenceBlock], replayed: dict[str, ReplayResult] | None = None
) -> Verdict:
    found = list(blocks)
    return recompute(config, ("main",), found, found[-1].stage if found else 0, replayed)


def errors(seconds: int, *, new: float, old: float = 0.001, stage: int = 1) -> Iterator[EvidenceBlock]:
    """90 requests a second, a quarter of them to the new version."""
    chance = random.Random(3)
    for second in range(seconds):
        counts = (
            68,
            sum(chance.random() < old for _ in range(68)),
            22,
            sum(chance.random() < new for _ in range(22)),
        )
        yield EvidenceBlock(second, 1, stage, {"main/errors/errors": counts}, share=BEFORE)


def by_harm(verdict: Verdict) -> dict[str, HarmResult]:
    return {one.harm: one for one in verdict.harms}


def test_a_good_version_is_cleared_of_errors_and_one_with_the_harm_is_not() -> None:
    config = assuring(Harm(errors=0.01))
    good = judged(config, errors(150, new=0.001))
    assert good.assured and by_harm(good)["errors"].needed == 0
    assert good.exposed == 150 * 22
    one = by_harm(good)["errors"]
    assert one.estimate is not None and one.bound is not None and one.estimate < one.bound < 0.01
    bad = judged(config, errors(150, new=0.011))
    assert not bad.assured and bad.finding is Finding.FAIL


def test_the_rate_by_which_stages_are_chosen_follows_traffic_that_rises() -> None:
    asked = Assurance(Harm(errors=0.01), BEFORE, failed=50, ramp=True)
    calm = list(errors(60, new=0.0))
    risen = EvidenceBlock(60, 5, 1, {"main/errors/errors": (680, 0, 220, 0)}, share=BEFORE)
    config = replace(assuring(Harm()), assure=asked)
    assert judged(config, calm).rate == 90
    assert judged(config, [*calm, risen]).rate == 180
    assert judged(config, [risen, *(replace(one, at=one.at + 65) for one in calm)]).rate == pytest.approx(
        96.9, abs=0.1
    )


def test_a_wait_is_told_in_requests_and_minutes() -> None:
    verdict = judged(assuring(Harm(errors=0.01)), errors(40, new=0.001))
    one = by_harm(verdict)["errors"]
    assert not one.excluded and one.needed is not None and 300 < one.needed < 3000
    assert f"needs about {one.needed:,} more, about " in verdict.reason


def test_what_was_ruled_out_once_stays_so_in_later_stages() -> None:
    """The bound is on the probability that it is ever ruled out."""
    config, good = assuring(Harm(errors=0.01)), list(errors(150, new=0.001))
    bad = [replace(one, at=one.at + 150) for one in errors(100, new=0.05, stage=2)]
    assert judged(config, good).assured and judged(config, [*good, *bad]).assured


def test_seconds_as_units_take_as_long_however_many_requests_they_have() -> None:
    blocks = list(errors(150, new=0.001))
    assert not judged(assuring(Harm(errors=0.01), AssuranceUnit.SECOND), blocks).assured
    assert judged(assuring(Harm(errors=0.1), AssuranceUnit.SECOND), blocks).assured


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [EvidenceBlock(second, 1, 1, {}) for second in range(600)],
        [EvidenceBlock(second, 1, 1, {"main/errors/errors": (90, 0, 0, 0)}) for second in range(600)],
        [EvidenceBlock(second, 1, 1, {"main/errors/errors": (0, 0, 90, 0)}) for second in range(600)],
        [EvidenceBlock(second, 1, 1, {"main/errors/errors": (90, 91, 90, -1)}) for second in range(600)],
        [EvidenceBlock(second, 1, 1, {"other/errors/errors": (90, 0, 90, 0)}) for second in range(600)],
    ],
    ids=["no block", "empty blocks", "no new requests", "no old requests", "senseless counts", "another variant"],
)
def test_missing_data_rules_nothing_out(blocks: list[EvidenceBlock]) -> None:
    harm = Harm(0.3, 0.5, PredictionHarm(bias=1.0), auc=0.2)
    verdict = judged(assuring(harm), blocks)
    assert [one.harm for one in verdict.harms if one.excluded] == []
    assert {"errors", "latency p50", "latency p99", "bias up", "bias down", "auc"} == set(by_harm(verdict))


def latencies(new_median: int, new_tail: int, seconds: int = 900) -> Iterator[EvidenceBlock]:
    """Of 30 old requests 15 are above the median, and every third second one above the 99th percentile."""
    for second in range(seconds):
        p50 = (30, 15, 10, new_median)
        p99 = (30, int(second % 3 == 0), 10, new_tail if second % 10 == 0 else 0)
        yield EvidenceBlock(second, 1, 1, {"main/latency/harm p50": p50, "main/latency/harm p99": p99})


@pytest.mark.parametrize(
    ("median", "tail", "excluded"), [(1, 0, (True, True)), (5, 0, (False, True)), (1, 1, (True, False))]
)
def test_latency_needs_both_quantiles(median: int, tail: int, excluded: tuple[bool, bool]) -> None:
    found = by_harm(judged(assuring(Harm(latency=0.5)), latencies(median, tail)))
    assert (found["latency p50"].excluded, found["latency p99"].excluded) == excluded


def pairs(bias: float, unit: float | None, seconds: int = 120) -> Iterator[EvidenceBlock]:
    """Ten pairs a second; ``bias`` in the prediction's own unit, where ``unit`` is the size of one."""
    chance = random.Random(5)
    for second in range(seconds):
        mean = min(max(bias / (unit or 1) + chance.gauss(0, 0.1), -3), 3)
        value = (mean + 3) / 6
        units = {"main/paired/": unit} if unit is not None and second == 0 else {}
        yield EvidenceBlock(second, 1, 1, {}, {"main/paired/bias": (10, 10 * value, 10 * value * value)}, units)


@pytest.mark.parametrize(
    ("bias", "unit", "limit", "up", "down"),
    [
        (0.0, 93.0, 93.0, True, True),
        (80.0, 93.0, 93.0, False, True),
        (-95.0, 93.0, 93.0, True, False),
        (20.0, 10.0, 93.0, True, True),
        (0.0, None, 0.4, True, True),
        (0.41, None, 0.4, False, True),
    ],
)
def test_predictions_are_cleared_in_each_direction_in_the_unit_of_the_user(
    bias: float, unit: float | None, limit: float, up: bool, down: bool
) -> None:
    found = by_harm(judged(assuring(Harm(predictions=PredictionHarm(bias=limit))), pairs(bias, unit)))
    assert (found["bias up"].excluded, found["bias down"].excluded) == (up, down)
    assert found["bias up"].estimate == pytest.approx(bias, abs=0.05 * (unit or 1))
    bound = found["bias up"].bound
    assert bound is not None and bias < bound


def test_what_was_measured_in_log_odds_counts_no_more_once_predictions_are_amounts() -> None:
    harm = assuring(Harm(predictions=PredictionHarm(bias=0.4)))
    scores = list(pairs(0.0, None))
    assert judged(harm, scores).assured
    amount = EvidenceBlock(120, 1, 1, {}, {}, {"main/paired/": 93.0})
    assert not judged(harm, [*scores, amount]).assured


def test_the_order_of_blocks_in_time_decides_and_not_the_order_in_which_they_are_given() -> None:
    config, blocks = assuring(Harm(errors=0.01)), list(errors(120, new=0.002))
    mixed = random.Random(1).sample(blocks, len(blocks))
    assert judged(config, blocks) == judged(config, mixed)


LABELLED = Harm(auc=0.05, recall=0.2)


def replay(loss: float) -> ReplayResult:
    chance = random.Random(2)
    truth = [float(place < 300) for place in range(3000)]
    common = [chance.gauss(0, 1) for _ in truth]
    old = [one + 1.5 * label for one, label in zip(common, truth, strict=True)]
    new = [one + (1.5 - loss) * label + chance.gauss(0, 0.3) for one, label in zip(common, truth, strict=True)]
    answers = ScoredRows(old, new, list(truth), [{} for _ in truth], labelled=True)
    return judge_replay(answers, ReplayConfig("rows", recall=True), 0.005)


def test_labelled_rows_rule_out_a_loss_of_order_and_of_recall_before_any_traffic() -> None:
    config = replace(assuring(LABELLED), replay=ReplayConfig("rows", recall=True))
    good = judged(config, [], {"main": replay(0.0)})
    assert good.assured and by_harm(good)["auc"].count == 300
    bad = by_harm(judged(config, [], {"main": replay(1.2)}))
    assert not bad["auc"].excluded and not bad["recall"].excluded


def test_each_output_of_a_model_must_be_shown_to_do_no_harm() -> None:
    sure = ReplayStatistic("auc", "", 0.8, 0.8, 0.0, 0.0, 0.02, Finding.PASS, error=0.001, output="class 0")
    config = replace(assuring(Harm(auc=0.05)), replay=ReplayConfig("rows"))
    for other, assured in ((sure, True), (replace(sure, worse=0.06), False), (replace(sure, worse=None), False)):
        found = ReplayResult(Finding.PASS, "", statistics=(sure, replace(other, output="class 1")))
        assert judged(config, [], {"main": found}).assured is assured


def test_labelled_rows_that_decide_nothing_rule_nothing_out() -> None:
    sure = ReplayStatistic("auc", "", 0.8, 0.8, 0.0, 0.0, 0.02, Finding.PASS, error=0.0)
    lacking = ReplayResult(Finding.NO_DATA, "too few", statistics=(sure,))
    earlier = ReplayResult(Finding.PASS, "", statistics=(replace(sure, error=None),))
    sliced = ReplayResult(Finding.PASS, "", statistics=(replace(sure, slice="DE"),))
    config = assuring(Harm(auc=0.05))
    for one in (lacking, earlier, sliced):
        assert not judged(config, [], {"main": one}).assured
    assert not judged(config, [], {}).assured
    assert judged(config, [], {"main": ReplayResult(Finding.PASS, "", statistics=(sure,))}).assured


def split(new: int, share: int | None = BEFORE, old: int = 75, seconds: int = 100) -> Iterator[EvidenceBlock]:
    for second in range(seconds):
        yield EvidenceBlock(second, 1, 1, {"main/errors/errors": (old, 0, new, 0)}, share=share)


def test_traffic_that_is_not_split_as_requested_is_told_with_both_shares() -> None:
    config = assuring(Harm(errors=0.01))
    assert judged(config, split(25)).mismatch == ""
    assert judged(config, split(27)).mismatch == "", "routers split traffic in whole steps of weights"
    many, few = judged(config, split(45)), judged(config, split(12))
    assert "25.00% of the requests of variant main should reach the new version, and 37.50% of" in many.mismatch
    assert "13.79%" in few.mismatch
    assert many.mismatch in many.reason


def test_blocks_in_which_the_share_changed_say_nothing_about_the_split() -> None:
    config = assuring(Harm(errors=0.01))
    assert judged(config, split(70, None)).mismatch == ""
    mended = [*split(45), *(replace(one, at=one.at + 100, stage=2) for one in split(25))]
    assert judged(config, mended).mismatch == "", "the next stage is split as requested"


def recorded(seconds: int) -> EvidenceRecord:
    config, blocks = assuring(Harm(errors=0.01, latency=0.5)), list(errors(seconds, new=0.001))
    verdict = judged(config, blocks)
    kept = {str(one.at): one for one in blocks}
    return EvidenceRecord("fraud", "r1", "v1", "v2", config, ("main",), verdict, seconds, kept, rules=RULES)


def test_an_assurance_is_recomputed_from_its_record_and_a_forged_one_is_refused(tmp_path: Path) -> None:
    record, file = recorded(150), tmp_path / "evidence.json"
    file.write_bytes(msgspec.json.encode(record))
    verify(file)
    forged = tuple(replace(one, excluded=True) for one in record.verdict.harms)
    file.write_bytes(msgspec.json.encode(replace(record, verdict=replace(record.verdict, harms=forged))))
    with pytest.raises(Conflict):
        verify(file)


def test_reports_and_the_console_have_a_row_for_each_harm() -> None:
    record = recorded(150)
    rows = {one["harm"]: one for one in harm_rows(record)}
    assert rows["errors"]["known"] == "shown to be less than 1%" and rows["errors"]["tone"] == "good"
    assert rows["latency p99"]["known"] == "no data yet" and rows["latency p99"]["tone"] == "warn"
    told = describe_timeline(record, None, trace_evidence(record))
    (table,) = [one for one in make_report(told).tables if one.title.startswith("Ruled out")]
    assert table.title == "Ruled out before 25% of the traffic"
    assert [row[0] for row in table.rows] == ["errors", "latency p50", "latency p99"]
    assert table.rows[0][2] == "shown to be less than 1%"
    waiting = {one["harm"]: one["known"] for one in harm_rows(recorded(60))}
    assert waiting["errors"].startswith("not yet: needs about ") and waiting["errors"].endswith((" s", " min"))
    assert harm_rows(replace(record, config=replace(record.config, assure=None))) == []
