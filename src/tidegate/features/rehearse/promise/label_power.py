"""The power of labels: the smallest loss of AUC that they can find, by the number of labelled positives. Pure.

A replay compares both versions on the same rows: its standard error follows from the spread of a positive's place
among the negatives (DeLong 1988; normal scores are assumed) and from how much the two versions agree on it. Late
labels of requests of their own are compared by a test of two rates, so what holds for errors holds for them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.replay import ReplayConfig
from tidegate.features.evidence.judge import replay_rate
from tidegate.features.evidence.replay.replay_judge import PROVEN
from tidegate.features.rehearse.promise.evidence_power import smallest_difference
from tidegate.features.rehearse.promise.passage import ComparedStage
from tidegate.statistics.label_quality import AUC_TOLERANCE, BLOCK, CLASS_PARTS, FALSE_ALARMS

POSITIVES = (100, 300, 1_000, 3_000)
USUAL_AUC = 0.8
NEGATIVES = 10
"""For each positive."""
AGREEMENT = 0.5
"""Correlation of a positive's place by one version with that by the other: less than honest retrains have, more than
unlike models."""
TESTS = 4
"""AUC, calibration, log loss and mean; each slice has as many, and makes a replay see a little less."""
STEPS = 40


@dataclass(frozen=True)
class LabelPromise:
    """The smallest loss of AUC that labels find. ``replay``, ``late``: by so many labelled positives (of each
    version, for late labels) and ten times as many negatives; None: not even the largest is found, or there is no
    replay."""

    positives: int
    replay: float | None
    late: float | None


def promise_labels(config: EvidenceConfig, power: float, variants: int) -> Iterator[LabelPromise]:
    rate = replay_rate(config, variants)
    for positives in POSITIVES:
        replay = None if config.replay is None else smallest_replayed_loss(config.replay, positives, power, rate)
        yield LabelPromise(positives, replay, smallest_late_loss(positives, power))


def smallest_replayed_loss(
    config: ReplayConfig,
    positives: int,
    power: float,
    rate: float,
    auc: float = USUAL_AUC,
    agreement: float = AGREEMENT,
) -> float | None:
    """Return the smallest loss of AUC that a replay finds. ``rate``: of false rollbacks, over all statistics."""
    if positives < config.least_labels:
        return None
    low, high = 0.0, auc
    if chance_of_replay(config, positives, high, rate, auc, agreement) < power:
        return None
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = chance_of_replay(config, positives, middle, rate, auc, agreement) >= power
        low, high = (low, middle) if found else (middle, high)
    return high


def chance_of_replay(
    config: ReplayConfig, positives: int, loss: float, rate: float, auc: float, agreement: float
) -> float:
    """Return the probability that a replay with so many positives fails for a loss of AUC."""
    old, new = place_variance(auc), place_variance(max(0.0, auc - loss))
    spread = max(1e-12, old + new - 2 * agreement * math.sqrt(old * new))
    error = math.sqrt(spread * (1 + 1 / NEGATIVES) / positives)
    surely = NormalDist().inv_cdf(1 - rate / TESTS / (1 + len(config.other_labels)))
    limit = max(config.auc, PROVEN["auc"] * config.auc + surely * error)
    return NormalDist().cdf((loss - limit) / error)


@cache
def place_variance(auc: float) -> float:
    """Return the variance of the share of negatives below a positive, where scores are normal in both classes."""
    normal, steps = NormalDist(), 200
    apart = math.sqrt(2) * normal.inv_cdf(min(max(auc, 0.01), 0.99))
    points = [-5 + 10 * (place + 0.5) / steps for place in range(steps)]
    both = math.fsum(normal.cdf(apart + point) ** 2 * normal.pdf(point) for point in points) * 10 / steps
    return max(0.0, both - auc * auc)


def smallest_late_loss(positives: int, power: float, auc: float = USUAL_AUC) -> float | None:
    rate = FALSE_ALARMS * CLASS_PARTS["auc"]
    test = EvidenceConfig((Comparison.ERRORS,), errors=AUC_TOLERANCE, false_rollback_rate=rate)
    stage = ComparedStage(0.5, max(1, positives // BLOCK), 2 * positives / max(1, positives // BLOCK))
    return smallest_difference(Comparison.ERRORS, test, [stage], 1 - auc, power)
