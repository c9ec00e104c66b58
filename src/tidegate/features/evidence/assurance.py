"""Fold blocks of counts to an assurance: which harms are ruled out. Pure.

The tests are those of a difference with the null hypothesis reversed: that the harm is there. A harm that was ruled
out once stays so, since the probability of that is bounded over all time together. The requests of all stages count,
as each block compares the versions within itself. A comparison that has no data rules nothing out."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

from tidegate.domain.assurance import Assurance, AssuranceUnit, HarmResult
from tidegate.domain.evidence import NO_SUMS, Comparison, Counts, EvidenceBlock, Sums, Uncounted
from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayResult
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.bounds import difference_bounds, mean_bounds
from tidegate.features.evidence.comparisons import HARM, LATENCY_LEVELS, NOTHING, test_key
from tidegate.features.evidence.measures import add_counts, take_usable
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.evidence.pairs import BIAS, CLIP, DISTANCE, DOWN, SPREAD, TOP_BIAS, UP, split_test, sums_of
from tidegate.features.evidence.sentences import describe_harm
from tidegate.features.evidence.spec_paired import MOST_UNITS
from tidegate.features.evidence.waits import extrapolate
from tidegate.statistics.assurance import HarmRateTest, count_requests
from tidegate.statistics.budgets import find_room
from tidegate.statistics.means import HitTest, MeanTest, add_sums
from tidegate.statistics.shares import ShareTest

ERRORS = "errors"
IN_UNITS = (BIAS, SPREAD, DISTANCE, TOP_BIAS)
"""Sums whose values are in units; those of all others are shares."""
SPLIT_SLACK, SPLIT_PART = 0.01, 0.1
"""By how much the share of the requests that the new version gets may differ from the requested one: routers split
traffic in whole steps of weights. A fixed part of all requests, and a part of the share."""
SPLIT_CHANCE = 0.001
"""Probability with which a stage whose traffic is split as requested is held for that, at all looks together."""
LABELLED = {"auc": "auc", "recall": "recall", "mean_error": "error"}
"""The statistic of a replay that shows each harm."""


@dataclass(frozen=True)
class HarmState:
    """The test of one harm of one variant. ``most``: logarithm of its largest e-value so far. ``counts`` are of
    requests, or the third is that of pairs; ``apart``: by block, the difference between the shares, or the mean
    of pairs in the prediction's own unit, of which the largest unit was ``largest``."""

    harm: str
    variant: str
    limit: float
    test: HarmRateTest | ShareTest | MeanTest
    most: float = 0.0
    counts: Counts = NOTHING
    apart: Sums = NO_SUMS
    largest: float = 1.0
    seconds: int = 0
    unit: float | None = None
    """The unit of amounts; None: none is known, as of scores."""


@dataclass(frozen=True)
class SplitState:
    """The check of one variant's split of requests in the present stage: the tests of too many requests of the new
    version, and of too few. ``most``: the larger logarithm of their e-values so far."""

    variant: str
    share: int | None = None
    many: HitTest | None = None
    few: HitTest | None = None
    old: int = 0
    new: int = 0
    most: float = 0.0


@dataclass(frozen=True)
class AssuranceState:
    config: Assurance
    harms: tuple[HarmState, ...]
    splits: tuple[SplitState, ...]
    exposed: int = 0
    """Requests to the new version so far."""
    stage: int = 0
    failed: int = 0
    """Those of them that it failed."""
    traffic: tuple[int, int] = (0, 0)
    """Requests to both versions in the present stage, and the seconds of its blocks."""
    latest: float = 0.0
    """Requests per second to both versions in the last block."""

    @property
    def rate(self) -> float:
        """Requests per second to both versions in the present stage, or in its last block if that had more."""
        requests, seconds = self.traffic
        return max(requests / max(1, seconds), self.latest)

    def find_room(self, beside: Uncounted) -> float | None:
        """Return the requests that the budgets allow the new version in the next stage (``budgets.find_room``); None:
        they choose no stages, or nobody knows what they have left. ``beside``: of the requests so far those that are
        not in ``exposed`` and ``failed``. Those in progress count as failed: the ones that fail may take longest."""
        asked = self.config
        if not asked.ramp or beside.lost:
            return None
        seen = (
            self.exposed + beside.requests + beside.running,
            self.failed + beside.failures + beside.running,
        )
        return find_room(asked.count_left(*seen), seen, asked.missed, self.stage)


def begin_assurance(config: Assurance, variants: Iterable[str]) -> AssuranceState:
    names = tuple(variants)
    harms = tuple(one for variant in names for one in _begin_harms(config, variant))
    return AssuranceState(config, harms, tuple(SplitState(variant) for variant in names))


def _begin_harms(config: Assurance, variant: str) -> Iterator[HarmState]:
    harm = config.harm
    if harm.errors is not None:
        by_second = config.unit is AssuranceUnit.SECOND
        test = ShareTest(-harm.errors) if by_second else HarmRateTest(harm.errors)
        yield HarmState(ERRORS, variant, harm.errors, test)
    if harm.latency is not None:
        for level in LATENCY_LEVELS:
            yield HarmState(f"latency {level}", variant, 0.0, ShareTest(0.0))
    for key, limit in harm.of_pairs.items():
        name = key.replace("_", " ")
        for direction in (UP, DOWN) if name in (BIAS, SPREAD, TOP_BIAS) else ("",):
            yield HarmState(name + direction, variant, limit, MeanTest(0.5))


def fold_assurance(state: AssuranceState, block: EvidenceBlock) -> AssuranceState:
    """Return the state after one more block."""
    if block.stage != state.stage:
        harms = tuple(replace(one, test=one.test.enter_stage()) for one in state.harms)
        splits = tuple(SplitState(one.variant) for one in state.splits)
        state = replace(state, harms=harms, splits=splits, stage=block.stage, traffic=(0, 0), latest=0.0)
    counts = NOTHING
    for one in state.splits:
        counts = add_counts(counts, _count_requests(one.variant, block))
    old, _, new, failed = counts
    return replace(
        state,
        harms=tuple(_fold_harm(one, block) for one in state.harms),
        splits=tuple(_fold_split(one, block) for one in state.splits),
        exposed=state.exposed + new,
        failed=state.failed + failed,
        traffic=(state.traffic[0] + old + new, state.traffic[1] + block.seconds),
        latest=(old + new) / max(1, block.seconds),
    )


def _count_requests(variant: str, block: EvidenceBlock) -> Counts:
    return take_usable(block.counts.get(test_key(variant, Comparison.ERRORS, ERRORS), NOTHING))


def _fold_harm(state: HarmState, block: EvidenceBlock) -> HarmState:
    if isinstance(state.test, MeanTest):
        return _fold_pairs(state, state.test, block)
    if state.harm == ERRORS:
        counts = _count_requests(state.variant, block)
    else:
        level = state.harm.partition(" ")[2]
        counts = take_usable(block.counts.get(test_key(state.variant, Comparison.LATENCY, HARM + level), NOTHING))
    old_n, old_k, new_n, new_k = counts
    if isinstance(state.test, HarmRateTest):
        test: HarmRateTest | ShareTest = state.test.update(counts, max(1, block.seconds))
    else:
        test = state.test.update((new_n, new_k, old_n, old_k))
    if not old_n or not new_n:
        return replace(state, test=test)
    apart = new_k / new_n - old_k / old_n
    return replace(
        state,
        test=test,
        most=max(state.most, test.log_evidence),
        counts=add_counts(state.counts, counts),
        apart=add_sums(state.apart, (1, apart, apart * apart)),
        seconds=state.seconds + block.seconds,
    )


def _fold_pairs(state: HarmState, test: MeanTest, block: EvidenceBlock) -> HarmState:
    """Return the state after a block of pairs. Its mean counts as one observation, as pairs that come together may
    depend on one another. What was measured in log-odds counts no more once predictions turn out to be amounts."""
    prefix = pair_key(state.variant, Comparison.PAIRED, "")
    named = {key.removeprefix(prefix): one for key, one in block.sums.items() if key.startswith(prefix)}
    sums, told = sums_of(state.harm, named), block.units.get(prefix)
    if told is not None and state.unit is None and state.apart[0]:
        return replace(
            state, test=MeanTest(0.5), most=0.0, counts=NOTHING, apart=NO_SUMS, largest=told, seconds=0, unit=told
        )
    if not sums[0] or not 0 <= sums[2] <= sums[1] + 1e-6 or sums[1] > sums[0] + 1e-6:
        return state if told is None else replace(state, unit=told)
    # A unit is that of the blocks after it, or of this one if it is the first. A larger one makes a harm smaller.
    sizes = [one for one in (state.unit, told) if one is not None]
    size = max(sizes, default=1.0) if split_test(state.harm)[0] in IN_UNITS else 1.0
    span, centre = scale_harm(state.harm)
    level = centre + min(state.limit / size, MOST_UNITS) / span
    mean = sums[1] / sums[0]
    left, apart = 1 - mean, (mean - centre) * span * size
    test = replace(test, tolerance=max(0.0, 1 - level)).update((1, left, left * left), max(1, block.seconds))
    return replace(
        state,
        test=test,
        most=max(state.most, test.log_evidence),
        counts=add_counts(state.counts, (0, 0, sums[0], 0)),
        apart=add_sums(state.apart, (1, apart, apart * apart)),
        largest=max(state.largest, size) if state.apart[0] else size,
        seconds=state.seconds + block.seconds,
        unit=state.unit if told is None else told,
    )


def scale_harm(harm: str) -> tuple[float, float]:
    """Return the span of a test's values from 0 to 1 in its own unit, and the value where versions do not differ."""
    name, direction = split_test(harm)
    if direction:
        return 2 * CLIP, 0.5
    return (CLIP if name == DISTANCE else 1.0), 0.0


def _fold_split(state: SplitState, block: EvidenceBlock) -> SplitState:
    """Return the state after a block in which the shares stood still; any other says nothing. The tests are the
    likelihood ratios of further shares to those at the edge of what is tolerated (in the manner of Lindon and Malek,
    "Anytime-valid inference for multinomial count data", NeurIPS 2022, against a null hypothesis of some width)."""
    old, _, new, _ = _count_requests(state.variant, block)
    if block.share is None or not 0 < block.share < WHOLE or not old + new:
        return state
    if state.share != block.share:
        part = block.share / WHOLE
        slack = SPLIT_SLACK + SPLIT_PART * min(part, 1 - part)
        many = HitTest(part + slack) if part + slack < 1 else None
        few = HitTest(1 - part + slack) if part > slack else None
        state = SplitState(state.variant, block.share, many, few)
    many = None if state.many is None else state.many.update((old + new, new, new))
    few = None if state.few is None else state.few.update((old + new, old, old))
    most = max([state.most, *(one.log_evidence for one in (many, few) if one is not None)])
    return replace(state, many=many, few=few, old=state.old + old, new=state.new + new, most=most)


def find_mismatch(state: AssuranceState) -> str:
    """Describe the variants whose requests are not split as requested; empty: there are none."""
    limit = -math.log(SPLIT_CHANCE / 2 / max(1, len(state.splits)))
    return "; ".join(
        f"the traffic is not split as requested: {one.share / WHOLE:.2%} of the requests of variant {one.variant}"
        f" should reach the new version, and {one.new / (one.old + one.new):.2%} of {one.old + one.new:,} do"
        for one in state.splits
        if one.share is not None and one.most >= limit
    )


def find_harms(state: AssuranceState, replayed: Mapping[str, ReplayResult]) -> tuple[HarmResult, ...]:
    """Return what is known about each harm of each variant. ``replayed``: by variant."""
    found = [_result(one, state.config) for one in state.harms]
    for variant in (one.variant for one in state.splits):
        for name, limit in state.config.harm.of_labels.items():
            found.append(_judge_labels(name, limit, variant, replayed.get(variant), state.config.missed))
    return tuple(found)


def _result(state: HarmState, config: Assurance) -> HarmResult:
    evidence = state.most / -math.log(config.missed)
    old_n, old_k, new_n, new_k = state.counts
    pairs = isinstance(state.test, MeanTest)
    estimate = bound = None
    if isinstance(state.test, HarmRateTest):
        if old_n and new_n:
            estimate = new_k / new_n - old_k / old_n
            bound = difference_bounds((old_k, old_n), (new_k, new_n), 1 - config.missed)[1]
    elif state.apart[0]:
        number, total, squares = state.apart
        estimate = total / number
        span, centre = scale_harm(state.harm) if pairs else (2.0, 0.5)
        reach = span * state.largest
        placed = number * centre + total / reach
        around = squares / reach**2 + 2 * centre * total / reach + number * centre * centre
        bound = (mean_bounds((number, placed, around), centre, 1 - config.missed)[1] - centre) * reach
    excluded = evidence >= 1
    needed = 0 if excluded else _find_needed(state, evidence, config)
    return HarmResult(
        state.harm, state.variant, state.limit, estimate, bound, evidence, excluded, new_n, state.seconds, needed
    )


def _find_needed(state: HarmState, evidence: float, config: Assurance) -> int | None:
    if (more := extrapolate(state.counts[2], evidence)) is not None:
        return more
    if isinstance(state.test, HarmRateTest):
        old_n, old_k = state.counts[:2]
        return max(1, count_requests(state.limit, old_k / max(1, old_n), config.missed))
    return None


def _judge_labels(name: str, limit: float, variant: str, result: ReplayResult | None, missed: float) -> HarmResult:
    """Judge a harm by labelled rows. They are a fixed sample that is looked at once, so the bound is one of the
    normal distribution: of the paired difference of two areas (DeLong, DeLong and Clarke-Pearson, Biometrics 44,
    1988), and of paired means. Of a model with several outputs the worst decides, so each is shown to do no harm."""
    found = [one for one in result.statistics if one.name == LABELLED[name] and not one.slice] if result else []
    harm = name.replace("_", " ")
    known = [(one.worse, one.error) for one in found if one.worse is not None and one.error is not None]
    if result is None or result.finding is Finding.NO_DATA or not known or len(known) < len(found):
        return HarmResult(harm, variant, limit, None, None, 0.0, False)
    surely = NormalDist().inv_cdf(1 - missed)
    bound, worse = max((worse + surely * error, worse) for worse, error in known)
    excluded = bound < limit
    labels = result.labelled if result.positives is None else result.positives
    return HarmResult(harm, variant, limit, worse, bound, float(excluded), excluded, labels)


HARM_HEADS = ("harm", "variant", "what is known", "worse by", "at most", "seen")
"""Heads of the columns of ``harm_cells``."""


def name_limit(one: HarmResult, config: Assurance) -> str:
    """Name how large a harm is, in the user's unit."""
    if one.harm.startswith("latency"):
        return f"{config.harm.latency or 0:.0%}"
    shares = (ERRORS, "recall", "mean error", "moved", "top", "order")
    return f"{one.limit * 100:.4g}%" if one.harm in shares else f"{one.limit:.4g}"


def harm_cells(one: HarmResult, config: Assurance) -> tuple[str, str, str, str, str, str]:
    """Return a row of a table: harm, variant, what is known, estimate, bound and count."""
    known = f"shown to be less than {name_limit(one, config)}" if one.excluded else describe_harm(one)
    estimate, bound = ("-" if value is None else f"{value:+.3g}" for value in (one.estimate, one.bound))
    return one.harm, one.variant, known, estimate, bound, f"{one.count:,}"
