"""Texts of two versions: what fails, what passes, and what is no data."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tidegate.domain.evidence import Comparison, ComparisonResult, EvidenceAction, EvidenceConfig, Finding
from tidegate.domain.text_answers import TextAnswer
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.ledger import EvidenceLedger, Side

CONFIG = EvidenceConfig(compare=(Comparison.TEXT,), minimum=30)
OLD, NEW = 9, 4
"""Texts of a second."""
Write = Callable[[random.Random, TextAnswer], TextAnswer]


def usual(chance: random.Random, second: int) -> TextAnswer:
    tokens = round(chance.lognormvariate(5, 0.6))
    return TextAnswer(
        began=second * 1_000_000 + chance.randrange(1_000_000),
        tokens=tokens,
        given=round(tokens * 1.3),
        first=chance.lognormvariate(12, 0.3),
        speed=chance.lognormvariate(4, 0.2),
        refusal=chance.random() < 0.03,
        repeated=chance.random() < 0.01,
        empty=False,
        phrases=1,
    )


def now_and_then(often: float, **changes: Any) -> Write:
    return lambda chance, one: replace(one, **changes) if chance.random() < often else one


def scaled(**factors: float) -> Write:
    return lambda _, one: replace(
        one, **{name: round(getattr(one, name) * factor) for name, factor in factors.items()}
    )


def same(_: random.Random, one: TextAnswer) -> TextAnswer:
    return one


def rollout(
    write: Write, seconds: int = 90, old: Write = same, config: EvidenceConfig = CONFIG, settled: int | None = 0
) -> EvidenceLedger:
    """Until it fails, or the time is over."""
    chance, ledger = random.Random(11), EvidenceLedger(config, ("main",), 0)
    if settled is not None:
        ledger.settle(0, settled)
    for second in range(seconds):
        ledger.add_texts(second, Side.OLD, "main", [old(chance, usual(chance, second)) for _ in range(OLD)])
        if second >= 10:
            ledger.add_texts(second, Side.NEW, "main", [write(chance, usual(chance, second)) for _ in range(NEW)])
        ledger.advance(second + 1)
        if ledger.verdict.finding is Finding.FAIL:
            break
    return ledger


def only(ledger: EvidenceLedger) -> ComparisonResult:
    (found,) = ledger.verdict.results
    return found


def test_an_equal_version_passes() -> None:
    ledger = rollout(same)
    assert ledger.verdict.finding is Finding.UNDECIDED
    assert only(ledger).evidence < 0.5


@pytest.mark.parametrize(
    ("write", "test", "says"),
    [
        (now_and_then(0.4, refusal=True), "refusals", "answers refuse ("),
        (now_and_then(0.3, repeated=True), "repetitions", "answers repeat themselves ("),
        (now_and_then(0.3, empty=True), "empty", "answers are empty (0.00% expected"),
        (scaled(tokens=4, given=4), "longer", "answers are longer than the old version's p"),
        (scaled(tokens=0.2, given=0.2), "shorter", "answers are shorter than the old version's p"),
        (scaled(first=3), "first token", "answers have their first text later than the old version's p"),
        (scaled(speed=0.4), "speed", "answers are written slower than the old version's median"),
    ],
    ids=["refuses", "repeats", "empty", "longer", "shorter", "later", "slower"],
)
def test_a_difference_fails_and_is_named(write: Write, test: str, says: str) -> None:
    ledger = rollout(write, 300)
    found = only(ledger)
    assert (ledger.verdict.finding, found.test.rpartition(" p")[0] or found.test) == (Finding.FAIL, test)
    assert says in ledger.verdict.reason
    assert recompute(CONFIG, ("main",), ledger.blocks.values(), 0) == ledger.verdict


@pytest.mark.parametrize(
    "write",
    [
        now_and_then(0.01, refusal=True),
        now_and_then(0.01, repeated=True),
        scaled(tokens=1.1, given=1.1),
        scaled(first=1.2),
        scaled(speed=0.85),
        now_and_then(0.5, speed=None),
        scaled(first=0.1, speed=5),
    ],
)
def test_a_difference_within_its_tolerance_passes(write: Write) -> None:
    assert rollout(write).verdict.finding is Finding.UNDECIDED


def test_without_texts_there_is_no_data_whatever_else_was_answered() -> None:
    chance, ledger = random.Random(1), EvidenceLedger(CONFIG, ("main",), 0)
    ledger.settle(0, 0)
    for second in range(90):
        ledger.add_texts(second, Side.OLD, "main", [usual(chance, second) for _ in range(OLD)])
        ledger.advance(second + 1)
    assert ledger.verdict.finding is Finding.NO_DATA
    assert "needs 30 more texts of the new version" in ledger.verdict.reason


def test_a_test_without_data_is_not_the_one_that_is_named() -> None:
    def short(_: random.Random, one: TextAnswer) -> TextAnswer:
        return replace(one, speed=None, phrases=2)

    found = only(rollout(short, old=now_and_then(1, speed=None)))
    assert found.counts[2] > 0, "alarms have no value otherwise"


def test_too_few_texts_are_no_data() -> None:
    assert rollout(same, 16).verdict.finding is Finding.NO_DATA


def test_versions_with_other_lists_of_refusals_are_no_pass_and_no_failure() -> None:
    def other(_: random.Random, one: TextAnswer) -> TextAnswer:
        return replace(one, phrases=2, refusal=True)

    ledger = rollout(other)
    assert ledger.verdict.finding is Finding.NO_DATA
    assert only(ledger).evidence < 0.5
    assert (
        "30 more texts of the new version that are searched for the same refusals (0 of 30 so far)"
        in ledger.verdict.reason
    )


def test_a_version_that_says_its_lengths_is_compared_with_one_that_does_not_by_what_was_counted() -> None:
    ledger = rollout(now_and_then(1, given=None))
    assert ledger.verdict.finding is Finding.UNDECIDED
    stated = rollout(scaled(given=5), 300)
    assert only(stated).test.startswith("longer"), "where both say them, those count"


def test_only_texts_count_whose_requests_came_while_the_shares_stood_still() -> None:
    """A version that has just begun has answered only what it answers quickly."""

    def early(chance: random.Random, one: TextAnswer) -> TextAnswer:
        return replace(one, began=-1, refusal=True)

    found = only(rollout(early))
    assert (found.stage_requests[1], found.evidence) == (0, 0)
    assert only(rollout(same, settled=None)).counts == (0, 0, 0, 0)
    late = rollout(same, 60, settled=50)
    assert late.blocks and min(block.at for block in late.blocks.values()) >= 50


def test_a_stage_that_follows_settles_anew() -> None:
    chance, ledger = random.Random(2), EvidenceLedger(CONFIG, ("main",), 0)
    ledger.settle(0, 0)
    ledger.enter(1, 20)
    for second in range(40):
        for side in Side:
            ledger.add_texts(second, side, "main", [usual(chance, second)])
        ledger.advance(second + 1)
    assert {block.stage for block in ledger.blocks.values()} == {0}
    ledger.settle(1, 40)
    for side in Side:
        ledger.add_texts(40, side, "main", [usual(chance, 40), usual(chance, 39)])
    ledger.advance(41)
    last = ledger.blocks["40"]
    assert (last.stage, last.counts["main/text/refusals"][::2]) == (1, (1, 1))


def test_late_texts_and_those_of_other_variants_count_as_nothing() -> None:
    chance, ledger = random.Random(2), EvidenceLedger(CONFIG, ("main",), 10)
    ledger.settle(0, 0)
    ledger.add_texts(5, Side.NEW, "main", [usual(chance, 5)])
    ledger.add_texts(12, Side.NEW, "other", [usual(chance, 12)])
    ledger.advance(20)
    assert ledger.blocks == {}


def test_a_worker_that_names_new_phrases_with_each_answer_fills_no_memory() -> None:
    numbers = iter(range(10_000))
    ledger = rollout(same, 60, old=lambda _, one: replace(one, phrases=next(numbers)))
    assert ledger._past["main"].texts.answers > 100
    assert len(ledger._past["main"].texts.refusals) == 0


@pytest.mark.parametrize(
    ("action", "written", "finding"),
    [
        (EvidenceAction.REPORT, False, Finding.UNDECIDED),
        (EvidenceAction.REPORT, True, Finding.NO_DATA),
        (EvidenceAction.ROLLBACK, False, Finding.NO_DATA),
    ],
)
def test_a_report_that_nobody_asked_for_needs_no_texts_of_a_model_that_writes_none(
    action: EvidenceAction, written: bool, finding: Finding
) -> None:
    config = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.TEXT), action=action)
    ledger = EvidenceLedger(config, ("main",), 0)
    ledger.settle(0, 0)
    for second in range(40):
        for each in Side:
            ledger.add(second, each, "main", SideCounts(20, 0))
        if written:
            ledger.add_texts(second, Side.OLD, "main", [usual(random.Random(second), second)])
    ledger.advance(40)
    assert ledger.verdict.finding is finding
