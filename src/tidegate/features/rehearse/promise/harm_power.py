"""The cost of an assurance: for each harm about how many requests, pairs or labels, and how long that takes. Pure.

An equal version is taken, and the mean growth of its evidence in the tests of ``features/evidence/assurance.py``;
chance makes it shorter or longer. Labelled rows are looked at once, so of those there are as many as suffice with
95 %: the bound of a normal mean at the level of the assurance lies below the harm then."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from tidegate.domain.assurance import Assurance, AssuranceUnit
from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.assurance import IN_UNITS, scale_harm
from tidegate.features.evidence.comparisons import LATENCY_LEVELS
from tidegate.features.evidence.pairs import BIAS, FIRST, SPREAD, TOP, TOP_BIAS, TOP_LEFT, UP
from tidegate.features.evidence.spec_paired import MOST_UNITS
from tidegate.features.rehearse.promise.baseline import Baseline
from tidegate.features.rehearse.promise.label_power import AGREEMENT, NEGATIVES, USUAL_AUC, place_variance
from tidegate.features.rehearse.promise.pair_power import PAIRS_PER_SECOND, USUAL_SPREAD
from tidegate.features.rehearse.promise.passage import ComparedStage, count_each_width
from tidegate.spec.unit_texts import duration_text, percent_text
from tidegate.statistics import means, shares
from tidegate.statistics.assurance import MOST_PER_SECOND, count_requests
from tidegate.statistics.stakes import FIRST_PART

CHANGED = 0.8
"""Part of the old version's requests above a quantile that an equal version's exceed less often, above the slower
quantile that does harm."""
USED = 0.5
"""Part of the harm that an honest version differs by, where versions can differ in one direction only."""
POWER = 0.95
"""Chance with which the labels suffice."""
ERROR_VARIANCE, ERROR_AGREEMENT = math.pi / 2 - 1, 0.8
"""Variance of the absolute errors over the square of their mean, as of normal errors; their correlation between two
versions."""
MOST_ERRORS = 0.5
_STEPS = 30

Gain = Callable[[ComparedStage, int], float]
"""What a block of so many seconds of a stage adds on average."""


@dataclass(frozen=True)
class HarmPromise:
    """Cost of ruling out one harm: so many ``counted`` (None: that follows from the model), and ``seconds`` from
    the first shift or copy (None: it takes none of the traffic, or never ends). ``reached``: it can be ruled out
    before the deadline for evidence, as far as that can be computed. If not, ``has`` are there until then, in
    ``most_seconds``, and each of ``remedies`` would do."""

    harm: str
    variant: str
    count: int | None
    counted: str
    seconds: float | None
    reached: bool
    has: int | None = None
    most_seconds: float | None = None
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wait:
    """The stages up to the assurance's share. ``stages``: the last one has no end; ``seconds``: until the wait ends,
    at its deadline or with the exposure; ``bake``: seconds of the last stage; ``spent``: it is the exposure that
    ends it."""

    asked: Assurance
    variant: str
    stages: Sequence[ComparedStage]
    seconds: float
    bake: float
    spent: bool

    @property
    def share(self) -> float:
        return self.stages[-1].share if self.stages else 0.0


def promise_harms(
    config: EvidenceConfig, variant: str, stages: Sequence[ComparedStage], baseline: Baseline
) -> Iterator[HarmPromise]:
    """Yield what each harm of a variant takes, if a good version behaves like ``baseline``."""
    if config.assure is None:
        return
    harm, asked = config.assure.harm, config.assure
    wait = _find_wait(config, asked, variant, stages)
    if harm.errors is not None:
        usual = baseline.error_rate + baseline.refusal_rate
        yield _promise_errors(wait, harm.errors, usual)
    if harm.latency is not None:
        for level, part in LATENCY_LEVELS.items():
            growth = math.log1p(shares.BETS[-1] * CHANGED * (1 - part))
            yield _promise(wait, f"latency {level}", "requests", _count_new, _by_blocks(asked, growth))
    for key, limit in harm.of_pairs.items():
        yield _promise_pairs(wait, config, key.replace("_", " "), limit, baseline)
    for key, limit in harm.of_labels.items():
        yield _promise_labels(variant, key, limit, asked.missed, baseline.positives)


def _find_wait(config: EvidenceConfig, asked: Assurance, variant: str, stages: Sequence[ComparedStage]) -> _Wait:
    below = [one for one in stages if one.share * WHOLE <= asked.before + 0.5]
    if not below:
        return _Wait(asked, variant, (), 0.0, 0.0, spent=False)
    endless = (*below[:-1], replace(below[-1], seconds=math.inf))
    seconds = sum(one.seconds for one in below) + config.deadline
    until = math.inf if asked.exposure is None else _walk(endless, _count_new, asked.exposure)
    return _Wait(asked, variant, endless, min(seconds, until), below[-1].seconds, until < seconds)


def _walk(stages: Sequence[ComparedStage], gain: Gain, needed: float) -> float:
    """Return the seconds in which so much is gained; infinity: never."""
    left, seconds = needed, 0.0
    for stage in stages:
        for width, blocks in count_each_width(stage.seconds):
            each = gain(stage, width)
            if each > 0 and each * blocks >= left:
                return seconds + left / each * width
            left -= each * blocks if each else 0.0
            seconds += blocks * width
    return math.inf


def _total(stages: Sequence[ComparedStage], gain: Gain, until: float) -> float:
    """Return what is gained in so many seconds."""
    total, left = 0.0, until
    for stage in stages:
        span = min(stage.seconds, left)
        total, left = total + gain(stage, 1) * span, left - span
    return total


def _count_new(stage: ComparedStage, width: int) -> float:
    return stage.rate * stage.share * width


def _promise(
    wait: _Wait,
    harm: str,
    counted: str,
    count: Gain,
    cost: Callable[[float], tuple[Gain, float]],
    sizes: tuple[float, float] | None = None,
) -> HarmPromise:
    """``count``: of what is counted; ``cost``: by the size of the harm, what a block adds, and how much is needed.
    ``sizes``: of the harm, and the largest that would make sense (None: its size does not matter)."""
    seconds = _walk(wait.stages, *cost(0.0 if sizes is None else sizes[0]))
    reached = seconds <= wait.seconds
    needed = math.ceil(_total(wait.stages, count, seconds)) if math.isfinite(seconds) else None
    found = HarmPromise(harm, wait.variant, needed, counted, seconds if math.isfinite(seconds) else None, reached)
    if reached:
        return found
    has = math.floor(_total(wait.stages, count, wait.seconds))
    more = tuple(_find_remedies(wait, harm, counted, seconds, cost, sizes))
    return replace(found, has=has, most_seconds=wait.seconds, remedies=more)


def _find_remedies(
    wait: _Wait,
    harm: str,
    counted: str,
    seconds: float,
    cost: Callable[[float], tuple[Gain, float]],
    sizes: tuple[float, float] | None,
) -> Iterator[str]:
    before = percent_text(wait.asked.before / WHOLE)
    if counted == "requests" and not wait.share:
        yield f"a stage of at most {before} of the traffic that bakes"
    if math.isfinite(seconds):
        if wait.spent:
            yield f"exposure: {math.ceil(_total(wait.stages, _count_new, seconds))}"
        # Minutes, and one more, since the last part of a long stage is in long blocks.
        longer = 60 * (math.ceil((wait.bake + seconds - wait.seconds) / 60) + 1)
        stage = "copies of" if not wait.share else f"a stage of {percent_text(wait.share)} that bakes"
        yield f"{stage} {duration_text(longer)} (now {duration_text(round(wait.bake))})"
    if sizes is not None and (larger := _find_larger(wait, cost, *sizes)) is not None:
        yield f"{harm.replace(' ', '_')}: {_format_size(harm, larger)} as the harm"
    if counted == "pairs":
        yield "labelled rows (replay) and a harm of auc, recall or mean_error, which need no traffic"


def _find_larger(
    wait: _Wait, cost: Callable[[float], tuple[Gain, float]], size: float, most: float
) -> float | None:
    """Return the smallest larger harm that can be ruled out, rounded up."""

    def reached(one: float) -> bool:
        return _walk(wait.stages, *cost(one)) <= wait.seconds

    if size >= most or not reached(most):
        return None
    low, high = size, most
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    digit = 10.0 ** (math.floor(math.log10(high)) - 1)
    return min(most, round(math.ceil(high / digit) * digit, 12))


def _format_size(harm: str, size: float) -> str:
    return f"{size:g}" if harm in IN_UNITS else percent_text(size)


def _by_blocks(asked: Assurance, growth: float) -> Callable[[float], tuple[Gain, float]]:
    """A block of time with requests of both versions counts as one observation."""
    needed = -math.log(asked.missed) - math.log(FIRST_PART * shares.WEIGHTS[-1])

    def gain(stage: ComparedStage, width: int) -> float:
        return growth * -math.expm1(-width * stage.rate * stage.share)

    return lambda size: (gain, needed)


def _promise_errors(wait: _Wait, harm: float, usual: float) -> HarmPromise:
    asked = wait.asked
    if asked.unit is AssuranceUnit.SECOND:

        def cost(size: float) -> tuple[Gain, float]:
            return _by_blocks(asked, math.log1p(shares.BETS[-1] * size / (1 - size)))(size)
    else:

        def cost(size: float) -> tuple[Gain, float]:
            return _count_capped, count_requests(size, usual, asked.missed, wait.share or 0.5)

    return _promise(wait, "errors", "requests", _count_new, cost, (harm, MOST_ERRORS))


def _count_capped(stage: ComparedStage, width: int) -> float:
    return min(stage.rate * stage.share, MOST_PER_SECOND) * width


def _promise_pairs(
    wait: _Wait, config: EvidenceConfig, harm: str, limit: float, baseline: Baseline
) -> HarmPromise:
    """The empirical Bernstein bound of the means of blocks. The unit of amounts is known by ``baseline`` only."""
    known, amounts = baseline.predictions, False
    unit = 1.0
    if harm in IN_UNITS:
        if known is None:
            return HarmPromise(harm, wait.variant, None, "pairs", None, True)
        amounts = not 0 <= known.mean - 2 * known.deviation <= known.mean + 2 * known.deviation <= 1
        unit = known.deviation / 2 if amounts else 1.0
    span, centre = scale_harm(harm + UP if harm in (BIAS, SPREAD, TOP_BIAS) else harm)
    part = 1 - TOP if harm in (TOP_BIAS, TOP_LEFT) else 1.0
    spread = USUAL_SPREAD * config.paired.limits(amounts=amounts).distance if harm in IN_UNITS else 0.5

    def cost(size: float) -> tuple[Gain, float]:
        far = min(size / unit, MOST_UNITS) if harm in IN_UNITS else size
        left = 1 - centre - (0.0 if centre else USED * far / span)
        apart = (left - (1 - centre - far / span)) / left

        def gain(stage: ComparedStage, width: int) -> float:
            pairs = part * _count_pairs(stage, width)
            if not pairs:
                return 0.0
            noise = (spread / span / left) ** 2 / max(1.0, pairs)
            bets = zip(means.BETS, means.PENALTIES, strict=True)
            return -math.expm1(-pairs) * max(0.0, *(bet * apart - penalty * noise for bet, penalty in bets))

        return gain, -math.log(wait.asked.missed) - math.log(FIRST_PART / len(means.BETS))

    largest = MOST_UNITS * unit if harm in IN_UNITS else 0.5 if harm == "order" else 1.0
    # The first pairs of amounts wait until their unit is known, and are a single observation then.
    rate = _count_pairs(wait.stages[0], 1) if amounts and wait.stages else 0.0
    first = FIRST / rate if rate else 0.0
    found = _promise(
        replace(wait, seconds=wait.seconds - first), harm, "pairs", _count_pairs, cost, (limit, largest)
    )
    if not first or found.count is None or found.seconds is None:
        return found
    return replace(found, count=found.count + FIRST, seconds=found.seconds + first)


def _count_pairs(stage: ComparedStage, width: int) -> float:
    return min(PAIRS_PER_SECOND, stage.rate * (1 - stage.share)) * width


def _promise_labels(variant: str, key: str, limit: float, missed: float, positives: int | None) -> HarmPromise:
    """``positives``: labels of 1 that a replay has; None: unknown."""
    counted = "labels of 1"
    match key:
        case "auc":
            variance = 2 * (1 - AGREEMENT) * place_variance(USUAL_AUC) * (1 + 1 / NEGATIVES)
        case "recall":  # of a half, where it varies most
            variance = 2 * (1 - AGREEMENT) * 0.25
        case _:
            variance, counted, positives = 2 * (1 - ERROR_AGREEMENT) * ERROR_VARIANCE, "labels", None
    normal = NormalDist()
    both = normal.inv_cdf(1 - missed) + normal.inv_cdf(POWER)
    count = math.ceil(variance * (both / limit) ** 2)
    found = HarmPromise(key.replace("_", " "), variant, count, counted, None, True)
    if positives is None or count <= positives:
        return found
    enough = math.ceil(1000 * both * math.sqrt(variance / positives)) / 1000
    larger = f"{enough:g}" if key == "auc" else percent_text(enough)
    remedies = (f"a replay of {count:,} labels of 1", f"{key}: {larger} as the harm")
    return replace(found, reached=False, has=positives, remedies=remedies)
