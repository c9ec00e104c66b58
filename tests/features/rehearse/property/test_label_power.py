"""What ``promise`` says of labels agrees with labels drawn by chance."""

import math
import random

import pytest

from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.rehearse.promise.label_power import (
    chance_of_replay,
    promise_labels,
    smallest_late_loss,
    smallest_replayed_loss,
)
from tidegate.statistics.label_quality import TimedLabel, compare_classes

WIDE = ReplayConfig("file:///x", "y", calibration=1, mean=1, slice=1)
RATE = 0.005
RUNS = 120


def shift(auc: float) -> float:
    """Of positives' scores, in standard deviations, for an AUC."""
    low, high = 0.0, 5.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(-middle / 2) / 2 < auc else (low, middle)
    return low


def draw(chance: random.Random, positives: int, loss: float) -> ScoredRows:
    """Scores of both versions, of which half of the variance is common."""
    old, new, labels = list[float](), list[float](), list[float | None]()
    for value, count in ((1.0, positives), (0.0, 10 * positives)):
        for _ in range(count):
            common = chance.gauss(0, math.sqrt(0.5))
            for scores, auc in ((old, 0.8), (new, 0.8 - loss)):
                scores.append(common + chance.gauss(0, math.sqrt(0.5)) + value * shift(auc) + 10)
            labels.append(value)
    return ScoredRows(old, new, labels, [{}] * len(old), None, True)


@pytest.mark.parametrize(("positives", "loss"), [(100, 0.08), (100, 0.15), (300, 0.05), (300, 0.08)])
def test_predicted_and_drawn_power_of_a_replay_agree(positives: int, loss: float) -> None:
    chance = random.Random(positives)
    found = [judge_replay(draw(chance, positives, loss), WIDE, RATE).finding for _ in range(RUNS)]
    drawn = found.count(Finding.FAIL) / RUNS
    predicted = chance_of_replay(WIDE, positives, loss, RATE, 0.8, 0.5)
    assert abs(drawn - predicted) < 0.15, (drawn, predicted)


@pytest.mark.parametrize("positives", [300, 1_000])
def test_late_labels_find_the_promised_loss(positives: int) -> None:
    loss = smallest_late_loss(positives, 0.95)
    assert loss is not None
    chance, fails = random.Random(positives), 0
    for _ in range(RUNS // 2):
        labels = []
        for number in range(positives * 4):
            is_new, value = number % 2 == 0, float(number // 2 % 2)
            auc = 0.8 - loss if is_new else 0.8
            labels.append(TimedLabel(is_new, str(number), chance.gauss(value * shift(auc), 1), value))
        fails += compare_classes(labels).evidence >= 1
    assert fails / (RUNS // 2) > 0.85


def test_more_labels_find_less_and_too_few_nothing() -> None:
    found = list(promise_labels(EvidenceConfig(replay=WIDE), 0.95, 1))
    replayed = [one.replay for one in found if one.replay is not None]
    assert replayed == sorted(replayed, reverse=True) and replayed[-1] > WIDE.auc
    assert all(one.replay is None for one in promise_labels(EvidenceConfig(), 0.95, 1))
    assert smallest_replayed_loss(WIDE, 99, 0.95, RATE) is None
    assert smallest_late_loss(10, 0.95) is None
