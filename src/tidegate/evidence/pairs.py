"""Paired predictions: from the predictions of both versions on the same requests to sums of values from 0 to 1, which
``judge`` tests. No I/O.

What the values are measured by (the unit, and where the highest 5 % begin) is learned from pairs before the block:
what was chosen by the block itself would spoil the test. Equal requests count once: those of a client that sends one
request a thousand times are no thousand observations."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from tidegate.domain.evidence import NO_SUMS, PairedTolerance, Sums
from tidegate.domain.pairs import Pair
from tidegate.evidence.known_keys import KnownKeys
from tidegate.evidence.means import HitTest, MeanTest, NetTest, SumTest, add_sums, mirror
from tidegate.evidence.units import Unit, learn_unit

CLIP = 3.0
"""Units as which a larger difference counts: one request must not decide a mean."""
FEWEST = 50
"""Pairs before the first one that counts: the unit is learned from them."""
FEWEST_FOR_TOP = 200
TOP = 0.95
REMEMBERED = 4_000
"""Pairs from which the unit and the highest 5 % are learned."""
LEARNED_AGAIN = 1.1
"""They are learned again when there are this many times the pairs of the last time, or a tenth of REMEMBERED more."""
MOST_SLICES = 64
"""Values of all sliced columns that are compared, those that come first; more are not looked at."""
PAIRS, DISTANCE, MOVED, BIAS, TOP_LEFT, TOP_BIAS, ORDER = (
    "pairs", "distance", "moved", "bias", "top", "top bias", "order",
)  # fmt: skip
"""Names of sums. PAIRS counts 1 for each copy that was answered and 0 for each that was lost."""
FAILING, UNUSABLE = "failing", "unusable"
"""1 for each pair that the new version alone fails, or answers without a finite number, 0 if the old one alone does,
else 1/2."""
SLICE = "slice "
FAILING_OF, UNUSABLE_OF = "failing ", "unusable "
"""Before the name of a slice: the same of its pairs."""
UP, DOWN = " up", " down"


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
    _seen: int = 0
    """Pairs whose predictions were remembered."""
    _due: int = FEWEST
    """Number of them from which on it is learned from them again."""
    _found: dict[str, Sums] = field(default_factory=dict)
    """Sums of the open block."""
    _predictions: list[tuple[float, float]] = field(default_factory=list)
    """Of the open block."""

    def add(self, pairs: Iterable[Pair]) -> None:
        """Count pairs of the open block."""
        found = self._found
        for pair in pairs:
            if not self._keys.add(pair.key):
                continue
            old, new = pair.old, pair.new
            slices = self._slices(pair.slices)
            _add(found, PAIRS, 0.0 if pair.lost else 1.0)
            for name, value in _outcomes(pair):
                _add(found, name, value)
                for each in slices:
                    _add(found, f"{name} {each}", value)
            if not (_is_usable(old) and _is_usable(new)):
                continue
            self._predictions.append((old, new))
            if self.unit is not None:
                for name, value in self._values(self.unit, old, new, slices):
                    _add(found, name, value)

    def close(self) -> dict[str, Sums]:
        """The sums of the block, which ends. The next one is measured by what was learned from this one, too."""
        found, self._found = self._found, {}
        predictions, self._predictions = self._predictions, []
        self._learn(predictions)
        return found

    def count(self, pairs: Iterable[Pair]) -> dict[str, Sums]:
        """The sums of a block that has these pairs."""
        self.add(pairs)
        return self.close()

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
            name = name_slice(column, value)
            if column not in self.slices or (name not in self._known and len(self._known) >= MOST_SLICES):
                continue
            self._known[name] = None
            found.append(name)
        return found

    def _learn(self, predictions: Sequence[tuple[float, float]]) -> None:
        """Learn from a block, and from those before it, what the following ones are measured by. What the first pairs
        were is soon of no account."""
        self._past.extend(predictions)
        self._seen += len(predictions)
        if self._seen < self._due:
            return
        old = [before for before, _ in self._past]
        unit = learn_unit(old)
        if unit is None:
            return
        if unit != self.unit:
            self.unit, self._single, self.top = unit, None, None
        if len(old) >= FEWEST_FOR_TOP:
            self.top = _quantile(old, unit), _quantile([after for _, after in self._past], unit)
        self._due = min(math.ceil(LEARNED_AGAIN * self._seen), self._seen + REMEMBERED // 10)


def _outcomes(pair: Pair) -> Iterator[tuple[str, float]]:
    """What became of a pair in both versions: nothing is known of a copy that was lost."""
    if pair.lost:
        return
    yield FAILING, _net(pair.old_failed, pair.failed)
    if not pair.old_failed and not pair.failed:
        yield UNUSABLE, _net(not _is_usable(pair.old), not _is_usable(pair.new))


def _net(old: bool, new: bool) -> float:
    return (1 + new - old) / 2


def _is_usable(prediction: float | None) -> TypeGuard[float]:
    return prediction is not None and math.isfinite(prediction)


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
        FAILING: NetTest(tolerance.failed),
        UNUSABLE: NetTest(tolerance.failed),
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
    failed = NetTest(tolerance.failed)
    net: dict[str, SumTest] = {FAILING_OF + name: failed, UNUSABLE_OF + name: failed}
    return {name + UP: MeanTest(limit), name + DOWN: MeanTest(limit), **net}


def _signed(tolerance: float) -> float:
    return (tolerance + CLIP) / (2 * CLIP)


def name_slice(column: str, value: str) -> str:
    """The name of a slice's sums. The first = that no backslash precedes ends the column, so no two slices have the
    same; the value, which a client chose, comes last as it is."""
    escaped = column.replace("\\", "\\\\").replace("=", "\\=")
    return f"{SLICE}{escaped}={value}"


def split_test(test: str) -> tuple[str, str]:
    """The name of the sums that a test looks at, and its direction: UP, DOWN or none. Only how a name begins says of
    what kind it is: a slice's value ends as a client likes."""
    if not is_net(test):
        for direction in (UP, DOWN):
            if test.endswith(direction):
                return test.removesuffix(direction), direction
    return test, ""


def is_net(test: str) -> bool:
    """Whether a test compares what goes wrong on one version only."""
    return test in (FAILING, UNUSABLE) or test.startswith((FAILING_OF, UNUSABLE_OF))


def is_part(test: str) -> bool:
    """Whether a test looks at some of the pairs only: those of a slice, the highest 5 %, every second one."""
    name = split_test(test)[0]
    return name in (TOP_LEFT, TOP_BIAS, ORDER) or name.startswith((SLICE, FAILING_OF, UNUSABLE_OF))


def centre_of(test: str) -> float:
    """The mean of what a test looks at where the versions do not differ."""
    return 0.5 if is_net(test) or split_test(test)[1] else 0.0


def sums_of(test: str, sums: dict[str, Sums]) -> Sums:
    """What a test looks at."""
    name, direction = split_test(test)
    found = sums.get(name, NO_SUMS)
    return mirror(found) if direction == DOWN else found


def estimate(test: str, sums: Sums) -> float:
    """The mean of what a test looks at, in its own unit."""
    mean = sums[1] / max(1, sums[0])
    return scale(test, mean)


def scale(test: str, mean: float) -> float:
    """The mean of values from 0 to 1 in the unit of a test."""
    if is_net(test):
        return 2 * mean - 1
    if split_test(test)[1]:
        return mean * 2 * CLIP - CLIP
    return mean * CLIP if test == DISTANCE else mean


def format_estimate(test: str, sums: Sums) -> str:
    """What a test found so far: ``+0.71 in 230``."""
    return f"{estimate(test, sums):+.3g} in {sums[0]:,}" if sums[0] else "-"
