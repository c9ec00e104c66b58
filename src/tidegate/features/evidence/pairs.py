"""Paired predictions: from the predictions of both versions on the same requests to sums of values from 0 to 1, which
``judge`` tests. No I/O.

What the values are measured by (the unit, and where the highest 5 % begin) is learned from pairs before the block:
what was chosen by the block itself would spoil the test. The first pairs are the exception. They wait until the unit
is known, which follows from the old version's predictions of them alone, and are counted then: the test asks how far
the new version's predictions lie from given ones, in a unit that follows from the given ones. Where only a few
requests come, again and again, a unit for the time being follows from those few: what they differ by in it says
whether the few may pass, and is no evidence of anything (FEW). Once others come, all wait for a unit.

Predictions of equal requests count once: those of a client that sends one request a thousand times are no thousand
observations. Failures count whenever they come, for the same request may fail now and not the next time. A request
is one observation, however many rows it has, since they may depend on one another: its value is the mean over its
rows. Each further output of a row, and the last row, have tests of their own (parts), for a fault in one of several
must not vanish in their mean."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeGuard

from tidegate.domain.evidence import NO_SUMS, PairedLimits, Sums
from tidegate.domain.pairs import KnownKeys, Pair, PairedRow
from tidegate.features.evidence.units import Unit, learn_unit, narrow_unit
from tidegate.statistics.means import HitTest, MeanTest, NetTest, SumTest, add_sums, mirror

CLIP = 3.0
"""Units as which a larger difference counts: one request must not decide a mean."""
FIRST = 400
"""Pairs from which the unit of amounts is learned at first; they count once it is known. Of normal predictions it is
within 7 % of the final one then (in 95 of 100 tries), of lognormal ones (sigma 0.5) within 12 %; of 50 it was within
22 % and 40 %."""
FEWEST, PATIENCE = 100, 60
"""Pairs from which it is learned where so many blocks have passed before there were FIRST."""
OF_SCORES = 50
"""Pairs from which scores from 0 to 1 are known for such: their unit does not depend on how far they spread."""
OF_MORE_SCORES = 20
"""The same of a further output, where the first one is a score."""
ALL_REPEATED, PER_REPEAT = 50, 20
"""Copies of requests that were compared before, and how many of them for each one that was not, from which on the few
that there are count as all that is asked."""
FEWEST_FOR_TOP = 200
TOP = 0.95
REMEMBERED = 4_000
"""Pairs from which the unit and the highest 5 % are learned."""
LEARNED_AGAIN = 1.1
"""They are learned again when there are this many times the pairs of the last time, or a tenth of REMEMBERED more."""
MOST_MISSING = 1_000
"""Requests that are compared when they come again, as a version failed them or answered them without a number."""
MOST_SLICES = 64
"""Values of all sliced columns that are compared, those that come first; more are not looked at."""
FEW = "few "
"""Before the name of sums: those of all requests so far, where these are few. They take the place of earlier ones."""
PAIRS, DISTANCE, MOVED, BIAS, TOP_LEFT, TOP_BIAS, ORDER = (
    "pairs", "distance", "moved", "bias", "top", "top bias", "order",
)  # fmt: skip
"""Names of sums. PAIRS counts 1 for each copy that was answered and 0 for each that was lost."""
FAILING, UNUSABLE = "failing", "unusable"
"""1 for each pair that the new version alone fails, or answers without a finite number, 0 if the old one alone does,
else 1/2."""
PREFERRED = "old preferred"
"""1 for each pair whose old answer a judge prefers, 0 if it prefers the new one, 1/2 if neither."""
BY_PEOPLE = "old preferred by people"
"""The same of people, corrected by the judge's decisions on pairs that they do not label."""
REPEATED = "repeated"
"""Of copies of requests that came before: 1 for each that was answered and 0 for each that was lost."""
NUMBERLESS = "numberless"
"""Of the pairs that the old version answered: 1 for each whose old answer has no number at all, 0 for each other."""
SPREAD = "spread"
"""How much farther from the middle of the old version's predictions the new one's lie, or nearer to it: trees that
are missing shrink all predictions. Of amounts only."""
OUTPUT, LAST_ROW = "output ", "last row"
"""Parts of an answer with tests of their own: further outputs, the second one is ``output 2``, and the last row."""
MOST_PARTS = 32
"""Parts that are compared, those that come first; more are not looked at."""
SLICE = "slice "
FAILING_OF, UNUSABLE_OF = "failing ", "unusable "
"""Before the name of a slice: the same of its pairs."""
UP, DOWN = " up", " down"


Numbers = list[tuple[float, float]]
"""Old and new values of one output, in the rows of a request."""


@dataclass
class Scale:
    """The scale by which one output is measured. ``known``: the unit is given, and not learned."""

    unit: Unit | None = None
    known: bool = False
    past: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    seen: int = 0
    """Requests whose predictions were remembered."""
    due: int = FIRST
    """Number of them from which on it is learned from them again."""
    middle: float | None = None
    """The median of the old version's amounts, in units; None for scores."""
    single: tuple[float, float] | None = None
    """A request that waits for another one to be ordered with."""

    def learn(self, numbers: Sequence[Numbers], fewest: int, scores: int) -> bool:
        """Learn the unit from these requests and those before them, if that is due. Returns whether it was learned.
        The first ones soon no longer count. ``fewest``: how many the first unit needs, and ``scores`` where
        predictions are such."""
        self.seen += len(numbers)
        for request in numbers:
            self.past.extend(request)
        if not self.past or self.seen < (min(scores, fewest) if self.unit is None else self.due):
            return False
        unit = self.unit if self.known else learn_unit([old for old, _ in self.past])
        if unit is None or (self.unit is None and not unit.logit and self.seen < fewest):
            return False
        if unit != self.unit:
            self.unit, self.single = unit, None
        olds = sorted(old for old, _ in self.past)
        self.middle = None if unit.logit else unit.place(olds[len(olds) // 2])
        self.due = min(math.ceil(LEARNED_AGAIN * self.seen), self.seen + REMEMBERED // 10)
        return True

    def measure_few(self) -> "Scale":
        """Return a scale learned from the few requests so far, however few they are."""
        olds = [old for old, _ in self.past]
        found = Scale(self.unit or learn_unit(olds), past=self.past)
        if found.unit is None:
            found.unit = narrow_unit(olds)
        elif not found.unit.logit:
            found.middle = found.unit.place(sorted(olds)[len(olds) // 2])
        return found

    def order(self, before: str, one: tuple[float, float]) -> Iterator[tuple[str, float]]:
        """Order every second request with the one before it. ``before``: how the name of its sums begins."""
        other, self.single = self.single, one if self.single is None else None
        if other is not None:
            yield before + ORDER, _disorder(other, one)


@dataclass
class _Request:
    """The compared values of one pair: the numbers of each output, and those of the last row."""

    outputs: dict[int, Numbers]
    last: Numbers
    slices: dict[str, Numbers]
    """The first output of the rows of each slice."""


@dataclass
class PairCounter:
    """Counter of the pairs of one variant, block by block. ``slices``: the columns whose values are compared apart.
    ``known``: the units that are known beforehand, keyed by the number of the output."""

    slices: tuple[str, ...] = ()
    known: Mapping[int, Unit] = field(default_factory=dict)
    top: tuple[float, float] | None = None
    """Where the highest 5 % of the old and of the new version begin, in units."""
    scales: dict[int, Scale] = field(default_factory=dict)
    """Keyed by the number of the output."""
    _keys: KnownKeys = field(default_factory=KnownKeys)
    _missing: dict[int, bool] = field(default_factory=dict)
    """By key: requests whose predictions could not be compared so far, and whether the old version answered them."""
    _known: dict[str, str] = field(default_factory=dict)
    """Slices, in the order in which they came, each by its name: requests that wait share that text."""
    _found: dict[str, Sums] = field(default_factory=dict)
    """Sums of the open block."""
    _open: list[_Request] = field(default_factory=list)
    """Requests of the open block."""
    _waiting: deque[_Request] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Those of earlier blocks that no unit was known for."""
    _blocks: int = 0
    """Blocks before there was a unit, since requests were few."""
    _repeated: int = 0
    _asked: dict[str, Sums] = field(default_factory=dict)
    """NUMBERLESS of all blocks."""
    _fresh: bool = False
    """Whether there is more than when the few requests so far were last compared."""
    _few_units: dict[str, float] = field(default_factory=dict)
    """Those of the few requests, to be reported."""
    _units: dict[int, float] = field(default_factory=dict)
    """By output: the unit that was last reported."""

    def __post_init__(self) -> None:
        self.scales = {0: Scale()} | {output: Scale(unit, True) for output, unit in self.known.items()}

    @property
    def unit(self) -> Unit | None:
        return self.scales[0].unit

    def add(self, pairs: Iterable[Pair]) -> None:
        """Count pairs of the open block."""
        for pair in pairs:
            slices = [self._slices(row) for row in pair.row_slices or (pair.slices,)]
            every = dict.fromkeys(chain.from_iterable(slices))
            for name, value in _outcomes(pair):
                _add(self._found, name, value)
                for each in every:
                    _add(self._found, f"{name} {each}", value)
            if not self._is_to_compare(pair):
                continue
            request = _arrange(pair.paired_rows, slices)
            self._open.append(request)
            if self.unit is not None:
                self._measure(request)

    def _is_to_compare(self, pair: Pair) -> bool:
        """Count the request, and return whether its predictions are compared: once, when both versions have answered
        it."""
        found, key = self._found, pair.key
        fresh = self._keys.add(key)
        if fresh:
            _add(found, PAIRS, 0.0 if pair.lost else 1.0)
        else:
            self._repeated += not pair.lost
            _add(found, REPEATED, 0.0 if pair.lost else 1.0)
            if key not in self._missing:
                return False
        answered = self._missing.pop(key, False)
        if not (answered or pair.old_failed):
            for sums in (found, self._asked):
                _add(sums, NUMBERLESS, float(_has_no_number(pair)))
        if _is_usable(pair.old) and _is_usable(pair.new):
            return True
        if key and len(self._missing) < MOST_MISSING:
            self._missing[key] = answered or not pair.old_failed
        return False

    def close(self) -> dict[str, Sums]:
        """End the block and return its sums. The next block is measured by what was learned from this one, too."""
        opened, self._open = self._open, []
        if self.unit is None:
            self._waiting += opened
            self._begin(opened)
        else:
            self._learn(opened, FIRST)
        found, self._found = self._found, {}
        return found

    def take_units(self) -> dict[str, float]:
        """Return the size of one unit of each amount whose unit has changed since it was last reported: by part, the
        first output by no name, and after FEW that of the few requests so far."""
        now = {
            output: one.unit.size
            for output, one in self.scales.items()
            if one.unit is not None and not one.unit.logit and self._units.get(output) != one.unit.size
        }
        self._units |= now
        few, self._few_units = self._few_units, {}
        return few | {_name_part(output): size for output, size in now.items()}

    def count(self, pairs: Iterable[Pair]) -> dict[str, Sums]:
        """Return the sums of a block that has these pairs."""
        self.add(pairs)
        return self.close()

    def _begin(self, opened: Sequence[_Request]) -> None:
        """Learn the unit, if there are pairs enough, and count those that waited for it."""
        self._blocks += 1
        self._learn(opened, FEWEST if self._blocks >= PATIENCE else FIRST)
        if self.unit is None:
            self._compare_few(opened)
            return
        for request in self._waiting:
            self._measure(request)
        self._waiting.clear()

    def _compare_few(self, opened: Sequence[_Request]) -> None:
        """Compare all requests so far once more, where they are few and not the same as the last time."""
        fresh, few = bool(opened) or PAIRS in self._found or NUMBERLESS in self._found, len(self._waiting)
        self._fresh = self._fresh or fresh
        enough = self._repeated >= max(ALL_REPEATED, PER_REPEAT * few)
        if enough and few < FEWEST:
            self._blocks = 0
        if not (self._fresh and enough and few) or (fresh and few >= FEWEST):
            return
        self._fresh, trial = False, PairCounter(self.slices)
        trial.scales = {output: one.measure_few() for output, one in self.scales.items() if one.past}
        for request in self._waiting:
            trial._measure(request)
        self._few_units = {FEW + part: size for part, size in trial.take_units().items()}
        self._found |= {FEW + name: one for name, one in (trial._found | self._asked).items()}

    def _learn(self, requests: Sequence[_Request], fewest: int) -> None:
        for output in {output: None for request in requests for output in request.outputs}:
            if output not in self.scales and len(self.scales) <= MOST_PARTS:
                self.scales[output] = Scale()
        for output, scale in self.scales.items():
            before = scale.unit
            scores = OF_MORE_SCORES if output and self._are_scores() else OF_SCORES
            if not scale.learn([one.outputs[output] for one in requests if output in one.outputs], fewest, scores):
                continue
            if output == 0:
                self._learn_top(scale, scale.unit != before)

    def _are_scores(self) -> bool:
        """Whether the first output is a score from 0 to 1, as further ones are then."""
        return self.unit is not None and self.unit.logit

    def _learn_top(self, scale: Scale, other_unit: bool) -> None:
        if other_unit:
            self.top = None
        if scale.unit is not None and len(scale.past) >= FEWEST_FOR_TOP:
            olds, news = [old for old, _ in scale.past], [new for _, new in scale.past]
            self.top = _quantile(olds, scale.unit), _quantile(news, scale.unit)

    def _measure(self, request: _Request) -> None:
        for output, numbers in request.outputs.items():
            scale = self.scales.get(output)
            if scale is None or scale.unit is None:
                continue
            placed = _place(scale.unit, numbers)
            before = f"{_name_part(output)} " if output else ""
            for name, value in chain(
                _differences(before, placed, scale.middle),
                scale.order(before, placed[0]),
                () if output else self._values(scale, scale.unit, placed, request),
            ):
                _add(self._found, name, value)

    def _values(
        self, scale: Scale, unit: Unit, placed: Sequence[tuple[float, float]], request: _Request
    ) -> Iterator[tuple[str, float]]:
        """Yield the values of what is compared for the first output alone: its highest scores, the last row and
        slices."""
        if self.top is not None and (highest := [one for one in placed if one[0] >= self.top[0]]):
            yield TOP_LEFT, sum(after < self.top[1] for _, after in highest) / len(highest)
            yield TOP_BIAS, _mean_signed(highest)
        if request.last:
            yield from _differences(f"{LAST_ROW} ", _place(unit, request.last), scale.middle)
        for name, numbers in request.slices.items():
            yield name, _mean_signed(_place(unit, numbers))

    def _slices(self, values: Iterable[tuple[str, str]]) -> list[str]:
        """Return the names of the slices that a row belongs to."""
        found = []
        for column, value in values:
            name = _name_slice(column, value)
            if column not in self.slices or (name not in self._known and len(self._known) >= MOST_SLICES):
                continue
            found.append(self._known.setdefault(name, name))
        return found


def _has_no_number(pair: Pair) -> bool:
    return all(old is None for row in pair.paired_rows for _, old, _ in row)


def _arrange(rows: Sequence[PairedRow], slices: Sequence[list[str]]) -> _Request:
    """Arrange the rows of a pair as a request. Numbers that either version lacks are left out; other counts show
    whether that is a difference."""
    outputs: dict[int, Numbers] = {}
    firsts = list[Numbers]()
    for row in rows:
        firsts.append([])
        for output, old, new in row:
            if old is not None and new is not None and math.isfinite(old) and math.isfinite(new):
                outputs.setdefault(output, []).append((old, new))
                if output == 0:
                    firsts[-1].append((old, new))
    last = firsts[-1] if len(rows) > 1 else []
    sliced: dict[str, Numbers] = {}
    if len(slices) != len(rows):
        slices, firsts = slices[:1], firsts[:1]
    for names, first in zip(slices, firsts, strict=True):
        for name in names if first else ():
            sliced.setdefault(name, []).extend(first)
    return _Request(outputs, last, sliced)


def _place(unit: Unit, numbers: Numbers) -> list[tuple[float, float]]:
    return [(unit.place(old), unit.place(new)) for old, new in numbers]


def _differences(
    before: str, placed: Sequence[tuple[float, float]], middle: float | None
) -> Iterator[tuple[str, float]]:
    """Yield the means over the rows of a request, by the names of their sums."""
    apart = [abs(_clip_difference(one)) for one in placed]
    yield before + DISTANCE, sum(apart) / len(apart) / CLIP
    yield before + MOVED, sum(one > 1 for one in apart) / len(apart)
    yield before + BIAS, _mean_signed(placed)
    if middle is not None:
        yield before + SPREAD, _mean_signed([(abs(old - middle), abs(new - middle)) for old, new in placed])


def _clip_difference(one: tuple[float, float]) -> float:
    return min(max(one[1] - one[0], -CLIP), CLIP)


def _mean_signed(placed: Sequence[tuple[float, float]]) -> float:
    return sum((_clip_difference(one) + CLIP) / (2 * CLIP) for one in placed) / len(placed)


def _name_part(output: int) -> str:
    """Return the name of an output; the first one has none."""
    return f"{OUTPUT}{output + 1}" if output else ""


def _outcomes(pair: Pair) -> Iterator[tuple[str, float]]:
    """Yield the outcomes of a pair in both versions: whether one failed or answered nothing usable. A lost copy
    yields nothing, since its outcome is unknown."""
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
    """Return 1 if the versions put two requests in opposite orders, 0 if in the same one, 1/2 if only one of them
    does."""
    before, after = one[0] - other[0], one[1] - other[1]
    if before == 0 or after == 0:
        return 0.0 if before == after else 0.5
    return float((before > 0) != (after > 0))


def _add(found: dict[str, Sums], name: str, value: float) -> None:
    found[name] = add_sums(found.get(name, NO_SUMS), (1, value, value * value))


def make_pair_tests(tolerance: PairedLimits, amounts: bool = False) -> dict[str, SumTest]:
    """Make the tests of all pairs, by name."""
    more = _both_sides(SPREAD, tolerance.bias) if amounts else {}
    bias, top_bias = _map_tolerance(tolerance.bias), _map_tolerance(tolerance.top_bias)
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
        **more,
    }


def make_part_tests(part: str, tolerance: PairedLimits, amounts: bool) -> dict[str, SumTest]:
    """Make the tests of a further output, or of the last row."""
    more = _both_sides(f"{part} {SPREAD}", tolerance.bias) if amounts else {}
    return {
        f"{part} {DISTANCE}": MeanTest(tolerance.distance / CLIP),
        f"{part} {MOVED}": HitTest(tolerance.moved),
        **_both_sides(f"{part} {BIAS}", tolerance.bias),
        **({} if part == LAST_ROW else {f"{part} {ORDER}": MeanTest(tolerance.order)}),
        **more,
    }


def _both_sides(name: str, tolerance: float) -> dict[str, SumTest]:
    limit = _map_tolerance(tolerance)
    return {name + UP: MeanTest(limit), name + DOWN: MeanTest(limit)}


def make_slice_tests(name: str, tolerance: PairedLimits) -> dict[str, SumTest]:
    """Make the tests of one slice, whose sums have this name."""
    limit = _map_tolerance(tolerance.slice)
    failed = NetTest(tolerance.failed)
    net: dict[str, SumTest] = {FAILING_OF + name: failed, UNUSABLE_OF + name: failed}
    return {name + UP: MeanTest(limit), name + DOWN: MeanTest(limit), **net}


def _map_tolerance(tolerance: float) -> float:
    return (tolerance + CLIP) / (2 * CLIP)


def _name_slice(column: str, value: str) -> str:
    """Return the name of a slice's sums. The first = that no backslash precedes ends the column, so no two slices
    have the same; the value, which a client chose, comes last as it is."""
    escaped = column.replace("\\", "\\\\").replace("=", "\\=")
    return f"{SLICE}{escaped}={value}"


def split_test(test: str) -> tuple[str, str]:
    """Return the name of the sums that a test uses, and its direction: UP, DOWN or none. Only how a name begins says
    of what kind it is: a slice's value ends as a client likes."""
    if not is_net(test):
        for direction in (UP, DOWN):
            if test.endswith(direction):
                return test.removesuffix(direction), direction
    return test, ""


def is_net(test: str) -> bool:
    """Whether a test compares what goes wrong on one version only, or is preferred of one version."""
    return test in (FAILING, UNUSABLE, PREFERRED, BY_PEOPLE) or test.startswith((FAILING_OF, UNUSABLE_OF))


def is_part(test: str) -> bool:
    """Whether a test uses some of the pairs, or of their numbers, only: those of a slice, of a further output or of
    the last row, the highest 5 %, every second one."""
    part, name = split_part(test)
    return bool(part) or name in (TOP_LEFT, TOP_BIAS, ORDER) or name.startswith((SLICE, FAILING_OF, UNUSABLE_OF))


def centre_of(test: str) -> float:
    """Return the mean of a test's values where the versions do not differ."""
    return 0.5 if is_net(test) or split_test(test)[1] else 0.0


def split_part(test: str) -> tuple[str, str]:
    """Return the part that a test uses, empty for the whole, and its statistic."""
    name = split_test(test)[0]
    for statistic in (DISTANCE, MOVED, BIAS, ORDER, SPREAD):
        part = name.removesuffix(f" {statistic}")
        if part != name and (part == LAST_ROW or part.startswith(OUTPUT)):
            return part, statistic
    return "", name


def sums_of(test: str, sums: dict[str, Sums]) -> Sums:
    """Return the sums that a test uses, mirrored for a test of the direction DOWN."""
    name, direction = split_test(test)
    found = sums.get(name, NO_SUMS)
    return mirror(found) if direction == DOWN else found


def estimate(test: str, sums: Sums) -> float:
    """Return the mean of a test's values, in its own unit."""
    mean = sums[1] / max(1, sums[0])
    return scale(test, mean)


def scale(test: str, mean: float) -> float:
    """Convert the mean of values from 0 to 1 to the unit of a test."""
    if is_net(test):
        return 2 * mean - 1
    if split_test(test)[1]:
        return mean * 2 * CLIP - CLIP
    return mean * CLIP if split_part(test)[1] == DISTANCE else mean


def format_estimate(test: str, sums: Sums) -> str:
    """Format the estimate of a test with its number of values: ``+0.71 in 230``; ``-`` without any."""
    return f"{estimate(test, sums):+.3g} in {sums[0]:,}" if sums[0] else "-"
