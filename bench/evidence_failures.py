"""How often equal versions that fail now and then are rolled back, and how soon worse ones are.

    python -m bench.evidence_failures [--rollouts 400] [--keep]

Failures come by chance, in outages that hit whatever is asked during them (of both versions, or of one at a time),
and with the request: half of the failing requests fail on both versions, of the others each fails on one of them
only, in clumps of similar ones. A rollout has two minutes of copies, about 20 a second, and ten minutes with a tenth
of 100 requests a second; every second of it is a look."""

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import tables
from bench.evidence_arrays import Array, NetTests, RateTests
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.features.evidence.block_widths import block_width
from tidegate.features.evidence.judge import false_alarm_rates
from tidegate.features.evidence.pairs import make_pair_tests

Flags = NDArray[np.bool_]

CONFIG = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED))
COPIES, SECONDS = 120, 720
PAIRS, RATE, SHARE = 20.0, 100.0, 0.1
TICKS = 20
"""Parts of a second in which an outage may begin or end."""
LAG = 0.15
"""Seconds after a request at which its copy is answered, in the mean."""
CLUMP = 10.0
"""Similar requests in a row, in the mean."""
RATES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)
INDEPENDENT, OUTAGES, BLIPS, REQUESTS, OWN = (
    "independent", "outages of 2 s", "outages of 0.3 s", "by request", "outages of 2 s, each version's own",
)  # fmt: skip
LENGTHS = {OUTAGES: 2.0, BLIPS: 0.3, OWN: 2.0}


@dataclass(frozen=True)
class Versions:
    """``rate``: part of the requests that fail on either version; ``more``: further part that fails on the new one,
    or that it answers without a number; ``kind``: how failures come."""

    kind: str = INDEPENDENT
    rate: float = 0.0
    more: float = 0.0


class Outages:
    """Whether an outage is on, by rollout, at moments that only go on."""

    def __init__(self, rollouts: int, part: float, length: float, random: np.random.Generator) -> None:
        self.random = random
        self.stop = 1 / (TICKS * length)
        self.start = self.stop * part / (1 - part)
        self.on = random.random(rollouts) < part
        self.rows = np.zeros((TICKS, rollouts), bool)

    def second(self) -> Flags:
        """The ticks of the next second."""
        for tick in range(TICKS):
            turns = self.random.random(len(self.on)) < np.where(self.on, self.stop, self.start)
            self.on = self.on ^ turns
            self.rows[tick] = self.on
        return self.rows.copy()


class FailingRollouts:
    """Many rollouts of the same two versions at a time."""

    def __init__(self, versions: Versions, rollouts: int, seed: int, share: float = SHARE) -> None:
        self.versions, self.rollouts, self.share = versions, rollouts, share
        self.random = np.random.default_rng(seed)
        self.errors = RateTests(rollouts, CONFIG.errors)
        self.failing = NetTests(rollouts, CONFIG.paired.limits(amounts=False).failed)
        length = LENGTHS.get(versions.kind)
        self.outages = (
            [Outages(rollouts, versions.rate, length, self.random) for _ in range(2 if length is not None else 0)]
            if length is not None
            else []
        )
        if versions.kind != OWN:
            self.outages = self.outages[:1] * 2
        self.clump = np.zeros(rollouts)
        """Whether similar requests fail: 0 no, 1 on the new version, -1 on the old one."""
        self.found = np.full((2, rollouts), np.inf)
        """Second at which each comparison failed: pairs, errors."""

    def run(self, seconds: int = SECONDS) -> None:
        pairs, counts, begun = np.zeros((3, self.rollouts)), np.zeros((4, self.rollouts)), 0
        ahead = self._outages()
        for second in range(seconds):
            now, ahead = ahead, self._outages()
            pairs += self._pairs(now, ahead)
            counts += self._requests(now, second >= COPIES)
            stage = 0 if second < COPIES else COPIES
            if second + 1 - begun < block_width(begun - stage) and second + 1 not in (COPIES, seconds):
                continue
            self.failing.update(pairs[0], pairs[1], pairs[2], second + 1 - begun)
            self.errors.update(counts[0], counts[1], counts[2], counts[3])
            pairs, counts, begun = np.zeros_like(pairs), np.zeros_like(counts), second + 1
            if second + 1 == COPIES:
                self.failing.stakes.enter_stage()
                self.errors.stakes.enter_stage()
            self._look(second)

    def _outages(self) -> list[Flags]:
        if not self.outages:
            return []
        first = self.outages[0].second()
        return [first, self.outages[1].second() if self.outages[1] is not self.outages[0] else first]

    def _look(self, second: int) -> None:
        limits = {one: -math.log(rate) for one, rate in false_alarm_rates(CONFIG, 1).items()}
        part = 1 / len(make_pair_tests(CONFIG.paired.limits(amounts=False)))
        paired = np.log(part * np.exp(np.minimum(self.failing.log_evidence, 500)) + 1 - part)
        for place, (one, logs) in enumerate(
            ((Comparison.PAIRED, paired), (Comparison.ERRORS, self.errors.log_evidence))
        ):
            self.found[place] = np.where(
                logs >= limits[one], np.minimum(self.found[place], second + 1), self.found[place]
            )

    def _pairs(self, now: list[Flags], ahead: list[Flags]) -> Array:
        """How many pairs both versions treat alike, and only the new and only the old one fails."""
        number = self.random.poisson(PAIRS, self.rollouts)
        shape = (self.rollouts, max(1, int(number.max())))
        there = np.arange(shape[1]) < number[:, np.newaxis]
        old, new = self._failures(shape, now, ahead)
        new = new | (self.random.random(shape) < self.versions.more)
        worse, better = (there & new & ~old).sum(axis=1), (there & old & ~new).sum(axis=1)
        return np.array([number - worse - better, worse, better], float)

    def _failures(self, shape: tuple[int, int], now: list[Flags], ahead: list[Flags]) -> tuple[Flags, Flags]:
        rate, draw = self.versions.rate, self.random.random
        if self.versions.kind == INDEPENDENT:
            return draw(shape) < rate, draw(shape) < rate
        if self.versions.kind == REQUESTS:
            return self._by_request(shape)
        at = draw(shape)
        lag = np.minimum(self.random.exponential(LAG, shape), 1.0)
        rows = np.arange(shape[0])[:, np.newaxis]
        ticks = [np.concatenate([now[side], ahead[side]]).T for side in (0, 1)]
        place = [(at * TICKS).astype(int), ((at + lag) * TICKS).astype(int)]
        return ticks[0][rows, place[0]], ticks[1][rows, place[1]]

    def _by_request(self, shape: tuple[int, int]) -> tuple[Flags, Flags]:
        """Half of the failures are on both versions; the others come in clumps that one of them fails."""
        rate, both = self.versions.rate, self.random.random(shape) < self.versions.rate / 2
        old, new = both.copy(), both.copy()
        start = rate / CLUMP / max(1e-9, 1 - rate)
        for place in range(shape[1]):
            chance = self.random.random(self.rollouts)
            begins = (self.clump == 0) & (chance < start)
            ends = (self.clump != 0) & (chance < 1 / CLUMP)
            side = np.where(self.random.random(self.rollouts) < 0.5, 1.0, -1.0)
            self.clump = np.where(begins, side, np.where(ends, 0.0, self.clump))
            old[:, place] |= self.clump < 0
            new[:, place] |= self.clump > 0
        return old, new

    def _requests(self, now: list[Flags], shifted: bool) -> Array:
        """Requests and failures of the old version and of the new one."""
        parts = (1 - self.share, self.share) if shifted else (1.0, 0.0)
        found = []
        for side, part in enumerate(parts):
            number = self.random.poisson(RATE * part, self.rollouts)
            rate = np.full(self.rollouts, self.versions.rate)
            failed: NDArray[Any] = np.zeros(self.rollouts)
            if now:
                each = self.random.multinomial(number, np.full(TICKS, 1 / TICKS))
                failed = (each.T * now[side]).sum(axis=0)
            else:
                failed = self.random.binomial(number, rate)
            if side:
                failed = failed + self.random.binomial(
                    np.maximum(0, number - failed).astype(int), self.versions.more
                )
            found += [number, failed]
        return np.array(found, float)


def interval(hits: int, of: int) -> str:
    """The 95 % interval of a share (Wilson)."""
    z, share = 1.96, hits / of
    middle, reach = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return f"{max(0.0, (middle - reach) / (1 + z * z / of)):.2%} to {(middle + reach) / (1 + z * z / of):.2%}"


def equal_rows(rollouts: int) -> Iterator[list[object]]:
    for kind in (INDEPENDENT, OUTAGES, BLIPS, REQUESTS, OWN):
        for rate in RATES:
            if not rate and kind != INDEPENDENT:
                continue
            began, made = time.perf_counter(), FailingRollouts(Versions(kind, rate), rollouts, 7)
            made.run()
            back = np.isfinite(made.found)
            whole = int((back[0] | back[1]).sum())
            row = [kind, f"{rate:.0%}", rollouts, int(back[0].sum()), int(back[1].sum())]
            row += [f"{whole / rollouts:.2%}", interval(whole, rollouts)]
            print(*row, f"({time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.0f})", flush=True)
            yield row


def power_rows(rollouts: int) -> Iterator[list[object]]:
    """Copies only: how soon pairs find what the new version fails, or answers with NaN, in addition."""
    for kind, rate, more in (
        (INDEPENDENT, 0.0, 0.02), (INDEPENDENT, 0.0, 0.04), (INDEPENDENT, 0.03, 0.04), (OUTAGES, 0.03, 0.04),
        (INDEPENDENT, 0.1, 0.04), (INDEPENDENT, 0.03, 0.1), (INDEPENDENT, 0.03, 1.0),
    ):  # fmt: skip
        made = FailingRollouts(Versions(kind, rate, more), rollouts, 11)
        made.run()
        seconds = list(made.found[0])
        cells = [tables.percentile(seconds, at) for at in (50, 95)]
        shown = ["later" if math.isinf(one) else f"{one:.0f}" for one in cells]
        within = [f"{np.mean(made.found[0] <= limit):.1%}" for limit in (COPIES, SECONDS)]
        yield [kind, f"{rate:.0%}", f"{more:.0%}", *shown, *within]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=400)
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    header = ["failures", "of both versions", "rollouts", "by pairs", "by errors", "rolled back", "95 % interval"]
    title = "Equal versions that fail now and then, rolled back by evidence (1 % allowed)"
    rows = list(equal_rows(given.rollouts))
    tables.show("evidence-failures", title, header, rows, keep=given.keep, command="evidence_failures")
    header = [
        "failures",
        "of both versions",
        "more on the new one",
        "seconds, median",
        "95 %",
        "in the copies",
        "in all",
    ]
    title = "Further failures, or answers without a number, found by pairs"
    found = list(power_rows(given.rollouts))
    tables.show("evidence-failures-found", title, header, found, keep=given.keep, command="evidence_failures")


if __name__ == "__main__":
    main()
