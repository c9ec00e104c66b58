"""The cost of an assurance: for each harm about how many requests, pairs or labels, how long that takes, and what
would do where there are too few. Pure.

An equal version is taken, and the mean growth of its evidence by the tests themselves (``statistics/assurance.py``,
``shares.py`` and ``means.py``; the normal bound of labelled rows), so half of all equal versions need more. A unit
test compares it with simulations of those tests."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from tidegate.domain.assurance import Assurance, AssuranceUnit
from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.assurance import ERRORS, IN_UNITS, format_limit, harm_scale
from tidegate.features.evidence.comparisons import LATENCY_LEVELS
from tidegate.features.evidence.pace import harmful_delay
from tidegate.features.evidence.pairs import (
    BIAS,
    FEWEST_FOR_TOP,
    FIRST,
    OF_SCORES,
    SPREAD,
    TOP,
    TOP_BIAS,
    TOP_LEFT,
    UP,
)
from tidegate.features.evidence.replay.replay_judge import HIGHEST
from tidegate.features.evidence.spec_paired import MOST_UNITS
from tidegate.features.rehearse.promise.baseline import Baseline
from tidegate.features.rehearse.promise.label_power import AGREEMENT, NEGATIVES, USUAL_AUC, place_variance
from tidegate.features.rehearse.promise.pair_power import PAIRS_PER_SECOND
from tidegate.features.rehearse.promise.passage import ComparedStage, count_each_width
from tidegate.spec.unit_texts import duration_text, percent_text
from tidegate.statistics import means, shares
from tidegate.statistics.assurance import MOST_PER_SECOND, count_requests
from tidegate.statistics.stakes import FIRST_PART

CHANGED = 0.8
"""Where no latency is known: part of an equal version's requests above a quantile of the old version's that do not
exceed the slower quantile which does harm."""
UNITS_PER_DEVIATION = 2
"""Units of amounts in a standard deviation of the predictions (``evidence/units.py``)."""
LONGEST = 30 * 86_400.0
"""Seconds up to which longer stages are proposed."""
LARGEST_SHARE = 0.5
"""Share up to which larger ones are proposed."""
LARGEST = {"errors": 0.45, "latency": 20.0, "order": 0.45, "moved": 0.9, "top": 0.9, "auc": 0.45}
"""Largest harms that are proposed, of those that are no units; of the others that labels show 0.9."""
STEPS = 30
REQUESTS, PAIRS, LABELS, POSITIVES = "requests to the new version", "pairs", "labels", "labels of 1"


@dataclass(frozen=True)
class HarmPromise:
    """Cost of ruling out one harm, which is as large as ``limit`` says: so many ``counted`` (None: that follows from
    the model, or no number does), and ``seconds`` from the first shift or copy (None: unknown, or never), of labels
    the time in which the endpoint's requests give so many. ``there``: how many there are before the deadline (None:
    unknown), in ``available`` seconds (0: before the rollout). ``reached``: it can be ruled out by then, as far as
    that can be computed; if not, each of ``proposals`` would do."""

    harm: str
    variant: str
    count: int | None
    counted: str
    seconds: float | None
    reached: bool
    limit: str = ""
    there: int | None = None
    available: float = 0.0
    proposals: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One line: what it takes, or why that is too much and what would do."""
        if not self.reached:
            return self.refusal
        if self.count is None:
            return (
                f"{self.harm} {self.limit} takes {self.counted}, how many follows from how far predictions spread"
            )
        time = "" if self.seconds is None else f" in {_format_time(self.seconds)}"
        return f"{self.harm} {self.limit} takes about {self.count:,} {self.counted}{time}"

    @property
    def refusal(self) -> str:
        """One line about a harm that is not reached."""
        of = f" of variant {self.variant}" if self.variant else ""
        needs = "needs more than can be computed"
        if self.count is not None:
            needs = f"takes about {self.count:,} {self.counted}"
            needs += "" if self.seconds is None else f" in {_format_time(self.seconds)}"
        there = f"there are {self.there or 0:,} {self.counted}"
        there += f" in the {_format_time(self.available)} before the deadline" if self.available else ""
        do = "; or ".join(self.proposals) or "remove it"
        return (
            f"evidence.assure: {self.harm} {self.limit}{of} cannot be ruled out in time: it {needs}, and {there}:"
            f" {do}"
        )


def promise_harms(
    config: EvidenceConfig, variant: str, stages: Sequence[ComparedStage], baseline: Baseline
) -> Iterator[HarmPromise]:
    """Yield what each harm of a variant takes."""
    if config.assure is None:
        return
    harm = config.assure.harm
    named = [] if harm.errors is None else [(ERRORS, harm.errors)]
    named += [] if harm.latency is None else [(f"latency {level}", harm.latency) for level in LATENCY_LEVELS]
    named += [(key.replace("_", " "), value) for key, value in harm.of_pairs.items()]
    for name, limit in named:
        yield _Harm(name, variant, limit, config, config.assure, baseline, tuple(stages)).promise()
    rate = max((one.rate for one in stages), default=0.0)
    for key, limit in harm.of_labels.items():
        yield _promise_labels(key.replace("_", " "), variant, limit, config.assure.missed, baseline, rate)


@dataclass(frozen=True)
class _Need:
    """What ends a test: ``amount`` of what is counted, or of blocks of time, after the first ``wait`` of it. Only
    ``part`` of what is counted is of use."""

    counted: str
    amount: float
    blocks: bool = True
    wait: float = 0.0
    part: float = 1.0


@dataclass(frozen=True)
class _Spent:
    """``seconds`` until a need is met (None: it is not), how many of what is counted there are by then or by the end,
    and how many requests to the new version."""

    seconds: float | None
    count: float
    exposed: float


def _count_rate(counted: str, stage: ComparedStage) -> float:
    if counted == REQUESTS:
        return stage.rate * stage.share
    return min(PAIRS_PER_SECOND, stage.rate * (1 - stage.share))


def _spend(need: _Need, stages: Sequence[ComparedStage]) -> _Spent:
    left, wait, seconds, count, exposed = need.amount, need.wait, 0.0, 0.0, 0.0
    for stage in stages:
        rate = _count_rate(need.counted, stage)
        for width, number in count_each_width(stage.seconds):
            if rate <= 0:
                seconds += number * width
                continue
            waited = min(number, wait / (rate * width))
            wait -= waited * rate * width
            each = -math.expm1(-width * rate * need.part) if need.blocks else width * min(rate, MOST_PER_SECOND)
            met = (number - waited) * each >= left
            passed = (waited + left / each if met else number) * width
            left -= 0.0 if met else (number - waited) * each
            seconds, count = seconds + passed, count + passed * rate
            exposed += passed * stage.rate * stage.share
            if met:
                return _Spent(seconds, count, exposed)
    return _Spent(None, count, exposed)


@dataclass(frozen=True)
class _Harm:
    """A harm of a variant that traffic shows, and the rollout."""

    name: str
    variant: str
    limit: float
    config: EvidenceConfig
    assure: Assurance
    baseline: Baseline
    stages: tuple[ComparedStage, ...]

    def promise(self) -> HarmPromise:
        below, need = self._below(), self._need()
        found = HarmPromise(self.name, self.variant, None, PAIRS, None, True, format_limit(self.name, self.limit))
        if need is None:
            return found
        # The last of the stages goes on without end.
        endless = _spend(need, [*below[:-1], *(replace(last, seconds=math.inf) for last in below[-1:])])
        everything = _spend(replace(need, amount=math.inf), below)
        found = replace(found, counted=need.counted, seconds=endless.seconds, there=math.floor(everything.count))
        if endless.seconds is not None:
            found = replace(found, count=math.ceil(endless.count if need.blocks else need.amount))
        if self.reached:
            return found
        available = sum(one.seconds for one in below)
        return replace(
            found, reached=False, available=available, proposals=tuple(self._propose(need, endless, found))
        )

    def _below(self) -> list[ComparedStage]:
        """Return the stages that have no more than the assurance's share; the last one lasts until its deadline."""
        below = [one for one in self.stages if one.share * WHOLE <= self.assure.before + 0.5]
        return [*below[:-1], *(replace(one, seconds=one.seconds + self.config.deadline) for one in below[-1:])]

    @property
    def reached(self) -> bool:
        if (need := self._need()) is None:
            return True
        spent = _spend(need, self._below())
        return spent.seconds is not None and spent.exposed <= (self.assure.exposure or math.inf)

    def _need(self) -> _Need | None:
        """Return what it takes; None: that follows from the model."""
        if self.name.startswith("latency"):
            part = LATENCY_LEVELS[self.name.partition(" ")[2]]
            return _Need(REQUESTS, self._count_blocks(shares.WEIGHTS[-1], shares.BETS[-1] * self._changed(part)))
        if self.name != ERRORS:
            return self._need_of_pairs()
        if self.assure.unit is AssuranceUnit.SECOND:
            gain = shares.BETS[-1] * self.limit / (1 - self.limit)
            return _Need(REQUESTS, self._count_blocks(shares.WEIGHTS[-1], gain))
        share = max((one.share for one in self._below()), default=0.0) or LARGEST_SHARE
        usual = self.baseline.error_rate + self.baseline.refusal_rate
        return _Need(REQUESTS, count_requests(self.limit, usual, self.assure.missed, share), blocks=False)

    def _changed(self, part: float) -> float:
        """Return by how much fewer requests of an equal version exceed the harmful latency than this quantile."""
        if (usual := self.baseline.latency) is None:
            return CHANGED * (1 - part)
        return max(0.0, 1 - part - usual.slower_than(harmful_delay(usual.quantile(part), self.limit)))

    def _count_blocks(self, weight: float, gain: float) -> float:
        """Return how many blocks a bet takes that each of them multiplies by ``1 + gain``. ``weight``: its part."""
        wealth = -math.log(self.assure.missed) - math.log(FIRST_PART * weight)
        return wealth / math.log1p(gain) if gain > 0 else math.inf

    @property
    def _unit(self) -> float | None:
        """The size of a unit; None: unknown."""
        if self.name not in IN_UNITS:
            return 1.0
        if (usual := self.baseline.predictions) is None:
            return 1.0 if self.limit <= MOST_UNITS else None
        return 1.0 if 0 <= usual.mean <= 1 else usual.deviation / UNITS_PER_DEVIATION

    def _need_of_pairs(self) -> _Need | None:
        """The test is a ``MeanTest`` of what the mean of a block falls short of the harm; an equal version predicts
        the same."""
        if (unit := self._unit) is None:
            return None
        signed = self.name in (BIAS, SPREAD, TOP_BIAS)
        span, centre = harm_scale(self.name + UP if signed else self.name)
        gain = means.BETS[-1] * min(self.limit / unit, MOST_UNITS) / span / (1 - centre)
        part = 1 - TOP if self.name in (TOP_LEFT, TOP_BIAS) else 1.0
        wait = FEWEST_FOR_TOP if part < 1 else OF_SCORES if unit == 1 else FIRST
        return _Need(PAIRS, self._count_blocks(1 / len(means.BETS), math.expm1(gain)), wait=wait, part=part)

    def _propose(self, need: _Need, endless: _Spent, found: HarmPromise) -> Iterator[str]:
        below = self._below()
        if not below:
            yield f"give a first stage {percent_text(self.assure.before / WHOLE)} of the traffic or less"
            return
        yield from self._propose_longer(need, endless, below)
        if need.counted == REQUESTS and below[-1].share < LARGEST_SHARE:
            place, before = len(below) - 1, round(LARGEST_SHARE * WHOLE)
            stages = (*self.stages[:place], replace(self.stages[place], share=LARGEST_SHARE))
            if replace(self, stages=stages, assure=replace(self.assure, before=before)).reached:
                share = percent_text(LARGEST_SHARE)
                yield f"give that stage {share} of the traffic (before: {share})"
        if (harm := self._find_larger()) is not None:
            yield f"name a larger harm ({format_limit(self.name, harm)})"
        if need.counted == PAIRS:
            loss = LARGEST["auc"] / 9
            yield (
                f"name what labelled rows show in its place: auc: {loss:g} takes about"
                f" {_count_labels('auc', loss, self.assure.missed):,} {POSITIVES} in a replay"
            )

    def _propose_longer(self, need: _Need, endless: _Spent, below: Sequence[ComparedStage]) -> Iterator[str]:
        """Propose a longer stage, of copies where these are enough."""
        first = below[0]
        if need.counted == PAIRS and not first.share:
            alone = _spend(need, [replace(first, seconds=math.inf)]).seconds
            if alone is not None and alone <= LONGEST:
                now = _format_time(self.stages[0].seconds)
                yield f"get copies for {_format_time(alone)} first (evidence.copies is {now})"
                return
        if endless.seconds is None or endless.seconds > LONGEST:
            return
        last = self.stages[len(below) - 1]
        missing = endless.seconds - sum(one.seconds for one in below)
        needs = list[str]()
        if missing > 0:
            share = percent_text(last.share)
            needs.append(
                f"bake {_format_time(last.seconds + missing)} at {share} (it is {_format_time(last.seconds)})"
            )
        if (exposure := self.assure.exposure or math.inf) < endless.exposed:
            needs.append(f"exposure: {math.ceil(endless.exposed)} (it is {exposure})")
        yield ", with ".join(needs)

    def _find_larger(self) -> float | None:
        """Return the smallest harm that is reached, rounded up to two digits; None: none is."""
        top = LARGEST.get(
            self.name if self.name == TOP_BIAS else self.name.partition(" ")[0], MOST_UNITS * (self._unit or 1.0)
        )

        def is_met(limit: float) -> bool:
            return replace(self, limit=limit).reached

        if top <= self.limit or not is_met(top):
            return None
        low, high = self.limit, top
        for _ in range(STEPS):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if is_met(middle) else (middle, high)
        return _round_up(high)


def _promise_labels(
    name: str, variant: str, limit: float, missed: float, baseline: Baseline, rate: float
) -> HarmPromise:
    count = _count_labels(name, limit, missed)
    counted = LABELS if name == "mean error" else POSITIVES
    flow, seconds = baseline.labels, None
    if flow is not None:
        seconds = count / (rate * flow.labelled * (1.0 if counted == LABELS else flow.positive))
    found = HarmPromise(
        name, variant, count, counted, seconds, True, format_limit(name, limit), there=baseline.positives
    )
    if baseline.positives is None or counted == LABELS or count <= baseline.positives:
        return found
    older = "" if seconds is None else f": those of {_format_time(seconds)}"
    proposals = [f"a replay of rows with {count:,} {counted}{older}"]
    larger = _round_up(limit * math.sqrt(count / baseline.positives))
    if larger <= LARGEST.get(name, 0.9):
        proposals.append(f"name a larger harm ({format_limit(name, larger)})")
    return replace(found, reached=False, proposals=tuple(proposals))


def _count_labels(name: str, limit: float, missed: float) -> int:
    """Return about how many labels of 1, or labels of a mean error, rule this harm out: those whose normal bound is
    the harm. Two versions agree as those of ``label_power``. Errors of amounts are taken for normal."""
    if name == "auc":
        variance = place_variance(USUAL_AUC) * (1 + 1 / NEGATIVES)
    elif name == "recall":
        variance = (share := _usual_recall()) * (1 - share)
    else:
        variance = math.pi / 2 - 1
    return math.ceil(2 * (1 - AGREEMENT) * variance * (NormalDist().inv_cdf(1 - missed) / limit) ** 2)


def _usual_recall() -> float:
    """Return the part of the positives among the highest scores, which are normal in both classes."""
    normal = NormalDist()
    apart = math.sqrt(2) * normal.inv_cdf(USUAL_AUC)
    low, high = -10.0, 10.0
    for _ in range(STEPS):
        edge = (low + high) / 2
        above = (NEGATIVES * normal.cdf(-edge) + normal.cdf(apart - edge)) / (NEGATIVES + 1)
        low, high = (edge, high) if above > HIGHEST else (low, edge)
    return normal.cdf(apart - low)


def _round_up(value: float) -> float:
    """Return a number of two digits that is not smaller."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit


def _format_time(seconds: float) -> str:
    """Format as a spec has it, in whole minutes from some minutes on."""
    unit = 60 if seconds > 300 else 1
    return duration_text(math.ceil(seconds / unit) * unit)
