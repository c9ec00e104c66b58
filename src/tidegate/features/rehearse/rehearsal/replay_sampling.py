"""Draws labelled rows that both versions answer, and judges them as before a live rollout."""

import math
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.replay import ReplayResult
from tidegate.features.evidence.judge import replay_rate
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.report import Answers
from tidegate.features.rehearse.promise.label_power import AGREEMENT, NEGATIVES, USUAL_AUC

LEAST_AUC = 0.501


@dataclass(frozen=True)
class ReplaySampler:
    """``positives``: labelled rows of 1; there are ten times as many of 0. Scores are normal in both classes, and
    calibrated probabilities."""

    config: EvidenceConfig
    variants: tuple[str, ...]
    auc_loss: float
    positives: int

    def draw(self, chance: Random) -> dict[str, ReplayResult] | None:
        """By variant; None: the rollout has no replay."""
        if self.config.replay is None:
            return None
        rate = replay_rate(self.config, len(self.variants))
        return {
            name: judge_replay(self._answers(chance), self.config.replay, rate) for name in sorted(self.variants)
        }

    def _answers(self, chance: Random) -> Answers:
        old_apart, new_apart = _apart(USUAL_AUC), _apart(max(LEAST_AUC, USUAL_AUC - self.auc_loss))
        rest = math.sqrt(1 - AGREEMENT * AGREEMENT)
        labels, old, new = list[float](), list[float](), list[float]()
        for place in range(self.positives * (1 + NEGATIVES)):
            label = float(place < self.positives)
            common = chance.gauss(0.0, 1.0)
            labels.append(label)
            old.append(_score(common + label * old_apart, old_apart))
            new.append(_score(AGREEMENT * common + rest * chance.gauss(0.0, 1.0) + label * new_apart, new_apart))
        order = list(range(len(labels)))
        chance.shuffle(order)
        old, new, labels = ([side[at] for at in order] for side in (old, new, labels))
        return Answers(old, new, labels, [{} for _ in labels], labelled=True)


def _apart(auc: float) -> float:
    """Distance of the means of two normal classes."""
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def _score(place: float, apart: float) -> float:
    """The probability of a 1 at this place."""
    return 1 / (1 + NEGATIVES * math.exp(apart * apart / 2 - apart * place))
