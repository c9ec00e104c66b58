"""Draws requests that both versions answer: copies, with their predictions and what a stage makes of them, and
labelled rows.

Predictions are drawn in standard deviations of the old version's, so a unit is half of one. Honest versions differ as
``promise`` takes them to: by four fifths of the tolerated distance.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from random import Random
from statistics import NormalDist

from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.pairs import FeatureRow, Pair
from tidegate.domain.replay import ReplayResult
from tidegate.features.evidence.judge import replay_rate
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.rehearse.promise import VersionFault
from tidegate.features.rehearse.promise.label_power import AGREEMENT, NEGATIVES, USUAL_AUC
from tidegate.features.rehearse.promise.pair_power import COLUMNS, PAIRS_PER_SECOND, ROWS_PER_SECOND, USUAL_SPREAD

UNIT = 0.5
"""Standard deviations."""
SHARE_OF_TIME = 0.03
"""Of an instance that answers clients, too: what copies may take."""
LEAST_AUC = 0.501
STAGE = "stage"
"""Name of the stage whose output is compared."""


@dataclass(frozen=True)
class PairSampler:
    """``failing``: part of the copies that the new version's model fails. ``old_instances`` send copies, and
    ``new_instances`` answer them; ``latency``: microseconds that one takes, None where it is not known."""

    config: EvidenceConfig
    fault: VersionFault
    failing: float
    rate: float
    old_instances: int
    new_instances: int
    latency: float | None = None

    def draw(self, seconds: float, share: float, chance: Random) -> list[Pair]:
        """Pairs of a span in which the new version gets ``share`` of the requests."""
        if share >= 1 or self.fault.no_data:
            return []
        count = _round_randomly(self._per_second(share) * seconds, chance)
        traced = self._traced_share(share) if Comparison.FEATURES in self.config.compare else 0.0
        return [self._pair(chance, chance.random() < traced) for _ in range(count)]

    def _per_second(self, share: float) -> float:
        answered = PAIRS_PER_SECOND
        if share > 0 and self.latency:
            answered = min(answered, SHARE_OF_TIME / (self.latency / 1e6))
        sent = min(PAIRS_PER_SECOND * self.old_instances, self.rate * (1 - share))
        return min(sent, answered * self.new_instances)

    def _traced_share(self, share: float) -> float:
        """Part of the pairs for which the outputs of stages are asked."""
        pairs = self._per_second(share)
        return min(1.0, ROWS_PER_SECOND * self.old_instances / pairs) if pairs else 0.0

    @cached_property
    def _apart(self) -> tuple[float, float]:
        """How honest predictions of a request go together: correlation, and deviation of the rest."""
        spread = USUAL_SPREAD * self.config.paired.limits(amounts=True).distance * UNIT
        together = max(0.0, 1 - spread * spread / 2)
        return together, math.sqrt(1 - together * together)

    @property
    def _shift(self) -> float:
        return math.copysign(math.sqrt(abs(self.fault.prediction_shift)), self.fault.prediction_shift)

    def _pair(self, chance: Random, traced: bool) -> Pair:
        together, apart = self._apart
        old = chance.gauss(0.0, 1.0)
        new: float | None = together * old + apart * chance.gauss(0.0, 1.0)
        if self.fault.wrong_predictions and chance.random() < self.fault.wrong_predictions:
            new = chance.gauss(0.0, 1.0)
        assert new is not None
        new += self._shift
        failed = chance.random() < self.failing
        rows = (self._row(chance),) if traced and not failed else ()
        return Pair(old, None if failed else new, failed=failed, traced=traced, features=rows)

    def _row(self, chance: Random) -> FeatureRow:
        """Equal rows, but for the first column where the fault is in it."""
        old = [chance.gauss(0.0, 1.0) for _ in range(COLUMNS)]
        new = list(old)
        if self.fault.changed_columns and chance.random() < self.fault.changed_columns:
            new[0] += 1.0 + abs(chance.gauss(0.0, 1.0))
        return FeatureRow(STAGE, _NAMES, tuple(old), _NAMES, tuple(new))


_NAMES = tuple(str(place) for place in range(COLUMNS))


def _round_randomly(expected: float, chance: Random) -> int:
    """A whole number whose mean is the expected one."""
    low = math.floor(expected)
    return low + (chance.random() < expected - low)


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

    def _answers(self, chance: Random) -> ScoredRows:
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
        return ScoredRows(old, new, labels, [{} for _ in labels], labelled=True)


def _apart(auc: float) -> float:
    """Distance of the means of two normal classes."""
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def _score(place: float, apart: float) -> float:
    """The probability of a 1 at this place."""
    return 1 / (1 + NEGATIVES * math.exp(apart * apart / 2 - apart * place))
