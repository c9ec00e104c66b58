"""The cost of an assurance: for each harm about how many requests, pairs or labels, and how long that takes. Pure.

An equal version is taken, and the mean growth of its evidence; chance makes it shorter or longer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from tidegate.domain.assurance import Assurance, AssuranceUnit
from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.comparisons import LATENCY_LEVELS
from tidegate.features.rehearse.promise.label_power import AGREEMENT, NEGATIVES, USUAL_AUC, place_variance
from tidegate.features.rehearse.promise.passage import ComparedStage, count_each_width
from tidegate.statistics import shares
from tidegate.statistics.assurance import MOST_PER_SECOND, count_requests
from tidegate.statistics.stakes import FIRST_PART

CHANGED = 0.8
"""Part of the old version's requests above a quantile that an equal version's exceed less often, above the slower
quantile that does harm."""


@dataclass(frozen=True)
class HarmPromise:
    """Cost of ruling out one harm: so many ``counted`` (None: that follows from the model), and ``seconds`` from
    the first shift (None: no stage below the assurance's share is long enough, or it takes none of the traffic).
    ``reached``: it can be ruled out before the deadline for evidence, as far as that can be computed."""

    harm: str
    variant: str
    count: int | None
    counted: str
    seconds: float | None
    reached: bool


def promise_harms(
    config: EvidenceConfig, variant: str, stages: Sequence[ComparedStage], usual: float
) -> Iterator[HarmPromise]:
    """Yield what each harm of a variant takes. ``usual``: part of the requests that fail on both versions."""
    if config.assure is None:
        return
    harm, asked = config.assure.harm, config.assure
    below = list(_wait_before(config, asked, stages))
    if harm.errors is not None and asked.unit is AssuranceUnit.REQUEST:
        share = max((one.share for one in below), default=0.0) or 0.5
        count = count_requests(harm.errors, usual, asked.missed, share)
        yield _promise_requests("errors", variant, count, below)
    elif harm.errors is not None:
        gain = shares.BETS[-1] * harm.errors / (1 - harm.errors)
        yield _promise_blocks("errors", variant, gain, asked, below)
    if harm.latency is not None:
        for level, part in LATENCY_LEVELS.items():
            yield _promise_blocks(
                f"latency {level}", variant, shares.BETS[-1] * CHANGED * (1 - part), asked, below
            )
    for name in harm.of_pairs:
        yield HarmPromise(name.replace("_", " "), variant, None, "pairs", None, True)
    if harm.auc is not None:
        spread = 2 * (1 - AGREEMENT) * place_variance(USUAL_AUC) * (1 + 1 / NEGATIVES)
        count = math.ceil(spread * (NormalDist().inv_cdf(1 - asked.missed) / harm.auc) ** 2)
        yield HarmPromise("auc", variant, count, "labels of 1", None, True)
    for name in harm.of_labels.keys() - {"auc"}:
        yield HarmPromise(name.replace("_", " "), variant, None, "labels", None, True)


def _wait_before(
    config: EvidenceConfig, asked: Assurance, stages: Sequence[ComparedStage]
) -> Iterator[ComparedStage]:
    """Yield the stages that have no more than the assurance's share; the last one lasts until its deadline."""
    below = [one for one in stages if one.share * WHOLE <= asked.before + 0.5]
    yield from below[:-1]
    for last in below[-1:]:
        yield replace(last, seconds=last.seconds + config.deadline)


def _promise_requests(harm: str, variant: str, count: int, below: Sequence[ComparedStage]) -> HarmPromise:
    left, seconds = float(count), 0.0
    for stage in below:
        rate = min(stage.rate * stage.share, MOST_PER_SECOND)
        if rate * stage.seconds >= left:
            return HarmPromise(harm, variant, count, "requests", seconds + left / rate, True)
        left, seconds = left - rate * stage.seconds, seconds + stage.seconds
    return HarmPromise(harm, variant, count, "requests", None, False)


def _promise_blocks(
    harm: str, variant: str, gain: float, asked: Assurance, below: Sequence[ComparedStage]
) -> HarmPromise:
    """A block of time counts as one observation. One without requests of both versions is none."""
    needed = (-math.log(asked.missed) - math.log(FIRST_PART * shares.WEIGHTS[-1])) / math.log1p(gain)
    left, seconds, requests = needed, 0.0, 0.0
    for stage in below:
        rate = stage.rate * stage.share
        for width, blocks in count_each_width(stage.seconds):
            filled = 1 - math.exp(-width * rate)
            if filled * blocks >= left:
                seconds += left / filled * width
                requests += left / filled * width * rate
                return HarmPromise(harm, variant, math.ceil(requests), "requests", seconds, True)
            left, seconds = left - filled * blocks, seconds + blocks * width
            requests += blocks * width * rate
    return HarmPromise(harm, variant, None, "requests", None, False)
