"""Request statistics of a worker, per second, kept for three minutes for the metrics collector.

Counting appends a tuple; tuples are aggregated into seconds and bins when a reader comes, or once enough of them have
accumulated: by ``fold``, which the server calls after it has sent an answer, since it takes as long as some requests.
A second is visible once it is over and does not change afterwards, so a reader that asks for the seconds after the
last one it saw counts every request once. If the clock is set back, new seconds replace those that were read.

Values are limited to a finite range here: JSON has no infinity, and one would spoil every sum.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

import msgspec

from tidegate.domain.surrogates import replace_all_surrogates
from tidegate.domain.worker_stats import (
    KEPT_SECONDS,
    MOST_PAIRS,
    MOST_SERIES,
    MOST_TEXTS,
    PATH,
    PairRow,
    SecondRow,
    SpreadRow,
    StatsPage,
    TextRow,
)
from tidegate.monitoring import finite, sketch
from tidegate.serving.contract.invocation import Note
from tidegate.serving.front.activity_mark import ActivityMark
from tidegate.serving.front.failure_messages import FailureMessages

STATS_PATH = PATH.encode()
_FOLD_AT = 256
"""Tuples and measurements: few enough not to block for long when they are aggregated, many enough to be cheap."""
_MOST = 4 * _FOLD_AT
"""Tuples and measurements at which nobody is waited for."""
_MANY = 32
"""Values from which on it is quicker to count equal ones first."""

_LARGEST = finite.LARGEST
_index = lru_cache(maxsize=16_384)(sketch.index)


@dataclass
class RunningSpread(SpreadRow):
    """Values that are being added up."""

    def add(self, value: float, times: int = 1) -> None:
        self.low = min(self.low, value) if self.count else value
        self.high = max(self.high, value) if self.count else value
        self.count += times
        self.total += value * times
        key = _index(value)
        self.bins[key] = self.bins.get(key, 0) + times

    def add_all(self, values: Sequence[float]) -> None:
        """Add at least one value."""
        low, high = min(values), max(values)
        if low == high:  # as most measurements of requests are
            self.add(low, len(values))
            return
        self.low = min(self.low, low) if self.count else low
        self.high = max(self.high, high) if self.count else high
        self.count += len(values)
        self.total += sum(values)
        indexes = map(_index, values)
        counts = Counter(indexes).items() if len(values) >= _MANY else ((index, 1) for index in indexes)
        for index, times in counts:
            self.bins[index] = self.bins.get(index, 0) + times


@dataclass
class SecondStats:
    """The statistics of a second. ``errors_4xx`` and ``errors_5xx`` count the model's own status; no answer is a
    5xx."""

    second: int
    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    latency: RunningSpread = field(default_factory=RunningSpread)
    overhead: RunningSpread = field(default_factory=RunningSpread)
    series: dict[tuple[str, tuple[tuple[str, str], ...]], RunningSpread] = field(default_factory=dict)
    """Measurements of engines: name and dimensions -> values."""
    pairs: list[PairRow] = field(default_factory=list)
    """Requests that another version was given, too."""
    texts: list[TextRow] = field(default_factory=list)
    """Sampled answers that are text."""

    def document(self) -> SecondRow:
        row: SecondRow = {
            "second": self.second,
            "invocations": self.invocations,
            "4xx": self.errors_4xx,
            "5xx": self.errors_5xx,
            "model_errors": self.model_errors,
            "latency": self.latency,
            "overhead": self.overhead,
            "series": [
                {"name": name, "dimensions": dict(dimensions), "spread": spread}
                for (name, dimensions), spread in self.series.items()
            ],
        }
        if self.pairs:
            row["pairs"] = self.pairs
        if self.texts:
            row["texts"] = self.texts
        return row


def _second(counted: tuple[int, int, int, int]) -> int:
    return counted[0] // 1_000_000


class RequestStats:
    """The statistics of a worker. Times are epoch microseconds; ``status`` is the model's own, 0 for no answer."""

    def __init__(self, mark: ActivityMark | None = None) -> None:
        """``mark``: where it is told that something is counted."""
        self.mark = ActivityMark(None) if mark is None else mark
        self._fresh: list[tuple[int, int, int, int]] = []
        self._notes: list[tuple[int, Sequence[Note]]] = []
        self._noted = 0
        """Measurements in ``_notes``."""
        self._folded = 0
        self._seconds: dict[int, SecondStats] = {}
        self._read = 0
        """Seconds before this one were read."""
        self.failures = FailureMessages()
        self.answered = 0
        """Requests since the start with an answer below 500, complete or not."""

    def begin(self) -> None:
        """Note that something is about to be counted, or to be in flight."""
        if self.mark.settled:
            self.mark.rise()

    def count(self, at: int, status: int, latency: int, overhead: int) -> None:
        if self.mark.settled:
            self.mark.rise()
        self._fresh.append((at, status, latency, overhead))
        if len(self._fresh) >= _MOST:
            self.fold()

    @property
    def full(self) -> bool:
        """Whether enough was counted for a ``fold``."""
        return len(self._fresh) >= _FOLD_AT or self._noted >= _FOLD_AT

    @property
    def total(self) -> int:
        """The number of requests since the start."""
        return self._folded + len(self._fresh)

    def note(self, at: int, note: Note) -> None:
        """Add a measurement; NaN is dropped."""
        self.note_all(at, (note,))

    def note_all(self, at: int, notes: Sequence[Note]) -> None:
        """Add the measurements of one call. The sequence is kept."""
        self.begin()
        self._notes.append((at // 1_000_000, notes))
        self._noted += len(notes)
        if self._noted >= _MOST:
            self.fold()

    def add_pair(self, at: int, pair: PairRow) -> None:
        """Add a request that another version was given, too, unless its second has enough of them."""
        pairs = self._record(at // 1_000_000).pairs
        if len(pairs) < MOST_PAIRS:
            pairs.append(pair)

    def add_text(self, at: int, text: TextRow) -> None:
        """Add an answer that is text, unless its second has enough of them."""
        texts = self._record(at // 1_000_000).texts
        if len(texts) < MOST_TEXTS:
            texts.append(text)

    def rewind(self, now: int) -> None:
        """Forget seconds after ``now`` that were read, because the clock was set back: what is counted in them from
        now on is unread."""
        if now < self._read:
            for second in [second for second in self._seconds if now <= second < self._read]:
                del self._seconds[second]
            self._read = now

    def seconds(self, since: int, before: int) -> list[SecondRow]:
        """The seconds ``since <= second < before`` (epoch) in which something was counted, oldest first. Who asks has
        read what was before ``since``."""
        self.fold()
        self._read = max(self._read, min(since, before))
        return [self._seconds[second].document() for second in sorted(self._seconds) if since <= second < before]

    def page(self, replica: str, now: float, in_flight: int, since: int, before: int) -> StatsPage:
        """Return the page that the controller reads. ``now``: epoch seconds."""
        seconds = self.seconds(since, before)
        self.mark.settle()
        if any(second >= before for second in self._seconds):
            self.mark.rise()  # the page leaves it out
        made: StatsPage = {
            "replica": replica,
            "now": now,
            "in_flight": in_flight,
            "answered": self.answered,
            "seconds": seconds,
        }
        if failures := self.failures.rows():
            made["failures"] = failures
        if (number := self.mark.number) is not None:
            made["activity"] = number
        return made

    def fold(self) -> None:
        """Aggregate what was counted since the last time."""
        fresh, self._fresh = self._fresh, []
        self._folded += len(fresh)
        for second, group in groupby(fresh, _second):
            record = self._record(second)
            _, statuses, latencies, overheads = zip(*group, strict=True)
            record.invocations += len(statuses)
            for status, count in Counter(statuses).items():
                if not 200 <= status < 300:
                    record.model_errors += count
                    if 400 <= status < 500:
                        record.errors_4xx += count
                    elif status == 0 or status >= 500:
                        record.errors_5xx += count
            record.latency.add_all(latencies)
            record.overhead.add_all(overheads)
        notes, self._notes, self._noted = self._notes, [], 0
        values: dict[tuple[int, str, tuple[tuple[str, str], ...]], list[float]] = {}
        for second, some in notes:
            for note in some:
                values.setdefault((second, note.name, note.dimensions), []).append(note.value)
        for (second, name, dimensions), found in values.items():
            self._add(second, (name, dimensions), found)

    def _add(self, second: int, key: tuple[str, tuple[tuple[str, str], ...]], values: Sequence[float]) -> None:
        """Add the values of one measurement, within the range of all."""
        if [value for value in values if not -_LARGEST <= value <= _LARGEST]:
            values = [number for value in values if (number := finite.bounded(value)) is not None]
            if not values:
                return
        series = self._record(second).series
        spread = series.get(key)
        if spread is None:
            if len(series) >= MOST_SERIES:
                return
            spread = series[key] = RunningSpread()
        spread.add_all(values)

    def _record(self, second: int) -> SecondStats:
        self.begin()
        self.rewind(second)
        record = self._seconds.get(second)
        if record is None:
            record = self._seconds[second] = SecondStats(second)
            self._forget(second - KEPT_SECONDS)
        return record

    def _forget(self, until: int) -> None:
        for second in [second for second in self._seconds if second <= until]:
            del self._seconds[second]


def encode_page(page: StatsPage) -> bytes:
    """The page as JSON, whatever texts of clients and models are on it: one that has no encoding must not cost the
    counts beside it."""
    try:
        return msgspec.json.encode(page)
    except UnicodeEncodeError:
        return msgspec.json.encode(replace_all_surrogates(msgspec.to_builtins(page, str_keys=True)))
