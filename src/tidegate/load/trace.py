"""A trace: when requests arrived. Read from and written to CSV, and turned into the times of a replay.

Two kinds of files. One has a column ``at``, and each line is one request at that second. The other has ``at`` and
``count``: so many requests in the interval that begins there and ends where the next one begins. Seconds count from
anything; the first line is where a replay begins. Lines that begin with ``#`` say where it comes from.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tidegate.domain.errors import Invalid

MAX_LINES = 5_000_000


@dataclass(frozen=True)
class Trace:
    """``at`` are seconds from its start, in order; ``counts`` the requests in each interval. ``timed``: each is a
    request of its own, at exactly that time."""

    at: tuple[float, ...]
    counts: tuple[float, ...]
    timed: bool = False

    @property
    def requests(self) -> float:
        return math.fsum(self.counts)

    @property
    def seconds(self) -> float:
        """Until its last interval ends."""
        return self.at[-1] + self._width(len(self.at) - 1)

    def spans(self) -> Iterator[tuple[float, float, float]]:
        """Start, length and count of each interval."""
        for index, (at, count) in enumerate(zip(self.at, self.counts, strict=True)):
            yield at, self._width(index), count

    def _width(self, index: int) -> float:
        if index + 1 < len(self.at):
            return self.at[index + 1] - self.at[index]
        if self.timed:
            return 0.0
        return self.at[index] - self.at[index - 1] if index else 1.0


def arrivals(trace: Trace, speed: float = 1.0, scale: float = 1.0, seed: int = 0) -> Iterator[float]:
    """Seconds after the start of the replay at which each request is due, in order, lazily.

    Within an interval they are spread by chance, which makes them a Poisson process with that count. ``speed`` 60
    makes an hour a minute; ``scale`` 2 sends two requests for each one. A part of a request is one with that
    probability."""
    if not (speed > 0 and scale > 0 and math.isfinite(speed) and math.isfinite(scale)):
        raise Invalid(f"speed {speed:g} and scale {scale:g}: both must be above 0")
    return _moments(trace, speed, scale, Random(seed))


def _moments(trace: Trace, speed: float, scale: float, random: Random) -> Iterator[float]:
    for at, width, count in trace.spans():
        wanted = count * scale
        whole = int(wanted) + (random.random() < wanted - int(wanted))
        moments = sorted(at + width * random.random() for _ in range(whole))
        if trace.timed and moments:
            moments[0] = at
        yield from (moment / speed for moment in moments)


def read(path: Path) -> Trace:
    """Raises Invalid, which names the row."""
    try:
        with path.open(newline="") as lines:
            return _parse(csv.reader(line for line in lines if not line.startswith("#")), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {getattr(error, 'strerror', None) or 'not text'}") from None


def _parse(rows: Iterator[list[str]], source: str) -> Trace:
    head = [word.strip().lower() for word in next(rows, [])]
    if head not in (["at"], ["at", "count"]):
        raise Invalid(f"{source}: the first line must be 'at' or 'at,count', not {','.join(head)!r}")
    at: list[float] = []
    counts: list[float] = []
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        try:
            moment, count = float(row[0]), float(row[1]) if len(head) == 2 else 1.0
        except (ValueError, IndexError):
            raise Invalid(f"{source}: row {number}: {','.join(row)!r}: expected {','.join(head)}") from None
        if not math.isfinite(moment) or not 0 <= count < math.inf:
            raise Invalid(f"{source}: row {number}: {','.join(row)!r}: counts are 0 or more, times are finite")
        if at and (moment < at[-1] or (len(head) == 2 and moment == at[-1])):
            raise Invalid(f"{source}: row {number}: {moment:g} does not come after {at[-1]:g}: sort it by time")
        if len(at) >= MAX_LINES:
            raise Invalid(f"{source}: more than {MAX_LINES:,} lines; give counts per interval")
        at.append(moment)
        counts.append(count)
    if not at:
        raise Invalid(f"{source}: it has no lines")
    return Trace(tuple(moment - at[0] for moment in at), tuple(counts), timed=len(head) == 1)


def write(path: Path, trace: Trace, notes: Sequence[str] = ()) -> None:
    try:
        with path.open("w", newline="") as lines:
            lines.writelines(f"# {note}\n" for note in notes)
            rows = csv.writer(lines, lineterminator="\n")
            rows.writerow(["at"] if trace.timed else ["at", "count"])
            for at, count in zip(trace.at, trace.counts, strict=True):
                rows.writerow([f"{at:g}"] if trace.timed else [f"{at:g}", f"{count:g}"])
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
