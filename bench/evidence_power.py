"""Whether the test of predictions keeps its bound, and how soon it finds what is wrong.

    python -m bench.evidence_power [--rollouts 1000] [--seconds 300] [--keep]

Requests are drawn one by one, with the old version's prediction as a place from 0 to 1 among all of its predictions.
The new version moves some of them to the top. Some kinds of traffic break tests that take requests for independent:
requests that come again within the second, sessions of similar requests that are moved together and yet not equal,
bursts, in which all that a second asks is alike, and rows that are sent in a circle.

All of it needs a random split. The proxy once spread the numbers of requests evenly, by the golden ratio: equal
versions were called worse in 62 of 400 rollouts where 89 rows were sent in a circle, and in 9 to 62 % with 55, 89 or
144 rows by the kind of test, since a row then went to the same version for a long time."""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench import tables
from bench.evidence_arrays import Array, AssignmentTests, ShareTests, log_mean
from bench.evidence_failures import interval
from tidegate.features.evidence.comparisons import PREDICTION_LEVELS

BEFORE, MOST = 10, 400
"""Seconds before the new version has requests, and with them."""
TOLERANCE = 0.1
LIMIT = -math.log(0.01)


@dataclass(frozen=True)
class Traffic:
    """``group``: requests of a second that belong together; ``equal``: they are equal, and not only similar.
    ``burst``: how far the old predictions of a second lie together, 0 to 1. ``circle``: so many rows are sent again
    and again."""

    rate: float = 50.0
    share: float = 0.25
    group: int = 1
    equal: bool = True
    burst: float = 0.0
    circle: int = 0


KINDS = {
    "independent": Traffic(),
    "independent, 10 % of 100/s": Traffic(100, 0.1),
    "each request 5 times": Traffic(group=5),
    "each request 20 times": Traffic(group=20),
    "each request 20 times, 10 % of 100/s": Traffic(100, 0.1, group=20),
    "each request 20 times, half of 50/s": Traffic(share=0.5, group=20),
    "sessions of 5 similar requests": Traffic(group=5, equal=False),
    "sessions of 10 similar requests": Traffic(group=10, equal=False),
    "bursts": Traffic(burst=0.8),
    "100 rows in a circle": Traffic(circle=100),
    "89 rows in a circle": Traffic(circle=89),
    "144 rows in a circle": Traffic(circle=144),
}

Place = Callable[[Array, Array], Array]
"""From the old places of requests, and draws from 0 to 1, to the new ones."""


def move_to_top(part: float) -> Place:
    """Move so much of the requests from below the median to above the 95th percentile, by chance."""
    return lambda old, drawn: np.where((old < 0.5) & (drawn < 2 * part), 0.95 + old / 10, old)


@dataclass
class Stream:
    """The requests of one rollout. ``number``: of the next request."""

    traffic: Traffic
    place: Place
    drawn: np.random.Generator
    number: int = field(init=False)
    rows: tuple[Array, Array] = field(init=False)
    """Old and new places of the rows that are sent in a circle."""

    def __post_init__(self) -> None:
        self.number = int(self.drawn.integers(2**32))
        count = self.traffic.circle
        rows = (np.arange(count) + 0.5) / max(1, count)
        # Of few rows exactly the tolerance is moved, and not about so many of them.
        drawn = np.concatenate([self.drawn.permutation(half) for half in np.split(rows * 2 % 1, [count // 2])])
        mixed = self.drawn.permutation(count)
        self.rows = rows[mixed], self.place(rows, drawn)[mixed]

    def _draw(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """Draw the old and the new places of a second's requests, and the group of each."""
        traffic, drawn = self.traffic, self.drawn
        if traffic.circle:
            at = (self.number + np.arange(drawn.poisson(traffic.rate))) % traffic.circle
            return self.rows[0][at], self.rows[1][at], at
        groups = drawn.poisson(traffic.rate / traffic.group)
        old = drawn.random(groups)
        if traffic.burst:
            old = (drawn.random() + (1 - traffic.burst) * old) % 1
        group = drawn.permutation(np.repeat(np.arange(groups), traffic.group))
        return old[group], self.place(old, drawn.random(groups))[group], group

    def step(self, shifted: bool, levels: Sequence[float]) -> list[list[int]]:
        """Return for each level the requests and those above it of the old version, the same of the new version, and
        how many of the old version's are equal."""
        old, new, group = self._draw()
        self.number += len(old)
        on_new = (self.drawn.random(len(old)) < self.traffic.share) & shifted
        alike = int(np.bincount(group[~on_new]).max(initial=1)) if self.traffic.equal else 1
        before, after = old[~on_new], new[on_new]
        return [
            [len(before), int((before > level).sum()), len(after), int((after > level).sum()), alike]
            for level in levels
        ]


class Rollouts:
    """Many rollouts at a time. With ``every`` all tests of predictions share the stake, else there is one test, of
    the part above the median. ``by_seconds``: by betting on the shares of each second, as before."""

    def __init__(self, traffic: Traffic, place: Place, count: int, every: bool, by_seconds: bool = False) -> None:
        self.streams = [Stream(traffic, place, np.random.default_rng(seed)) for seed in range(count)]
        self.levels = list(PREDICTION_LEVELS.values()) if every else [0.5]
        kind = ShareTests if by_seconds else AssignmentTests
        self.tests = [[kind(count, TOLERANCE) for _ in range(2 if every else 1)] for _ in self.levels]
        self.by_seconds, self.requests = by_seconds, np.zeros(count)

    def step(self, shifted: bool) -> None:
        counts = np.array([one.step(shifted, self.levels) for one in self.streams], float)
        self.requests += counts[:, 0, 2]
        for number, tests in enumerate(self.tests):
            old_n, old_k, new_n, new_k, alike = counts[:, number].T
            more = () if self.by_seconds else (alike,)
            for test, (before, after) in zip(
                tests, ((old_k, new_k), (old_n - old_k, new_n - new_k)), strict=False
            ):
                test.update(old_n, before, new_n, after, *more)

    @property
    def log_evidence(self) -> Array:
        logs = [test.log_evidence for tests in self.tests for test in tests]
        if len(self.levels) > 1:
            logs.append(np.zeros(len(self.streams)))  # the test of answers without a number
        return log_mean(logs)


def count_rejected(traffic: Traffic, part: float, rollouts: int, seconds: int) -> int:
    """Count the rollouts in which one test at the level of 1 % finds a difference that is within the tolerance."""
    all_, found = Rollouts(traffic, move_to_top(part), rollouts, every=False), np.zeros(rollouts, bool)
    for second in range(BEFORE + seconds):
        all_.step(second >= BEFORE)
        found |= all_.log_evidence >= LIMIT
    return int(found.sum())


FAULTS: dict[str, Place] = {
    "inverted, of scores mostly low": lambda old, drawn: 1 - 0.3 * old,
    "95 % above the median": lambda old, drawn: np.where(drawn < 0.9, 0.5 + old / 2, old),
    "constant, between p50 and p75": lambda old, drawn: np.full(len(old), 0.6),
    "70 % above the median": lambda old, drawn: np.where(drawn < 0.4, 0.5 + old / 2, old),
}
STAKES = {"predictions alone": 1.0, "with errors and latency": 8.0}


def find(place: Place, traffic: Traffic, parts: float, rollouts: int, by_seconds: bool) -> tuple[Array, Array]:
    """Seconds and requests of the new version until a fault is found."""
    all_ = Rollouts(traffic, place, rollouts, every=True, by_seconds=by_seconds)
    seconds, requests = np.full(rollouts, np.inf), np.full(rollouts, np.inf)
    for second in range(BEFORE + MOST):
        all_.step(second >= BEFORE)
        fresh = (all_.log_evidence >= LIMIT + math.log(parts)) & np.isinf(seconds)
        seconds[fresh], requests[fresh] = second - BEFORE + 1, all_.requests[fresh]
        if not np.isinf(seconds).any():
            break
    return seconds, requests


def bound_rows(rollouts: int, seconds: int) -> Iterator[list[object]]:
    for name, traffic in KINDS.items():
        row: list[object] = [name, rollouts]
        for part in (0.0, TOLERANCE):
            rejected = count_rejected(traffic, part, rollouts, seconds)
            row += [rejected, interval(rejected, rollouts)]
        print(*row, flush=True)
        yield row


def power_rows(rollouts: int) -> Iterator[list[object]]:
    for name, place in FAULTS.items():
        for kind in ("independent", "each request 5 times", "each request 20 times"):
            for beside, parts in STAKES.items():
                row: list[object] = [name, kind, beside]
                for by_seconds in (False, True):
                    both = find(place, KINDS[kind], parts, rollouts, by_seconds)
                    cells = [tables.percentile(list(values), at) for values in both for at in (50, 95)]
                    row += ["later" if math.isinf(cell) else f"{cell:.0f}" for cell in cells]
                print(*row, flush=True)
                yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    command = f"evidence_power --rollouts {given.rollouts}"
    header = [
        "requests",
        "rollouts",
        "equal: rejected",
        "95 % interval",
        "at the tolerance",
        "95 % interval",
    ]
    title = f"Predictions called worse that are within the tolerance (1 % allowed, {given.seconds} s)"
    rows = list(bound_rows(given.rollouts, given.seconds))
    tables.show("evidence-power-bound", title, header, rows, keep=given.keep, command=command)
    header = ["fault, 25 % of 50/s", "requests", "compared"]
    header += [f"{what}, {at}" for what in ("seconds", "its requests") for at in ("median", "95 %")]
    header += [f"before: {what}, {at}" for what in ("seconds", "its requests") for at in ("median", "95 %")]
    found = list(power_rows(max(20, given.rollouts // 10)))
    title = "Predictions: until a fault is found, by random assignment and, before, by shares per second"
    tables.show("evidence-power-found", title, header, found, keep=given.keep, command=command)


if __name__ == "__main__":
    main()
