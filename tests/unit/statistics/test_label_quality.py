"""Late labels of two versions: equal ones are told apart in one of a hundred at most, worse ones soon."""

import random
from collections.abc import Callable, Iterable, Iterator
from weakref import WeakSet

import pytest

from tidegate.statistics import label_quality
from tidegate.statistics.label_quality import (
    AUC_TOLERANCE,
    LabelComparison,
    TimedLabel,
    compare_amounts,
    compare_classes,
)


def classes(chance: random.Random, count: int, old: float, new: float, positive: float = 0.2) -> list[TimedLabel]:
    """Scores of positives are shifted by so much."""
    found = []
    for number in range(count):
        is_new, value = chance.random() < 0.5, float(chance.random() < positive)
        score = chance.gauss((new if is_new else old) * value, 1)
        found.append(TimedLabel(is_new, str(number), score, value))
    return found


def test_equal_versions_are_rarely_told_apart_however_often_one_looks() -> None:
    chance = random.Random(5)
    fails = sum(compare_classes(classes(chance, 1_500, 1.2, 1.2)).evidence >= 1 for _ in range(200))
    assert fails <= 5
    slightly = sum(compare_classes(classes(chance, 1_500, 1.2, 1.15)).evidence >= 1 for _ in range(100))
    assert slightly <= 4, f"a loss below {AUC_TOLERANCE} is tolerated"


def test_a_version_that_lost_much_is_found() -> None:
    chance = random.Random(6)
    found = [compare_classes(classes(chance, 3_000, 1.6, 0.0)) for _ in range(20)]
    assert sum(one.evidence >= 1 for one in found) >= 19
    order = found[0].tests[0]
    assert order.name == "auc" and order.old[1] < 0.2 < 0.4 < order.new[1]


def test_a_constant_score_is_wrong_in_half_of_the_pairs() -> None:
    chance = random.Random(7)
    labels = [
        TimedLabel(one.new, one.id, 0.5 if one.new else one.score, one.value)
        for one in classes(chance, 4_000, 1.6, 1.6)
    ]
    assert 0.4 < compare_classes(labels).tests[0].new[1] < 0.6


def test_rare_labels_of_one_version_wait_for_the_other() -> None:
    chance = random.Random(8)
    labels = [
        TimedLabel(number % 10 == 0, str(number), chance.random(), float(number % 3 == 0))
        for number in range(2_000)
    ]
    order = compare_classes(labels).tests[0]
    assert order.old[0] > 500 and order.new[0] > 50, "no pair was dropped for coming alone"


@pytest.mark.parametrize(("worse", "fails"), [(1.0, False), (1.05, False), (1.54, True), (2.5, True)])
def test_amounts_are_compared_by_their_mean_error(worse: float, fails: bool) -> None:
    chance = random.Random(9)
    labels = [
        TimedLabel(number % 2 == 0, str(number), chance.gauss(0, worse if number % 2 == 0 else 1), 0)
        for number in range(3_000)
    ]
    found = compare_amounts(labels)
    assert (found.evidence >= 1) is fails
    [test] = found.tests
    assert (test.name, test.slice, test.old[0], test.new[0]) == ("error", "", 1_500, 1_500)
    assert test.new[1] / test.old[1] == pytest.approx(worse, rel=0.1)


def test_nothing_to_compare_is_no_evidence() -> None:
    assert compare_classes([]).evidence == compare_amounts([]).evidence == 0
    [order, *_] = compare_classes([TimedLabel(True, "a", 0.5, 1.0)]).tests
    assert order.old[0] == order.new[0] == 0


@pytest.mark.parametrize("compare", [compare_classes, compare_amounts])
def test_few_labels_are_in_memory_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch, compare: Callable[[Iterable[TimedLabel]], LabelComparison]
) -> None:
    monkeypatch.setattr(label_quality, "MOST_WAITING", 100, raising=False)
    alive, most = WeakSet[TimedLabel](), 0

    def labels() -> Iterator[TimedLabel]:
        nonlocal most
        for number in range(5_000):
            one = TimedLabel(number % 2 == 0, str(number), number / 5_000, float(number % 1_000 < 2))
            alive.add(one)
            yield one
            most = max(most, len(alive))

    found = compare(labels())
    assert most <= 500
    assert found.tests[0].old[0] >= 4
