"""Whether the test of predictions keeps its bound, and how soon it finds what is wrong.

    python -m bench.evidence_power [--rollouts 1000] [--seconds 300] [--keep]

Requests are drawn one by one, with the old version's prediction as a place from 0 to 1 among all of its predictions.
The new version moves some of them to the top. Some kinds of traffic break tests that take requests for independent:
requests that come again within the second, sessions of similar requests that are moved together and yet not equal,
bursts, in which all that a second asks is alike, and rows that are sent in a circle. The proxy's own split is one of
them: it does not draw, but spreads the numbers of requests evenly (``proxy.config.GOLDEN_RATIO``)."""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench import tables
from bench.evidence_arrays import Array, AssignmentTests, ShareTests, log_mean
from bench.evidence_failures import interval
from tidegate.features.evidence.comparisons import PREDICTION_LEVELS

BEFORE, TOLERANCE = 10, 0.1
LIMIT = -math.log(0.01)
GOLDEN, NUMBERS = 2654435769, 2**32


@dataclass(frozen=True)
class Traffic:
    """``group``: requests of a second that belong together; ``equal``: they are equal, and not only similar. ``burst``:
    how far the old predictions of a second lie together, 0 to 1. ``circle``: so many rows are sent again and again.
    ``even``: the proxy's split instead of chance."""

    rate: float = 50.0
    share: float = 0.25
    group: int = 1
    equal: bool = True
    burst: float = 0.0
    circle: int = 0
    even: bool = False


KINDS = {
    "independent": Traffic(),
    "independent, 10 % of 100/s": Traffic(100, 0.1),
    "independent, the proxy's split": Traffic(even=True),
    "each request 5 times": Traffic(group=5),
    "each request 20 times": Traffic(group=20),
    "each request 20 times, 10 % of 100/s": Traffic(100, 0.1, group=20),
    "each request 20 times, half of 50/s": Traffic(share=0.5, group=20),
    "sessions of 5 similar requests": Traffic(group=5, equal=False),
    "sessions of 10 similar requests": Traffic(group=10, equal=False),
    "bursts": Traffic(burst=0.8),
    "100 rows in a circle": Traffic(circle=100),
    "100 rows in a circle, the proxy's split": Traffic(circle=100, even=True),
    "89 rows in a circle, the proxy's split": Traffic(circle=89, even=True),
}

Place = Callable[[Array, Array], Array]
"""From the old places of requests, and draws from 0 to 1, to the new ones."""


def move_to_top(part: float) -> Place:
    """Move so much of the requests from below the median to above the 95th percentile, by chance."""
    return lambda old, drawn: np.where((old < 0.5) & (drawn < 2 * part), 0.95 + old / 10, old)


class Rollout:
    """One rollout. ``tests``: one is enough for the bound (``above p50``); all of them share the stake."""

    def __init__(self, traffic: Traffic, place: Place, seed: int, every: bool) -> None:
        self.traffic, self.place, self.drawn = traffic, place, np.random.default_rng(seed)
        levels = PREDICTION_LEVELS if every else {"p50": 0.5}
        self.tests = {
            (side, level): AssignmentTests(1, TOLERANCE) for level in levels.values() for side in ("above", "below")
        }
        if not every:
            del self.tests["below", 0.5]
        self.shares = {each: ShareTests(1, TOLERANCE) for each in self.tests}
        self.number, self.requests, self.every = int(self.drawn.integers(NUMBERS)), 0, every
        rows = self.drawn.random(max(1, traffic.circle))
        self.rows = rows, place(rows, self.drawn.random(len(rows)))

    def _draw(self) -> tuple[Array, Array, Array]:
        """The old and the new places of a second's requests, and the group of each."""
        traffic, drawn = self.traffic, self.drawn
        if traffic.circle:
            count = drawn.poisson(traffic.rate)
            at = (self.number + np.arange(count)) % traffic.circle
            return self.rows[0][at], self.rows[1][at], at
        groups = drawn.poisson(traffic.rate / traffic.group)
        old = drawn.random(groups)
        if traffic.burst:
            old = (drawn.random() + (1 - traffic.burst) * old) % 1
        group = drawn.permutation(np.repeat(np.arange(groups), traffic.group))
        return old[group], self.place(old, drawn.random(groups))[group], group

    def step(self, shifted: bool) -> None:
        old, new, group = self._draw()
        numbers = self.number + np.arange(len(old))
        self.number += len(old)
        split = (numbers % 2**20 * GOLDEN % NUMBERS) / NUMBERS if self.traffic.even else self.drawn.random(len(old))
        on_new = (split < self.traffic.share) & shifted
        self.requests += int(on_new.sum())
        alike = np.bincount(group[~on_new]).max(initial=1) if self.traffic.equal else 1
        old_n, new_n = np.array([float((~on_new).sum())]), np.array([float(on_new.sum())])
        for (side, level), test in self.tests.items():
            hits = [(one > level) if side == "above" else (one < level) for one in (old, new)]
            counts = old_n, np.array([float(hits[0][~on_new].sum())]), new_n, np.array([float(hits[1][on_new].sum())])
            test.update(*counts, np.array([float(alike)]))
            self.shares[side, level].update(*counts)

    def log_evidence(self, before: bool = False) -> float:
        """``before``: of betting on the shares of each second, which had this place before."""
        logs = [one.log_evidence for one in (self.shares if before else self.tests).values()]
        logs += [np.zeros(1)] if self.every else []  # the test of answers without a number
        return float(log_mean(logs)[0])


def count_rejected(traffic: Traffic, part: float, rollouts: int, seconds: int) -> int:
    """Rollouts in which one test at the level of 1 % finds a difference that is within the tolerance."""
    found = 0
    for seed in range(rollouts):
        one = Rollout(traffic, move_to_top(part), seed, every=False)
        for second in range(BEFORE + seconds):
            one.step(second >= BEFORE)
            if one.log_evidence() >= LIMIT:
                found += 1
                break
    return found


FAULTS: dict[str, Place] = {
    "inverted, of scores mostly low": lambda old, drawn: 1 - 0.3 * old,
    "95 % above the median": lambda old, drawn: np.where(drawn < 0.9, 0.5 + old / 2, old),
    "constant, between p50 and p75": lambda old, drawn: np.full(len(old), 0.6),
    "70 % above the median": lambda old, drawn: np.where(drawn < 0.4, 0.5 + old / 2, old),
}
STAKES = {"predictions alone": 1.0, "with errors and latency": 8.0}


def find(place: Place, traffic: Traffic, parts: float, seed: int, most: int, before: bool) -> tuple[float, float]:
    """Seconds and requests of the new version until a fault is found."""
    one = Rollout(traffic, place, seed, every=True)
    for second in range(BEFORE + most):
        one.step(second >= BEFORE)
        if one.log_evidence(before) >= LIMIT + math.log(parts):
            return second - BEFORE + 1, one.requests
    return math.inf, math.inf


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
                for before in (False, True):
                    both = zip(
                        *(find(place, KINDS[kind], parts, seed, 400, before) for seed in range(rollouts)), strict=True
                    )
                    cells = [tables.percentile(list(values), at) for values in both for at in (50, 95)]
                    row += ["later" if math.isinf(cell) else f"{cell:.0f}" for cell in cells]
                print(*row, flush=True)
                yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--keep", action="store_true", help="write the tables to docs/benchmarks.md")
    given = parser.parse_args()
    command = f"evidence_power --rollouts {given.rollouts}"
    header = ["requests", "rollouts", "equal: rejected", "95 % interval", "at the tolerance: rejected", "95 % interval"]
    title = f"A difference of predictions found where there is none above the tolerance (1 % allowed, {given.seconds} s)"
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
