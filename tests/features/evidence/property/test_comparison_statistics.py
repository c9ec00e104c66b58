"""What must hold of the comparison of two versions, whatever their scores are."""

import math
import random
from collections.abc import Sequence
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.evidence.replay.labelled import compare_labelled, error_of_auc_change
from tidegate.features.evidence.replay.paired import (
    choose_step,
    compare_pairs,
    rank_correlation,
    ranks,
    top_change,
)
from tidegate.features.evidence.replay.report import ComparisonTerms, ComparisonVerdict, compare_versions
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.replay.tolerances import DEFAULTS, Tolerance

SCORE = st.integers(0, 40).map(lambda number: number / 40)
"""Few values, so that many rows are equal."""
ANY = st.floats(-1e100, 1e100)
PAIRS = st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=60)
LABELLED = st.lists(st.tuples(SCORE, SCORE, st.sampled_from((0.0, 1.0))), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, _, label in rows}) == 2
)


def columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [one for one, _ in pairs], [two for _, two in pairs]


@given(st.lists(ANY, min_size=1, max_size=60))
def test_a_version_does_not_differ_from_itself(scores: list[float]) -> None:
    found = compare_pairs(scores, scores, choose_step(scores, scores))
    assert (found.bias, found.change, found.largest, found.moved, found.top_change) == (0, 0, 0, 0, 0)
    assert found.rank_correlation == 1


@given(PAIRS)
def test_exchanging_the_versions_changes_signs_alone(pairs: list[tuple[float, float]]) -> None:
    old, new = columns(pairs)
    there, back = compare_pairs(old, new, choose_step(old, new)), compare_pairs(new, old, choose_step(new, old))
    assert there.bias == pytest.approx(-back.bias) and there.bias_low == pytest.approx(-back.bias_high)
    assert (there.change, there.largest, there.moved) == (back.change, back.largest, back.moved)
    assert there.top_change == pytest.approx(back.top_change)
    assert there.rank_correlation == pytest.approx(back.rank_correlation)
    assert there.bias_low <= there.bias <= there.bias_high


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(pairs: list[tuple[float, float]], chance: random.Random) -> None:
    other = list(pairs)
    chance.shuffle(other)
    one, two = (compare_pairs(*columns(each), choose_step(*columns(each))) for each in (pairs, other))
    assert one.rank_correlation == pytest.approx(two.rank_correlation)
    assert (one.bias, one.change, one.moved, one.largest) == (two.bias, two.change, two.moved, two.largest)
    assert one.top_change == pytest.approx(two.top_change)


@given(PAIRS, st.integers(1, 5), st.integers(-3, 3))
def test_ranks_do_not_see_a_change_of_scale(pairs: list[tuple[float, float]], factor: int, shift: int) -> None:
    old, new = columns(pairs)
    scaled = [score * factor + shift for score in new]
    if old != new and old != scaled:  # equal scores are 1 even where they are constant
        assert rank_correlation(old, scaled) == pytest.approx(rank_correlation(old, new))
    top = max(1, len(old) // 20)
    assert top_change(new, scaled, top) == pytest.approx(0, abs=1e-9)


@given(st.lists(ANY, min_size=2, max_size=60, unique=True))
def test_a_reversed_order_is_the_opposite(scores: list[float]) -> None:
    assert rank_correlation(scores, [-score for score in scores]) == pytest.approx(-1)


@given(st.lists(SCORE, min_size=1, max_size=60))
def test_ranks_share_out_the_places(scores: list[float]) -> None:
    found = ranks(scores)
    assert sum(found) == pytest.approx(len(scores) * (len(scores) + 1) / 2)
    for place, score in enumerate(scores):
        below, equal = sum(each < score for each in scores), scores.count(score)
        assert found[place] == below + (equal + 1) / 2


@given(PAIRS, st.integers(1, 20))
def test_the_change_of_the_top_is_a_share(pairs: list[tuple[float, float]], top: int) -> None:
    assert 0 <= top_change(*columns(pairs), min(top, len(pairs))) <= 1 + 1e-9


@given(LABELLED)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[float, float, float]]) -> None:
    old, new, labels = ([row[place] for row in rows] for place in range(3))
    found = compare_labelled(old, new, labels)
    assert found is not None and found.binary is not None and found.auc_change is not None
    for measured, scores in zip(found.binary, (old, new), strict=True):
        assert measured.auc == pytest.approx(fmean(placements(scores, labels)[0]))
    assert found.auc_change_low is not None and found.auc_change_high is not None
    assert found.auc_change_low <= found.auc_change <= found.auc_change_high


def placements(scores: Sequence[float], labels: Sequence[float]) -> tuple[list[float], list[float]]:
    """DeLong's structural components, by all pairs."""
    ones = [score for score, label in zip(scores, labels, strict=True) if label == 1]
    zeros = [score for score, label in zip(scores, labels, strict=True) if label == 0]

    def order(one: float, zero: float) -> float:
        return 1.0 if one > zero else 0.5 if one == zero else 0.0

    return (
        [fmean(order(one, zero) for zero in zeros) for one in ones],
        [fmean(order(one, zero) for one in ones) for zero in zeros],
    )


@given(LABELLED)
def test_the_error_of_a_change_of_auc_is_that_of_all_pairs(rows: list[tuple[float, float, float]]) -> None:
    old, new, labels = ([row[place] for row in rows] for place in range(3))
    variance = 0.0
    for one, two in zip(placements(old, labels), placements(new, labels), strict=True):
        differences = [b - a for a, b in zip(one, two, strict=True)]
        variance += stdev(differences) ** 2 / len(differences) if len(differences) > 1 else 0
    assert error_of_auc_change(old, new, labels) == pytest.approx(math.sqrt(variance), abs=1e-9)
    assert error_of_auc_change(old, old, labels) == 0


@given(st.lists(st.tuples(SCORE, SCORE), max_size=40), st.floats(0, 2), st.floats(1, 3))
def test_a_wider_tolerance_never_turns_a_pass_into_harm(
    pairs: list[tuple[float, float]], limit: float, wider: float
) -> None:
    old, new = columns(pairs)
    answers = ScoredRows(old, new, [None] * len(old), [{}] * len(old))
    names = ("mean", "rank", "moved", "top")

    def verdict(limit: float) -> ComparisonVerdict:
        terms = {name: Tolerance(limit, DEFAULTS.get(name, Tolerance(0)).relative) for name in names}
        return compare_versions(answers, ComparisonTerms(terms, fewest_rows=2)).verdict

    narrow, wide = verdict(limit), verdict(limit * wider)
    assert not (narrow is ComparisonVerdict.PASS and wide is not ComparisonVerdict.PASS)
    assert not (narrow is ComparisonVerdict.UNKNOWN and wide is not ComparisonVerdict.UNKNOWN)


@given(st.lists(st.tuples(ANY, ANY), max_size=40), st.integers(1, 60))
def test_too_few_rows_are_never_a_pass(pairs: list[tuple[float, float]], fewest: int) -> None:
    old, new = columns(pairs)
    answers = ScoredRows(old, new, [None] * len(old), [{}] * len(old))
    found = compare_versions(answers, ComparisonTerms(DEFAULTS, fewest_rows=fewest))
    if len(pairs) < fewest:
        assert found.verdict is ComparisonVerdict.UNKNOWN and found.reasons
    assert (found.verdict is ComparisonVerdict.PASS) == (not found.reasons)
