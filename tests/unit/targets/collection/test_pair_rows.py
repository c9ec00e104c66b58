"""Pairs on a worker's page, as anybody may have written them."""

import pytest

from tidegate.domain.pairs import FeatureRow, Pair
from tidegate.domain.worker_stats import MOST_PAIRS
from tidegate.targets.collection.pair_rows import read_pairs

STAGE = {"stage": "a", "names": ["0", "1"], "old": [1, "x"], "new_names": ["0", "1"], "new": [2.5, None]}
ROW = {
    "with": "e/2/main",
    "old": 0.5,
    "new": 0.25,
    "failed": False,
    "traced": True,
    "key": 7,
    "slices": [["country", "IN"]],
    "stages": [STAGE],
}


def test_a_pair_is_read_whole() -> None:
    features = FeatureRow("a", ("0", "1"), (1.0, "x"), ("0", "1"), (2.5, None))
    pair = Pair(0.5, 0.25, 7, (("country", "IN"),), traced=True, features=(features,))
    assert read_pairs([ROW]) == ((("e/2/main", pair),), 0)


def test_a_pair_says_what_failed_and_what_was_lost() -> None:
    ((_, pair),), _ = read_pairs([{**ROW, "old": None, "old_failed": True, "lost": True}])
    assert (pair.old, pair.old_failed, pair.lost) == (None, True, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"with": 3},
        {"with": "x" * 5_000},
        {"old": "much"},
        {"failed": 1},
        {"old_failed": "yes"},
        {"lost": 1},
        {"key": "a"},
        {"slices": [["country"]]},
        {"stages": [{**STAGE, "old": [1.0]}]},
        {"stages": [{**STAGE, "new": [1.0, {}]}]},
        {"stages": [{**STAGE, "names": ["0"] * 300, "old": [0.0] * 300}]},
        {"stages": [{**STAGE, "stage": "x" * 300}]},
    ],
)
def test_a_row_that_is_no_pair_is_left_out_and_counted(wrong: dict[str, object]) -> None:
    assert read_pairs([{**ROW, **wrong}])[1] == 1
    assert len(read_pairs([{**ROW, **wrong}, ROW])[0]) == 1


def test_what_are_no_rows_and_too_many_rows_are_bounded() -> None:
    assert read_pairs("pairs") == ((), 1)
    assert read_pairs([3])[1] == 1
    usable, left = read_pairs([ROW] * (MOST_PAIRS + 5))
    assert (len(usable), left) == (MOST_PAIRS, 5)


def test_a_prediction_out_of_range_is_none() -> None:
    ((_, pair),), _ = read_pairs([{**ROW, "new": 1e300}])
    assert pair.new is None


def test_each_row_has_its_slices_and_there_are_not_many() -> None:
    given = {**ROW, "row_slices": [[["country", "IN"]], [["country", "US"]]] * 9}
    ((_, pair),), _ = read_pairs([given])
    assert pair.row_slices == ((("country", "IN"),), (("country", "US"),)) * 4
