"""Collect counts by the second in blocks, and give the verdict on a rollout from those. No I/O; the caller gives the
time.

Counts of a second may come in several reports. A block is closed once every report of its seconds is in
(``advance``). Counts that come later are ignored, because a verdict that has been given is not taken back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from tidegate.domain.evidence import (
    ALL_COUNTED,
    Comparison,
    Counts,
    DifferingRow,
    EvidenceBlock,
    EvidenceConfig,
    Preference,
    Sums,
    Uncounted,
    Verdict,
)
from tidegate.domain.pairs import Pair
from tidegate.domain.replay import ReplayResult
from tidegate.domain.text_answers import TextAnswer
from tidegate.features.evidence.block_widths import BlockWidths
from tidegate.features.evidence.comparisons import SideCounts, add_sides, count_block, find_thresholds
from tidegate.features.evidence.differing_rows import choose_rows, find_row
from tidegate.features.evidence.features import MOST_COLUMNS, FeatureCounter
from tidegate.features.evidence.judge import EvidenceState, begin, fold, judge, tested
from tidegate.features.evidence.judging import add_all
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.evidence.pairs import PairCounter
from tidegate.features.evidence.texts import count_texts
from tidegate.features.evidence.units import Unit

MOST_VALUES = 20_000
"""Values of columns that are compared at once (some tens of milliseconds)."""
NOTHING = SideCounts()
MOST_PENDING = 600
"""Seconds that wait for their reports; beyond that the oldest one counts as late."""


@dataclass
class PairCounters:
    predictions: PairCounter | None
    features: FeatureCounter | None

    @classmethod
    def begin(cls, config: EvidenceConfig, known: Mapping[int, Unit] | None = None) -> "PairCounters":
        """Make the counters that the comparisons need. ``known``: the units of predictions that are known
        beforehand, keyed by the number of the output."""
        paired, features = Comparison.PAIRED in config.compare, Comparison.FEATURES in config.compare
        return cls(
            PairCounter(config.slices, known or {}) if paired else None,
            FeatureCounter(config.features) if features else None,
        )

    def add(self, pairs: Sequence[Pair], most: int = MOST_VALUES) -> int:
        """Count pairs of the open block, as they arrive. ``most``: values of columns that may be compared; pairs
        beyond count as if their stages had not been asked for. Returns how many were compared."""
        if self.predictions is not None:
            self.predictions.add(pairs)
        return 0 if self.features is None else _add_rows(self.features, pairs, most)

    def close(self, variant: str) -> dict[str, Sums]:
        """End the block and return its sums by their keys in it."""
        found: dict[str, Sums] = {}
        if self.predictions is not None:
            sums = self.predictions.close()
            found |= {pair_key(variant, Comparison.PAIRED, name): one for name, one in sums.items()}
        if self.features is not None:
            sums = self.features.close()
            found |= {pair_key(variant, Comparison.FEATURES, name): one for name, one in sums.items()}
        return found

    def take_units(self, variant: str) -> dict[str, float]:
        """Return the sizes of new units of predictions, by their keys in the block that has been closed last."""
        units = {} if self.predictions is None else self.predictions.take_units()
        return {pair_key(variant, Comparison.PAIRED, part): size for part, size in units.items()}

    def count(self, variant: str, pairs: Sequence[Pair]) -> dict[str, Sums]:
        """Return the sums of a block that has these pairs."""
        self.add(pairs)
        return self.close(variant)


def _add_rows(counter: FeatureCounter, pairs: Iterable[Pair], most: int) -> int:
    """Count the columns of pairs, up to ``most`` values. Which pairs are counted follows from how wide they are and
    when they came, and not from what they hold. Returns how many values were compared."""
    compared, taken = 0, list[Pair]()
    for pair in pairs:
        if pair.traced and compared < most:
            compared += sum(min(len(row.names), MOST_COLUMNS) for row in pair.features)
            taken.append(pair)
    counter.add(taken)
    return compared


KNOWN_FOR = 10
"""Seconds for which requests in progress are believed to be so many: later nobody knows what became of them."""


class Side(IntEnum):
    OLD = 0
    NEW = 1


Sides = tuple[SideCounts, SideCounts]
"""Counts of the old and of the new version."""


@dataclass
class _OpenBlock:
    """A block that is being filled. ``thresholds`` were set when it began."""

    at: int
    width: int
    stage: int
    thresholds: dict[str, dict[str, tuple[float, float]]]
    """By variant."""
    counted: dict[str, Sides] = field(default_factory=dict)
    paired: dict[str, None] = field(default_factory=dict)
    """Variants that had pairs."""
    judged: dict[str, Sums] = field(default_factory=dict)
    """Sums of what a judge decided, by key."""
    preferences: tuple[Preference, ...] = ()
    rows: tuple[DifferingRow, ...] = ()
    """Requests on which the versions differ most, those of earlier blocks included."""


@dataclass
class EvidenceLedger:
    """The counts and blocks of one rollout. Seconds are epoch seconds. ``through``: those before it are in blocks, or
    in the open one."""

    config: EvidenceConfig
    variants: tuple[str, ...]
    through: int
    blocks: dict[str, EvidenceBlock] = field(default_factory=dict)
    late: int = 0
    beside: Uncounted = ALL_COUNTED
    """Requests of reports that came too late for a block, and whether any were lost."""
    running: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By variant: the last second of which that is known, and the requests that the new version had in progress."""
    unusable: tuple[int, int] = (0, 0)
    thresholds: dict[str, tuple[float, float]] = field(default_factory=dict)
    units: dict[str, dict[int, Unit]] = field(default_factory=dict)
    """By variant and number of the output: the units of predictions that are known beforehand."""
    widest_report: int = 1
    """Seconds of the longest span that a report is on; no block is shorter."""
    share_at: Callable[[int, int], int | None] = lambda at, seconds: None
    """The share of the requests that the new version should have in a whole span, its first second and its length
    given; None: it changed, or was not in force."""
    replayed: Mapping[str, ReplayResult] = field(default_factory=dict)
    """By variant: the labelled rows that an assurance rests on."""
    _state: EvidenceState = field(init=False)
    _stages: list[tuple[int, int]] = field(init=False)
    """Each stage with its first second, oldest first."""
    _pending: dict[int, dict[str, Sides]] = field(default_factory=dict)
    _past: dict[str, SideCounts] = field(default_factory=dict)
    """By variant: what the old version did before the open block."""
    _open: _OpenBlock | None = None
    _pairs: dict[int, dict[str, list[Pair]]] = field(default_factory=dict)
    """Pairs of the seconds that are pending."""
    _texts: dict[int, list[tuple[Side, str, TextAnswer]]] = field(default_factory=dict)
    """Texts of the seconds that are pending."""
    _judged: dict[int, dict[str, Sums]] = field(default_factory=dict)
    """What a judge decided in the seconds that are pending, by key."""
    _preferences: dict[int, tuple[Preference, ...]] = field(default_factory=dict)
    """Labels of people that came in the seconds that are pending."""
    _settled: dict[int, int] = field(default_factory=dict)
    """By stage: the second since when the shares stand still in it."""
    _pair_counters: dict[str, PairCounters] = field(default_factory=dict)
    _widths: BlockWidths = field(default_factory=BlockWidths)
    _values_left: int = MOST_VALUES
    """Values of columns that this turn may still compare."""

    def __post_init__(self) -> None:
        self._state = begin(self.config, self.variants)
        self._stages = [(0, self.through)]

    def resume(self, blocks: Iterable[EvidenceBlock]) -> None:
        """Take over blocks that were closed earlier."""
        for block in sorted(blocks, key=lambda one: one.at):
            self._close(block)
            self.through = max(self.through, block.at + block.seconds)
        for waiting in (self._pending, self._pairs, self._texts):  # counted twice otherwise
            for second in [one for one in waiting if one < self.through]:
                del waiting[second]

    def note_loss(self, why: str) -> None:
        """Note that some of the new version's requests were not counted. ``why``: as in ``Uncounted``."""
        if not self.beside.lost:
            self.beside = replace(self.beside, lost=True, why=why)

    def add(self, second: int, side: Side, variant: str, counts: SideCounts) -> None:
        """Take a report on one second."""
        if variant not in self.variants:
            return
        if second < self.through:
            self.late += 1
            if side is Side.NEW:
                self.beside = _add_requests(self.beside, counts)
            return
        if second not in self._pending and len(self._pending) >= MOST_PENDING:
            oldest = min(self._pending)
            del self._pending[oldest]
            self.note_loss("too many of its reports are missing")
            self._pairs.pop(oldest, None)
            self._texts.pop(oldest, None)
            self._judged.pop(oldest, None)
            self.add_preferences(second, self._preferences.pop(oldest, ()))
            self.late += 1
        sides = self._pending.setdefault(second, {})
        sides[variant] = _added(sides.get(variant, (NOTHING, NOTHING)), side, counts)

    def add_pairs(self, second: int, variant: str, pairs: Iterable[Pair]) -> None:
        """Take requests of one second that both versions answered."""
        if variant in self.variants and second >= self.through:
            self._pending.setdefault(second, {})
            self._pairs.setdefault(second, {}).setdefault(variant, []).extend(pairs)

    def add_texts(self, second: int, side: Side, variant: str, texts: Iterable[TextAnswer]) -> None:
        """Take texts that were answered in one second."""
        wanted = Comparison.TEXT in self.config.compare and variant in self.variants
        if wanted and second >= self.through:
            self._pending.setdefault(second, {})
            self._texts.setdefault(second, []).extend((side, variant, one) for one in texts)

    def add_judged(self, second: int, variant: str, sums: Mapping[str, Sums]) -> None:
        """Take what a judge decided in one second."""
        second = max(second, self.through)
        self._pending.setdefault(second, {})
        keyed = {pair_key(variant, Comparison.JUDGE, name): one for name, one in sums.items()}
        self._judged[second] = add_all(self._judged.get(second, {}), keyed)

    def add_preferences(self, second: int, labels: Iterable[Preference]) -> None:
        """Take labels of people that came in one second, in the order in which their pairs were judged."""
        second = max(second, self.through)
        self._pending.setdefault(second, {})
        self._preferences[second] = (*self._preferences.get(second, ()), *labels)

    def settle(self, stage: int, since: int) -> None:
        """Note that the shares stand still in this stage since this second. Only texts whose requests came after it
        count: a version that has just begun has answered only what it answers quickly, while the other version has
        also answered long requests from before."""
        self._settled.setdefault(stage, since)

    def enter(self, stage: int, since: int) -> None:
        """Note that the rollout is in this stage since this second."""
        if self._stages[-1][0] != stage:
            self._stages.append((stage, since))

    def advance(self, through: int) -> None:
        """Count the seconds before ``through``, of which every report is in. Pairs are counted as they come, and not
        when their block ends, and of columns not more than can be compared at once: everything else waits
        meanwhile."""
        self._values_left = MOST_VALUES
        for second in sorted(one for one in self._pending if one < through):
            self._count(second, self._pending.pop(second))
        self.through = max(self.through, through)
        if self._open is not None and self._open.at + self._open.width <= self.through:
            self._finish()

    @property
    def uncounted(self) -> Uncounted:
        """Requests to the new version that no block has."""
        if self.config.assure is None:
            return ALL_COUNTED
        stale = any(count and second < self.through - KNOWN_FOR for second, count in self.running.values())
        running = sum(count for _, count in self.running.values())
        found = replace(self.beside, running=running)
        if stale and not found.lost:
            found = replace(found, lost=True, why="its requests in progress are not reported any more")
        for sides in () if self._open is None else self._open.counted.values():
            found = _add_requests(found, sides[Side.NEW])
        return found

    @property
    def verdict(self) -> Verdict:
        """Verdict on the newest stage."""
        state, stage = self._state, self._stages[-1][0]
        if state.stage != stage:
            state = fold(state, EvidenceBlock(0, 0, stage, {}))
        return judge(state, self.replayed, self.through, self.uncounted)

    def _count(self, second: int, sides: dict[str, Sides]) -> None:
        stage, since = self._stage_at(second)
        block = self._open
        if block is not None and (second >= block.at + block.width or stage != block.stage):
            self._finish(second)
        if self._open is None:
            width = max(self.widest_report, self._widths.width(stage, second - since))
            self._open = _OpenBlock(second, width, stage, self._find_thresholds())
        for variant, (old, new) in sides.items():
            counted = self._open.counted.get(variant, (NOTHING, NOTHING))
            self._open.counted[variant] = _added(_added(counted, Side.OLD, old), Side.NEW, new)
        for variant, pairs in self._pairs.pop(second, {}).items():
            self._open.paired[variant] = None
            counters = self._pair_counters.setdefault(
                variant, PairCounters.begin(self.config, self.units.get(variant))
            )
            self._values_left -= counters.add(pairs, self._values_left)
            rows = (row for pair in pairs if (row := find_row(variant, pair)) is not None)
            self._open.rows = choose_rows((*self._state.rows, *self._open.rows, *rows))
        self._open.judged = add_all(self._open.judged, self._judged.pop(second, {}))
        self._open.preferences += self._preferences.pop(second, ())
        self._count_texts(self._open, self._texts.pop(second, ()))

    def _count_texts(self, block: _OpenBlock, texts: Iterable[tuple[Side, str, TextAnswer]]) -> None:
        settled = self._settled.get(block.stage)
        if settled is None:
            return
        groups: dict[tuple[Side, str], list[TextAnswer]] = {}
        for side, variant, one in texts:
            if one.began >= settled * 1_000_000:
                groups.setdefault((side, variant), []).append(one)
        for (side, variant), some in groups.items():
            counted = block.counted.get(variant, (NOTHING, NOTHING))
            block.counted[variant] = _added(counted, side, SideCounts(texts=count_texts(some)))

    def same_stage(self, one: int, other: int) -> bool:
        """Whether two seconds belong to the same stage."""
        return self._stage_at(one) == self._stage_at(other)

    def _stage_at(self, second: int) -> tuple[int, int]:
        """Return the stage of a second, and its first second."""
        return next((one for one in reversed(self._stages) if one[1] <= second), self._stages[0])

    def _find_thresholds(self) -> dict[str, dict[str, tuple[float, float]]]:
        past = {variant: self._past.get(variant, NOTHING) for variant in self.variants}
        found = {variant: find_thresholds(variant, self.config, one) for variant, one in past.items()}
        self.thresholds = {key: both for each in found.values() for key, both in each.items()}
        return found

    def _finish(self, until: int | None = None) -> None:
        """Close the open block. ``until``: a second that does not belong to it, because its stage is another one."""
        block, self._open = self._open, None
        assert block is not None
        counts: dict[str, Counts] = {}
        for variant, (old, new) in block.counted.items():
            counts |= count_block(variant, self.config, block.thresholds[variant], old, new)
            self._past[variant] = add_sides(self._past.get(variant, NOTHING), _usual_counts(old))
            self.unusable = (self.unusable[0] + old.unusable, self.unusable[1] + new.unusable)
        sums = dict(block.judged)
        units: dict[str, float] = {}
        for variant in block.paired:
            sums |= self._pair_counters[variant].close(variant)
            units |= self._pair_counters[variant].take_units(variant)
        if counts or sums or block.preferences:
            # Whoever takes over counts what follows: a block that was cut short must not claim it.
            width = block.width if until is None else min(block.width, until - block.at)
            share = None if self.config.assure is None else self.share_at(block.at, width)
            rows = tuple(one for one in block.rows if one not in self._state.rows)
            found = (block.at, width, block.stage, counts, sums, units, share, rows, block.preferences)
            self._close(EvidenceBlock(*found))

    def _close(self, block: EvidenceBlock) -> None:
        self.blocks[str(block.at)] = block
        self._state = fold(self._state, block)
        self._widths = self._widths.after(block.stage, tested(self._state, block))


def _usual_counts(old: SideCounts) -> SideCounts:
    """Return the counts that thresholds are learned from. Refusals are left out: workers name their own lists of
    phrases, which must not accumulate."""
    return replace(old, requests=0, failed=0, texts=replace(old.texts, refusals={}))


def _add_requests(found: Uncounted, counts: SideCounts) -> Uncounted:
    requests, failures = found.requests + counts.requests, found.failures + counts.failed
    return replace(found, requests=requests, failures=failures)


def _added(sides: Sides, side: Side, counts: SideCounts) -> Sides:
    old, new = sides
    return (add_sides(old, counts), new) if side is Side.OLD else (old, add_sides(new, counts))
