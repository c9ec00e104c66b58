"""A judge that is corrected by labels of people: who decides when, what that does, and that it can be recomputed."""

from dataclasses import replace
from random import Random

import pytest

from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    EvidenceAction,
    EvidenceConfig,
    Finding,
    Judging,
    Preference,
    action_on,
)
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.judging import count_verdict
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.statistics.preferences import ENOUGH, GROUP

JUDGING = Judging("http://judge", "m", asks=800, labels=200)
CONFIG = EvidenceConfig((Comparison.JUDGE,), judging=JUDGING)
OLD, NEW, NEITHER = 1.0, 0.0, 0.5


def label(number: int, preferred: float, chance: Random) -> Preference:
    """A label by a judge that prefers the old version's answers, the longer ones, nine times of ten."""
    judged = tuple(float(chance.random() < 0.9) for _ in range(GROUP))
    return Preference(f"{number:x}", "main", judged, chance.randrange(GROUP), preferred)


def judged_ledger(labels: list[Preference], seconds: int = 150) -> EvidenceLedger:
    """A rollout whose judge prefers the old version in nine of ten pairs, with these labels at its end."""
    found = EvidenceLedger(CONFIG, ("main",), 0)
    for second in range(seconds):
        found.add(second, Side.OLD, "main", SideCounts(requests=10))
        for number in range(2):
            found.add_judged(second, "main", count_verdict("B" if (2 * second + number) % 10 else "A", True))
        if second == seconds - 2:
            found.add_preferences(second, labels)
        found.advance(second + 1)
    return found


def result_of(found: EvidenceLedger) -> ComparisonResult:
    verdict = found.verdict
    assert recompute(CONFIG, ("main",), found.blocks.values(), 0, through=found.through) == verdict
    return verdict.results[0]


def indifferent(count: int) -> list[Preference]:
    chance = Random(2)
    return [label(number, OLD if number % 2 else NEW, chance) for number in range(count)]


@pytest.mark.parametrize("labels", [0, 1, ENOUGH - 1])
def test_a_judge_holds_the_stage_before_there_are_enough_labels(labels: int) -> None:
    found = judged_ledger(indifferent(labels))
    result = result_of(found)
    assert (result.finding, result.by_people, result.labels) == (Finding.FAIL, False, (labels, ENOUGH))
    assert action_on(CONFIG, found.verdict) is EvidenceAction.GATE
    assert f"{labels} pairs have a person's label, and people decide from {ENOUGH} on" in found.verdict.reason


def test_a_judge_that_likes_length_holds_nothing_once_enough_people_are_indifferent() -> None:
    found = judged_ledger(indifferent(ENOUGH))
    result = result_of(found)
    assert (result.finding, result.by_people, result.rising) == (Finding.UNDECIDED, True, False)
    assert not found.verdict.rising
    assert "people and not the judge decide" in found.verdict.reason
    by_people = result.measurements[-1]
    assert abs(by_people.estimate) < 0.25
    assert by_people.low < 0 < by_people.high


def test_what_people_prefer_rolls_back() -> None:
    chance = Random(3)
    found = judged_ledger([label(number, OLD if number % 8 else NEW, chance) for number in range(48)])
    result = result_of(found)
    assert (result.finding, result.by_people) == (Finding.FAIL, True)
    assert action_on(CONFIG, found.verdict) is EvidenceAction.ROLLBACK
    assert action_on(replace(CONFIG, action=EvidenceAction.GATE), found.verdict) is EvidenceAction.GATE
    assert "of 48 labelled pairs of answers people prefer 42 of the old version and 6 of the new" in (
        found.verdict.reason
    )


def test_people_who_prefer_the_new_version_let_it_pass_against_the_judge() -> None:
    chance = Random(4)
    result = result_of(judged_ledger([label(number, NEW, chance) for number in range(ENOUGH)]))
    assert (result.finding, result.by_people) == (Finding.PASS, True)


def test_the_shown_preference_is_not_larger_than_that_of_all_pairs() -> None:
    against = [Preference(f"{number:x}", "main", (NEW, OLD, OLD, OLD), 0, OLD) for number in range(20)]
    by_people = result_of(judged_ledger(against)).measurements[-1]
    assert by_people.estimate == by_people.high == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "other"},
        {"preferred": 0.7},
        {"chosen": GROUP},
        {"chosen": -1},
        {"judged": ()},
        {"judged": (0.0, 0.0, 0.0, 9.0)},
    ],
)
def test_labels_that_make_no_sense_are_no_evidence(change: dict[str, object]) -> None:
    labels = [replace(one, **change) for one in indifferent(ENOUGH)]  # type: ignore[arg-type]
    assert result_of(judged_ledger(labels)).labels == (0, ENOUGH)


def test_without_labels_in_its_settings_a_judge_is_the_same_as_before() -> None:
    plain = replace(CONFIG, judging=replace(JUDGING, labels=0))
    found = EvidenceLedger(plain, ("main",), 0)
    found.add_judged(0, "main", count_verdict("B", True))
    found.add_preferences(0, indifferent(ENOUGH))
    found.advance(2)
    assert found.verdict.results[0].labels == (0, 0)
    assert "label" not in found.verdict.reason
