"""The sentences of findings: each names numbers that are in the record."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.rollout.test_rollout_comparison import CONFIG as RULED
from tests.unit.rollout.test_rollout_comparison import baking
from tests.unit.rollout.test_rollout_evidence import look, rollout_of
from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    Counts,
    DifferingRow,
    EvidenceBlock,
    EvidenceConfig,
    Explanation,
    Finding,
    Sums,
    Verdict,
    Wait,
)
from tidegate.domain.observation import GuardCheck
from tidegate.domain.pairs import Pair
from tidegate.features.evidence.differing_rows import choose_rows, find_row, show_rows
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.features.evidence.ledger import EvidenceLedger
from tidegate.features.evidence.pairs import DOWN, UP
from tidegate.features.evidence.sentences import describe_failure
from tidegate.rollout import evidence_rule
from tidegate.rollout.step import step

CONFIG = EvidenceConfig()
COUNTS: Counts = (600, 302, 200, 190)
SUMS: Sums = (300, 240.0, 210.0)


def failed(comparison: Comparison, test: str, unit: float | None = None, also: tuple[str, ...] = ()) -> str:
    pairs = SUMS if comparison in (Comparison.PAIRED, Comparison.FEATURES) else (0, 0.0, 0.0)
    result = ComparisonResult(
        comparison, "main", Finding.FAIL, 1.2, test, COUNTS, pairs=pairs, unit=unit, also=also
    )
    return describe_failure([result], CONFIG)


@pytest.mark.parametrize(
    ("comparison", "test", "hits"),
    [
        (Comparison.ERRORS, "errors", "requests failed"),
        (Comparison.LATENCY, "p99", "requests exceeded the old version's p99 by more than 30%"),
        (Comparison.PREDICTIONS, "above p50", "predictions lie above the old version's median"),
        (Comparison.PREDICTIONS, "below p5", "predictions lie below the old version's p5"),
        (Comparison.PREDICTIONS, "unusable", "answers have no finite number"),
        (Comparison.TEXT, "refusals", "answers refuse"),
        (Comparison.TEXT, "repetitions", "answers repeat themselves"),
        (Comparison.TEXT, "empty", "answers are empty"),
        (Comparison.TEXT, "longer p90", "answers are longer than the old version's p90"),
        (
            Comparison.TEXT,
            "first token p95",
            "answers have their first text later than the old version's p95",
        ),
        (
            Comparison.TEXT,
            "speed p50",
            "answers are written slower than the old version's median by more than 30%",
        ),
    ],
)
def test_a_difference_of_shares_names_the_part_of_both_versions(
    comparison: Comparison, test: str, hits: str
) -> None:
    said = failed(comparison, test)
    assert said.startswith(f"{comparison} of variant main: 95.00% of the new version's 200 {hits}")
    assert "(50.33% expected from the old version's 600" in said


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("distance", "predictions differ by 2.4 in log-odds on average, over 300 requests"),
        ("moved", "differ by more than one unit in 80.0% of 300 requests"),
        (
            "bias" + UP,
            "are 1.8 in log-odds higher on average, over 300 requests (bias up, tolerance 0.4 in log-odds)",
        ),
        ("bias" + DOWN, "are 1.8 in log-odds lower on average"),
        ("top", "80.0% of the old version's highest 5% (300 requests) are not among the new version's"),
        ("top bias" + UP, "of the old version's highest 5% (300 requests), the new version's predictions are 1.8"),
        ("order", "put 80.0% of 300 pairs of requests in opposite orders (order, tolerance 40%)"),
        ("slice country=DE" + UP, "of 300 requests with country=DE, the new version's predictions are 1.8"),
        ("output 2 bias" + UP, "predictions of output 2 are 1.8"),
        ("last row distance", "predictions of last row differ by 2.4"),
        ("failing", "180 of 300 copied requests failed on the new version only, 0 on the old one only"),
        ("unusable slice country=DE", "requests with country=DE were answered without a finite number on the new"),
    ],
)
def test_a_difference_of_pairs_names_its_size_and_how_many(test: str, says: str) -> None:
    said = failed(Comparison.PAIRED, test, also=("moved",))
    assert says in said and said.endswith("), also moved")


def test_amounts_are_named_in_the_predictions_own_unit() -> None:
    assert "168 (1.8 units) higher on average" in failed(Comparison.PAIRED, "bias" + UP, 93.2)
    spread = failed(Comparison.PAIRED, "spread" + DOWN, 93.2)
    assert "lie 168 (1.8 units) nearer to the old version's median" in spread


def test_a_column_is_named() -> None:
    said = failed(Comparison.FEATURES, "prepare[3]")
    assert "column prepare[3] has another value in 80.0% of 300 requests (tolerance 1.0%)" in said


def test_the_failure_with_most_evidence_comes_first() -> None:
    one = ComparisonResult(Comparison.ERRORS, "main", Finding.FAIL, 1.1, "errors", COUNTS)
    two = replace(one, comparison=Comparison.LATENCY, test="p50", evidence=3.0)
    assert describe_failure([one, two], CONFIG).startswith("latency of variant main: ")


# --- what a hold waits for ---


def lacking(requests: int, seconds: int) -> Verdict:
    state = begin(EvidenceConfig(compare=(Comparison.ERRORS,)), ("main",))
    blocks = [EvidenceBlock(at, 1, 0, {"main/errors/errors": (90, 0, requests, 0)}) for at in range(seconds)]
    for one in blocks:
        state = fold(state, one)
    return judge(state)


def test_a_hold_says_how_many_requests_it_needs_and_how_long_they_take() -> None:
    verdict = lacking(requests=2, seconds=10)
    assert verdict.waits == (
        Wait("errors of variant main", "80 more requests of the new version (20 of 100 so far)", 80, 40),
    )
    assert "errors of variant main: needs 80 more requests of the new version" in verdict.reason
    assert verdict.reason.endswith("about 40 s at the present rate")


def test_without_any_request_nothing_is_said_of_the_time() -> None:
    (wait,) = lacking(requests=0, seconds=10).waits
    assert (wait.requests, wait.seconds) == (100, None)


@pytest.mark.parametrize("seconds", [30, 5_000, None])
def test_a_hold_says_whether_it_can_be_known_before_the_deadline(seconds: int | None) -> None:
    endpoint, began = baking()
    end = rollout_of(endpoint).bake_until
    assert end is not None
    wait = Wait("errors of variant main", "80 more requests", 80, seconds)
    verdict = Verdict(Finding.NO_DATA, 0, "too little is known", waits=(wait,))
    now = end + timedelta(seconds=1)
    seen = look(endpoint, GuardCheck(now, began, now, verdict))
    held = step(endpoint, seen, now)
    said = held.events[-1].message
    known = evidence_rule.find_known_at(rollout_of(endpoint), seen)
    if seconds is None:
        assert known is None and said.endswith("too little is known")
        return
    at = now.astimezone(UTC) + timedelta(seconds=seconds)
    assert known == at
    in_time = seconds < RULED.deadline
    assert ("it is likely to be known at" in said, "it cannot be known in time" in said) == (in_time, not in_time)
    assert f"{at:%H:%M:%S} UTC" in said
    condition = next(one for one in rollout_of(held.endpoint).conditions if one.status)
    assert said.endswith(evidence_rule.explain_hold(rollout_of(held.endpoint), seen))
    assert evidence_rule.explain_condition(condition, rollout_of(held.endpoint), seen) == said


# --- the rows on which versions differ most ---


def test_the_rows_that_differ_most_are_kept_with_the_blocks_and_follow_from_them() -> None:
    config = EvidenceConfig(compare=(Comparison.PAIRED,))
    ledger = EvidenceLedger(config, ("main",), 0)
    for at in range(8):
        ledger.add_pairs(at, "main", [Pair(0.5, 0.5 + at / 20, at + 1, request=f"row {at}")])
        ledger.advance(at + 1)
    assert [one.request for one in ledger.verdict.rows] == ["row 7", "row 6", "row 5"]
    again = EvidenceLedger(config, ("main",), 0)
    again.resume(ledger.blocks.values())
    assert again.verdict.rows == ledger.verdict.rows


def test_of_a_request_the_numbers_that_differ_most_are_shown_once() -> None:
    wide = Pair(0.1, 0.2, 7, rows=(((0, 0.1, 0.2), (3, 5.0, 1.0)),))
    row = find_row("main", wide)
    assert row == DifferingRow("main", 5.0, 1.0, 7, 3)
    assert choose_rows([row, row] if row else []) == (row,)
    assert find_row("main", Pair(0.1, 0.1, 8)) is None
    assert find_row("main", Pair(0.1, None, 9, lost=True)) is None


def test_of_a_version_that_fails_requests_those_are_shown_and_else_those_that_differ() -> None:
    rows = (DifferingRow("main", 0.1, 0.9, 1), DifferingRow("main", 0.2, None, 2))
    result = ComparisonResult(Comparison.PAIRED, "main", Finding.FAIL, 1.0, "failing", pairs=SUMS)
    assert show_rows(rows, [result])[0].new is None
    assert show_rows(rows, [replace(result, test="bias up")])[0].new == 0.9
    assert show_rows(rows, [replace(result, variant="other")]) == ()


def test_a_rollback_keeps_the_rows_and_the_command_in_the_record_and_in_the_journal() -> None:
    endpoint, began = baking()
    result = ComparisonResult(Comparison.PAIRED, "main", Finding.FAIL, 1.0, "bias up", pairs=SUMS)
    row = DifferingRow("main", 0.031, 0.912, 1, slices=(("country", "DE"),), request='{"amount": 12}')
    verdict = Verdict(Finding.FAIL, 0, "they differ", (result,), rows=(row,))
    now: datetime = began + timedelta(seconds=1)
    turned = step(endpoint, look(endpoint, GuardCheck(now, began, now, verdict)), now)
    assert turned.endpoint is not None
    found = rollout_of(turned.endpoint).explanation
    verify = "--json > evidence.json && tidegate rollout evidence verify evidence.json"
    assert found == Explanation((row,), f"tidegate rollout evidence show {endpoint.name} {verify}")
    assert found.lines[0] == ("differs", '0.031 -> 0.912 (country=DE) for {"amount": 12}')
    (told,) = [event.data["explanation"] for event in turned.events if "explanation" in event.data]
    assert told == [f"{name}: {said}" for name, said in found.lines]
