"""How often the comparison of two equal versions fails, and how soon that of different ones does.

    python -m bench.evidence [--rollouts 10000] [--seconds 300] [--keep]

Rollouts are simulated second by second, thousands at a time; every second of each is a look. All three comparisons
are on. Half-way equal versions enter another stage. ``independent`` draws every request by itself. ``clustered`` has
what breaks tests that assume so: each failure comes five times (a client that tries again, each time on either
version), bursts of failures hit both versions in one second of twenty, and the latencies of a second share its luck.
Nothing is served: this is about the tests, and ``test_platform_evidence.py`` about real workers."""

import argparse
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import tables
from bench.evidence_arrays import Array, AssignmentTests, RateTests, ShareTests, log_mean
from bench.evidence_labels import show_labels
from bench.evidence_late import show_late
from bench.evidence_live import EVIDENCE, OTHER, PASSED, run_live
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.features.evidence.comparisons import LATENCY_LEVELS, PREDICTION_LEVELS
from tidegate.features.evidence.judge import false_alarm_rates
from tidegate.features.evidence.pace import LATENCY_SLACK, SKETCH_ERROR

Flags = NDArray[np.bool_]

LEVELS = (10, 30, 100, 300, 1000)
"""Requests per second of an endpoint."""
BEFORE = 10
"""Seconds before the new version gets requests."""
SAMPLED = 25
"""Predictions of a version that are sampled in a second."""
SPREAD = 0.3
"""Standard deviation of the logarithm of a latency."""
DRAWN = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS)
"""Comparisons that requests are drawn for: not those of texts."""
ALL = EvidenceConfig(compare=DRAWN)


@dataclass(frozen=True)
class Versions:
    """What two versions do. ``slower`` is the factor of the new latency; ``moved`` the part of the new predictions
    that lies above the old 95th percentile instead of where it was."""

    rate: float = 100.0
    share: float = 0.1
    old_errors: float = 0.01
    new_errors: float = 0.01
    slower: float = 1.0
    moved: float = 0.0
    clustered: bool = False


class Simulation:
    """Many rollouts of the same two versions at a time."""

    def __init__(self, versions: Versions, rollouts: int, seed: int, config: EvidenceConfig = ALL) -> None:
        self.versions, self.rollouts, self.config = versions, rollouts, config
        self.random = np.random.default_rng(seed)
        self.errors = RateTests(rollouts, config.errors)
        self.latency = {name: ShareTests(rollouts, LATENCY_SLACK) for name in LATENCY_LEVELS}
        sides = [(side, name) for name in PREDICTION_LEVELS for side in ("above", "below")]
        self.predictions = {each: AssignmentTests(rollouts, config.predictions) for each in sides}
        self.requests = np.zeros(rollouts)

    def step(self, shifted: bool) -> None:
        """One second."""
        old_n = self._poisson(self.versions.rate * (1 - self.versions.share if shifted else 1.0))
        new_n = self._poisson(self.versions.rate * self.versions.share) if shifted else np.zeros(self.rollouts)
        old_n, old_k, new_n, new_k = self._failures(old_n, new_n)
        self.requests += new_n
        if Comparison.ERRORS in self.config.compare:
            self.errors.update(old_n, old_k, new_n, new_k)
        if Comparison.LATENCY in self.config.compare:
            self._compare_latencies(old_n, new_n)
        if Comparison.PREDICTIONS in self.config.compare:
            self._compare_predictions(np.minimum(old_n, SAMPLED), np.minimum(new_n, SAMPLED))

    def enter_stage(self) -> None:
        """The next stage begins, in which stakes begin anew."""
        stakes = [self.errors.stakes]
        stakes += [test.stakes for test in self.latency.values()]
        stakes += [test.stakes for test in self.predictions.values()]
        for one in stakes:
            one.enter_stage()

    def failed(self) -> dict[Comparison, Flags]:
        """By comparison: which rollouts it would turn back now."""
        limits = {one: -math.log(rate) for one, rate in false_alarm_rates(self.config, 1).items()}
        logs = {
            Comparison.ERRORS: self.errors.log_evidence,
            Comparison.LATENCY: log_mean([test.log_evidence for test in self.latency.values()]),
            # No answer is without a number here, so the test of those has nothing to say.
            Comparison.PREDICTIONS: log_mean(
                [np.zeros(self.rollouts), *(test.log_evidence for test in self.predictions.values())]
            ),
        }
        return {one: logs[one] >= limit for one, limit in limits.items()}

    def _poisson(self, mean: float) -> Array:
        return self.random.poisson(mean, self.rollouts).astype(float)

    def _binomial(self, n: Array, chance: Array | float) -> Array:
        return self.random.binomial(n.astype(int), chance).astype(float)

    def _failures(self, old_n: Array, new_n: Array) -> tuple[Array, Array, Array, Array]:
        now = self.versions
        if not now.clustered:
            return old_n, self._binomial(old_n, now.old_errors), new_n, self._binomial(new_n, now.new_errors)
        burst = np.where(self.random.random(self.rollouts) < 0.05, 10.0, 1.0)
        failures = 5 * self.random.poisson((old_n + new_n) * now.old_errors / 5 * burst)
        new_k = self._binomial(failures.astype(float), new_n.sum() / max(1.0, (old_n + new_n).sum()))
        old_k = failures - new_k
        return np.maximum(old_n, old_k), old_k, np.maximum(new_n, new_k), new_k

    def _compare_latencies(self, old_n: Array, new_n: Array) -> None:
        for name, level in LATENCY_LEVELS.items():
            old = self._luck(1 - level)
            # Equal versions share the tolerance's edge, where a test is closest to a false alarm.
            new = self._luck(1 - level)
            if self.versions.slower != 1:
                limit = math.log((1 + self.config.latency) * SKETCH_ERROR / self.versions.slower) / SPREAD
                new = np.full(self.rollouts, 1 - normal(normal_quantile(level) + limit))
            self.latency[name].update(old_n, self._binomial(old_n, old), new_n, self._binomial(new_n, new))

    def _luck(self, mean: float) -> Array:
        """The part of a second's latencies beyond a threshold: of independent ones always the same."""
        if not self.versions.clustered:
            return np.full(self.rollouts, mean)
        return self.random.beta(4 * mean, 4 * (1 - mean), self.rollouts)

    def _compare_predictions(self, old_n: Array, new_n: Array) -> None:
        edges = [0.0, *PREDICTION_LEVELS.values(), 1.0]
        usual = np.diff(edges)
        moved = usual * (1 - self.versions.moved)
        moved[-1] += self.versions.moved
        old = self.random.multinomial(old_n.astype(int), usual).astype(float)
        new = self.random.multinomial(new_n.astype(int), moved).astype(float)
        alike = np.ones(self.rollouts)
        for number, name in enumerate(PREDICTION_LEVELS, 1):
            above = old[:, number:].sum(axis=1), new[:, number:].sum(axis=1)
            self.predictions["above", name].update(old_n, above[0], new_n, above[1], alike)
            self.predictions["below", name].update(old_n, old_n - above[0], new_n, new_n - above[1], alike)


def normal(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


def normal_quantile(level: float) -> float:
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if normal(middle) < level else (low, middle)
    return low


def count_false(versions: Versions, rollouts: int, seconds: int, seed: int) -> dict[str, int]:
    """Rollouts of equal versions that were turned back, by comparison and in all."""
    simulation = Simulation(versions, rollouts, seed)
    ever = {one: np.zeros(rollouts, bool) for one in DRAWN}
    for second in range(BEFORE + seconds):
        if second == BEFORE + seconds // 2:
            simulation.enter_stage()
        simulation.step(second >= BEFORE)
        for one, now in simulation.failed().items():
            ever[one] |= now
    union = np.logical_or.reduce(list(ever.values()))
    return {**{one.value: int(found.sum()) for one, found in ever.items()}, "all": int(union.sum())}


def delays(versions: Versions, config: EvidenceConfig, rollouts: int, most: int) -> tuple[Array, Array]:
    """Seconds and requests of the new version until it is turned back; infinite where it never is."""
    simulation = Simulation(versions, rollouts, 1, config)
    seconds, requests = np.full(rollouts, np.inf), np.full(rollouts, np.inf)
    for second in range(BEFORE + most):
        simulation.step(second >= BEFORE)
        found = np.logical_or.reduce(list(simulation.failed().values()))
        first = found & np.isinf(seconds)
        seconds[first] = second - BEFORE + 1
        requests[first] = simulation.requests[first]
        if not np.isinf(seconds).any():
            break
    return seconds, requests


ERRORS_ALONE = EvidenceConfig(compare=(Comparison.ERRORS,))
FAULTS = {
    "errors 1 % -> 5 %, 10 % canary": (Versions(new_errors=0.05), ERRORS_ALONE, 400),
    "the same, default comparisons": (Versions(new_errors=0.05), EvidenceConfig(), 400),
    "errors 1 % -> 5 %, 1 % canary": (Versions(new_errors=0.05, share=0.01), ERRORS_ALONE, 1500),
    "errors 0.1 % -> 0.5 %, 10 % canary of 1,000/s": (
        Versions(1000, old_errors=0.001, new_errors=0.005),
        ERRORS_ALONE,
        400,
    ),
    "errors 1 % -> 100 %, 10 % canary": (Versions(new_errors=1.0), ALL, 60),
    "1.5 times as slow, 10 % canary": (Versions(slower=1.5), ALL, 400),
    "twice as slow, 10 % canary": (Versions(slower=2.0), ALL, 400),
    "30 % of the predictions moved, 10 % canary": (Versions(moved=0.3), ALL, 400),
    "constant high prediction, 10 % canary": (Versions(moved=1.0), ALL, 200),
}


def power_rows(rollouts: int) -> Iterator[list[object]]:
    for name, (versions, config, most) in FAULTS.items():
        seconds, requests = delays(versions, config, rollouts, most)
        cells = [(tables.percentile(list(values), at)) for values in (seconds, requests) for at in (50, 95)]
        yield [name, *("never" if math.isinf(cell) else f"{cell:.0f}" for cell in cells)]


def show_live(wanted: int, seconds: float, errors: Sequence[float], keep: bool) -> None:
    header = ["both fail on", "asked for", "ended", *(kind for kind in (PASSED, EVIDENCE, OTHER))]
    rows = list[list[object]]()
    for percent in errors:
        live = run_live(wanted, seconds, percent / 100)
        ended = [live.found[kind] for kind in (PASSED, EVIDENCE, OTHER)]
        rows.append([f"{percent:g} % of requests", wanted, sum(ended), *ended])
        print(*live.reasons, *rows[-1], sep="\n", flush=True)
    title, percents = "Live rollouts of equal versions", ",".join(f"{percent:g}" for percent in errors)
    command = f"evidence --live {wanted} --errors {percents}"
    tables.show("evidence-live", title, header, rows, keep=keep, command=command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=10_000, help="equal rollouts at each level of traffic")
    parser.add_argument("--seconds", type=int, default=300, help="looks at each of them")
    parser.add_argument(
        "--live", type=int, default=0, help="this many rollouts of equal versions on a platform instead"
    )
    parser.add_argument("--errors", default="0", help="percentages of requests on which both live versions fail")
    parser.add_argument("--labels", action="store_true", help="late labels of amounts instead")
    parser.add_argument("--late", action="store_true", help="faults that begin after a good time instead")
    parser.add_argument("--within", type=float, default=86_400.0, help="seconds in which live rollouts begin")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    if given.labels:
        show_labels(keep=given.keep)
        return
    if given.late:
        show_late(keep=given.keep)
        return
    if given.live:
        show_live(given.live, given.within, [float(one) for one in given.errors.split(",")], given.keep)
        return
    began, rows = time.perf_counter(), list[list[object]]()
    for clustered in (False, True):
        for seed, rate in enumerate(LEVELS):
            found = count_false(Versions(rate, clustered=clustered), given.rollouts, given.seconds, seed)
            kind = "clustered" if clustered else "independent"
            rows.append(
                [
                    kind,
                    rate,
                    given.rollouts,
                    given.seconds,
                    *found.values(),
                    f"{found['all'] / given.rollouts:.2%}",
                ]
            )
            print(*rows[-1], f"({time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.0f})", flush=True)
    header = ["requests are", "per second", "rollouts", "looks at each", *DRAWN, "turned back", "rate"]
    title = "Equal versions turned back by evidence (1 % allowed)"
    tables.show("evidence", title, header, rows, keep=given.keep)
    header = ["fault", "seconds, median", "95 %", "its requests, median", "95 %"]
    found_rows = list(power_rows(max(100, given.rollouts // 4)))
    title = "Evidence until a bad version is turned back"
    tables.show("evidence-power", title, header, found_rows, keep=given.keep, command="evidence")


if __name__ == "__main__":
    main()
