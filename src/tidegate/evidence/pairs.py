"""Paired predictions: from the predictions of both versions on the same requests to sums of values from 0 to 1, which
``judge`` tests. No I/O.

What the values are measured by (the unit, and where the highest 5 % begin) is learned from pairs before the block:
what was chosen by the block itself would spoil the test. Equal requests count once: those of a client that sends one
request a thousand times are no thousand observations."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tidegate.domain.evidence import NO_SUMS, PairedTolerance, Sums
from tidegate.domain.pairs import Pair
from tidegate.evidence.known_keys import KnownKeys
from tidegate.evidence.means import HitTest, MeanTest, SumTest, add_sums, mirror

CLIP = 3.0
"""Units as which a larger difference counts: one request must not decide a mean."""
FEWEST = 50
"""Pairs before the first one that counts: the unit is learned from them."""
FEWEST_FOR_TOP = 200
TOP = 0.95
REMEMBERED = 4_000
"""Pairs of which the highest 5 % are taken."""
MOST_SLICES = 64
"""Values of all sliced columns that are compared, those that come first; more are not looked at."""
PAIRS, DISTANCE, MOVED, BIAS, TOP_LEFT, TOP_BIAS, ORDER = (
    "pairs", "distance", "moved", "bias", "top", "top bias", "order",
)  # fmt: skip
"""Names of sums. PAIRS counts 1 for each pair that can be used and 0 for each that cannot."""
FAILED = "failed"
SLICE = "slice "
FAILED_OF = "failed "
"""Before the name of a slice: its requests that the new version's model fails."""
UP, DOWN = " up", " down"
_LEAST_SCORE = 1e-6


@dataclass(frozen=True)
class Unit:
    """How predictions are measured. ``logit``: they are scores from 0 to 1."""

    logit: bool
    size: float = 1.0

    def place(self, value: float) -> float:
        if not self.logit:
            return value / self.size
        score = min(max(value, _LEAST_SCORE), 1 - _LEAST_SCORE)
        return math.log(score / (1 - score))


def learn_unit(old: Sequence[float]) -> Unit | None:
    """The unit of the old version's predictions; None if all are equal."""
    if min(old) == max(old):
        return None
    if min(old) >= 0 and max(old) <= 1:
        return Unit(True)
    mean = math.fsum(old) / len(old)
    size = math.sqrt(math.fsum((value - mean) ** 2 for value in old) / len(old)) / 2
    return Unit(False, size) if math.isfinite(size) and size > 0 else None


@dataclass
class PairCounter:
    """Counts the pairs of one variant, block by block. ``slices``: the columns that are looked at."""

    slices: tuple[str, ...] = ()
    unit: Unit | None = None
    top: tuple[float, float] | None = None
    """Where the highest 5 % of the old and of the new version begin, in units."""
    _past: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _keys: KnownKeys = field(default_factory=KnownKeys)
    _single: tuple[float, float] | None = None
    """A pair that waits for another one to be ordered with."""
    _known: dict[str, None] = field(default_factory=dict)
    """Slices, in the order in which they came."""

    def count(self, pairs: Iterable[Pair]) -> dict[str, Sums]:
        """The sums of a block."""
        found: dict[str, Sums] = {}
        predictions: list[tuple[float, float]] = []
        for pair in pairs:
            if not self._keys.add(pair.key):
                continue
            old, new = pair.old, pair.new
            _add(found, FAILED, float(pair.failed))
            slices = self._slices(pair.slices)
            for name in slices:
                _add(found, FAILED_OF + name, float(pair.failed))
            if old is None or new is None or not (math.isfinite(old) and math.isfinite(new)):
                _add(found, PAIRS, 0.0)
                continue
            _add(found, PAIRS, 1.0)
            predictions.append((old, new))
            if self.unit is not None:
                for name, value in self._values(self.unit, old, new, slices):
                    _add(found, name, value)
        self._learn(predictions)
        return found

    def _values(self, unit: Unit, old: float, new: float, slices: Iterable[str]) -> Iterator[tuple[str, float]]:
        before, after = unit.place(old), unit.place(new)
        apart = min(max(after - before, -CLIP), CLIP)
        signed = (apart + CLIP) / (2 * CLIP)
        yield DISTANCE, abs(apart) / CLIP
        yield MOVED, float(abs(apart) > 1)
        yield BIAS, signed
        if self.top is not None and before >= self.top[0]:
            yield TOP_LEFT, float(after < self.top[1])
            yield TOP_BIAS, signed
        if self._single is None:
            self._single = before, after
        else:
            yield ORDER, _disorder(self._single, (before, after))
            self._single = None
        for name in slices:
            yield name, signed

    def _slices(self, values: Iterable[tuple[str, str]]) -> list[str]:
        """The names of the slices that a request belongs to."""
        found = []
        for column, value in values:
            name = f"{SLICE}{column}={value}"
            if column not in self.slices or (name not in self._known and len(self._known) >= MOST_SLICES):
                continue
            self._known[name] = None
            found.append(name)
        return found

    def _learn(self, predictions: Iterable[tuple[float, float]]) -> None:
        """Learn from a block what the following ones are measured by."""
        self._past.extend(predictions)
        if len(self._past) < FEWEST:
            return
        old = [before for before, _ in self._past]
        if self.unit is None or (self.unit.logit and not (min(old) >= 0 and max(old) <= 1)):
            self.unit, self._single = learn_unit(old), None
        unit = self.unit
        if unit is not None and len(old) >= FEWEST_FOR_TOP:
            self.top = _quantile(old, unit), _quantile([after for _, after in self._past], unit)


def _quantile(values: list[float], unit: Unit) -> float:
    values.sort()
    return unit.place(values[min(len(values) - 1, math.ceil(TOP * len(values)))])


def _disorder(one: tuple[float, float], other: tuple[float, float]) -> float:
    """1 if the versions put two requests in opposite orders, 0 if in the same one, 1/2 if only one of them does."""
    before, after = one[0] - other[0], one[1] - other[1]
    if before == 0 or after == 0:
        return 0.0 if before == after else 0.5
    return float((before > 0) != (after > 0))


def _add(found: dict[str, Sums], name: str, value: float) -> None:
    found[name] = add_sums(found.get(name, NO_SUMS), (1, value, value * value))


def make_pair_tests(tolerance: PairedTolerance) -> dict[str, SumTest]:
    """The tests of all pairs, by name."""
    bias, top_bias = _signed(tolerance.bias), _signed(tolerance.top_bias)
    return {
        FAILED: HitTest(tolerance.failed),
        DISTANCE: MeanTest(tolerance.distance / CLIP),
        MOVED: HitTest(tolerance.moved),
        BIAS + UP: MeanTest(bias),
        BIAS + DOWN: MeanTest(bias),
        TOP_LEFT: HitTest(tolerance.top),
        TOP_BIAS + UP: MeanTest(top_bias),
        TOP_BIAS + DOWN: MeanTest(top_bias),
        ORDER: MeanTest(tolerance.order),
    }


def make_slice_tests(name: str, tolerance: PairedTolerance) -> dict[str, SumTest]:
    """The tests of one slice, whose sums have this name."""
    limit = _signed(tolerance.slice)
    failed = HitTest(tolerance.failed)
    return {name + UP: MeanTest(limit), name + DOWN: MeanTest(limit), FAILED_OF + name: failed}


def _signed(tolerance: float) -> float:
    return (tolerance + CLIP) / (2 * CLIP)


def sums_of(test: str, sums: dict[str, Sums]) -> Sums:
    """What a test looks at."""
    if test.endswith(UP):
        return sums.get(test.removesuffix(UP), NO_SUMS)
    if test.endswith(DOWN):
        return mirror(sums.get(test.removesuffix(DOWN), NO_SUMS))
    return sums.get(test, NO_SUMS)


def estimate(test: str, sums: Sums) -> float:
    """The mean of what a test looks at, in its own unit."""
    mean = sums[1] / max(1, sums[0])
    if test.endswith((UP, DOWN)):
        return mean * 2 * CLIP - CLIP
    return mean * CLIP if test == DISTANCE else mean


def format_estimate(test: str, sums: Sums) -> str:
    """What a test found so far: ``+0.71 in 230``."""
    return f"{estimate(test, sums):+.3g} in {sums[0]:,}" if sums[0] else "-"
