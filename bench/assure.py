"""How often a version with a harm gets past an assurance, and how long a version without one is held by it.

    python -m bench.assure [--rollouts 100000] [--seconds 200] [--keep]

Each rollout is looked at every second, and gets past the assurance once the harm is ruled out at 1 %. The endpoint
has 100 requests a second, of which a quarter goes to the new version. A version at the harm is worse by exactly that,
which is the hardest case; one beyond it by twice as much. ``drifting``: what both versions do changes over time;
``bursts``: one second of twenty is ten times as bad for both, or half of what chance does to latencies and
predictions is common to a second; ``retries``: a request that fails on the new version is sent four more times, to
either version; ``sticky``: a client sends so many requests in a second, which all fail or all do not; ``outages``:
the new version alone fails everything for two seconds now and then. Rows ``by second`` have ``unit: second``. A
unit test compares the arrays with the tests of the package.

With ``ramp: auto`` a version that fails some part of its requests has stages of 30 s in steps of 1 % up to 25 %,
after 30 s of copies, and a budget of 100 failures and 20,000 requests. A budget counts as spent if it is by the
end of a stage that was chosen; what ends a rollout then is left out, and so are harms that are ruled out before."""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

import numpy as np

from bench import tables
from bench.assure_live import show_live
from bench.evidence_arrays import Array, HarmRateTests, MeanTests, ShareTests
from tidegate.domain.assurance import Assurance, Harm
from tidegate.domain.evidence import ALL_COUNTED, EvidenceBlock
from tidegate.domain.rollout import RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.assurance import AssuranceState, begin_assurance, fold_assurance
from tidegate.features.evidence.replay.labelled import compare_labelled, error_of_auc_change
from tidegate.rollout.evidence_rule import expect_requests

MISSED = 0.01
LIMIT = -math.log(MISSED)
CHUNK = 20_000
RATE, SHARE = 100.0, 0.25
PAIRS = 10
"""Pairs of predictions in a second."""
ERRORS, BIAS, AUC = 0.005, 0.4, 0.05
"""Harms; ``BIAS`` in units of half a standard deviation."""
USUAL, SPREAD = 0.001, 0.5
"""Part of the requests that fail on the old version; standard deviation of the difference of two predictions."""


@dataclass(frozen=True)
class Outcome:
    """Of some rollouts: how many got past the assurance, and the seconds that it took those."""

    rollouts: int
    seconds: Array

    @property
    def passed(self) -> int:
        return int(np.isfinite(self.seconds).sum())


class _Rollouts:
    """Many rollouts at a time; each ``step`` is a second, and returns the logarithm of the evidence."""

    def __init__(self, kind: str, times: float, rollouts: int, random: np.random.Generator) -> None:
        self.kind, self.times, self.rollouts, self.random = kind, times, rollouts, random

    def step(self, second: int) -> Array:
        raise NotImplementedError

    def poisson(self, mean: Array | float) -> Array:
        return self.random.poisson(mean, self.rollouts).astype(float)

    def binomial(self, n: Array, chance: Array | float) -> Array:
        return self.random.binomial(n.astype(int), np.minimum(chance, 1.0)).astype(float)

    def factor(self, second: int) -> Array:
        """How bad this second is for both versions."""
        if self.kind == "drifting":
            return np.full(self.rollouts, 1 + second / 20)
        if self.kind == "bursts":
            return np.where(self.random.random(self.rollouts) < 0.05, 10.0, 1.0)
        return np.ones(self.rollouts)


class _Errors(_Rollouts):
    def __init__(self, kind: str, times: float, rollouts: int, random: np.random.Generator) -> None:
        super().__init__(kind.removesuffix(" by second"), times, rollouts, random)
        by_second = kind.endswith(" by second")
        self.test = ShareTests(rollouts, -ERRORS) if by_second else HarmRateTests(rollouts, ERRORS)
        self.outage = np.zeros(rollouts)

    def step(self, second: int) -> Array:
        usual, more = USUAL * self.factor(second), ERRORS * self.times
        old_n, new_n = self.poisson(RATE * (1 - SHARE)), self.poisson(RATE * SHARE)
        old_k = self.binomial(old_n, usual)
        if self.kind == "retries":
            first = self.binomial(new_n, more / (1 + 4 * SHARE))
            again = self.binomial(4 * first, SHARE)
            new_k = first + again + self.binomial(new_n - first, usual)
            new_n, old_n = new_n + again, old_n + 4 * first - again
        elif self.kind.startswith("sticky"):
            each = int(self.kind.removeprefix("sticky, "))
            clients = self.poisson(RATE * SHARE / each)
            new_n, new_k = each * clients, each * self.binomial(clients, usual + more)
        elif self.kind == "outages":
            self.outage -= 1
            begin = (self.outage <= 0) & (self.random.random(self.rollouts) < more / 2)
            self.outage = np.where(begin, 2, self.outage)
            new_k = np.where(self.outage > 0, new_n, self.binomial(new_n, usual))
        else:
            new_k = self.binomial(new_n, usual + more)
        if isinstance(self.test, ShareTests):
            self.test.update(new_n, new_k, old_n, old_k)
        else:
            self.test.update(old_n, old_k, new_n, new_k)
        return self.test.log_evidence


class _Latency(_Rollouts):
    """``level``: of the quantile that the new version exceeds by half as much again."""

    level, harm, spread = 0.5, 1.5, 0.3

    def __init__(self, kind: str, times: float, rollouts: int, random: np.random.Generator) -> None:
        super().__init__(kind, times, rollouts, random)
        self.test = ShareTests(rollouts, 0.0)

    def step(self, second: int) -> Array:
        """The latencies are lognormal; a bad second is slower for both."""
        normal, luck = NormalDist(), self.luck(second)
        slower = math.log(self.harm) * (1 - self.times) / self.spread
        place = normal.inv_cdf(self.level)
        old = np.array(_normal(luck - place))
        new = np.array(_normal(luck - place - slower))
        old_n, new_n = self.poisson(RATE * (1 - SHARE)), self.poisson(RATE * SHARE)
        self.test.update(new_n, self.binomial(new_n, new), old_n, self.binomial(old_n, old))
        return self.test.log_evidence

    def luck(self, second: int) -> Array:
        """By how many standard deviations all latencies of a second are longer than usual."""
        if self.kind == "drifting":
            return np.full(self.rollouts, second / 200)
        return self.random.normal(0, 1.0, self.rollouts) if self.kind == "bursts" else np.zeros(self.rollouts)


class _SlowTail(_Latency):
    level = 0.99


class _Bias(_Rollouts):
    """The new version predicts more."""

    def __init__(self, kind: str, times: float, rollouts: int, random: np.random.Generator) -> None:
        super().__init__(kind, times, rollouts, random)
        self.test = MeanTests(rollouts, 1 - (BIAS + 3) / 6)

    def step(self, second: int) -> Array:
        noise = self.random.normal(0, SPREAD, (self.rollouts, PAIRS))
        if self.kind == "bursts":
            noise += self.random.normal(0, SPREAD, (self.rollouts, 1))
        if self.kind == "drifting":
            noise *= 1 + second / 100
        worse = (BIAS * self.times + np.clip(noise, -2, 2) + 3) / 6
        left = 1 - worse.mean(axis=1)
        self.test.update(np.ones(self.rollouts), left, left**2)
        return self.test.log_evidence


KINDS: dict[str, tuple[type[_Rollouts], tuple[str, ...]]] = {
    "errors +0.5 points": (
        _Errors,
        (
            "independent", "drifting", "bursts", "retries", "sticky, 2",
            "sticky, 5", "sticky, 5 by second", "outages", "outages by second",
        ),
    ),
    "p50 +50 %": (_Latency, ("independent", "drifting", "bursts")),
    "p99 +50 %": (_SlowTail, ("independent", "drifting", "bursts")),
    "bias 0.4 units": (_Bias, ("independent", "drifting", "bursts")),
}  # fmt: skip
RAMPED = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Parts of the requests that a version fails whose stages are chosen."""
LADDER = tuple(RolloutStage(percent * 100, 30) for percent in range(26))
RAMP = Assurance(Harm(errors=ERRORS), 2500, MISSED, exposure=20_000, failed=100, ramp=True)
AT, BEYOND, GOOD = "at the harm", "beyond", "equal"


def _normal(z: Array) -> Array:
    """The distribution function of the normal distribution (Abramowitz and Stegun, 7.1.26)."""
    x = np.abs(z) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    upper = 1 - series * np.exp(-x * x) / 2
    return np.where(z >= 0, upper, 1 - upper)


def run(harm: str, kind: str, times: float, rollouts: int, seconds: int, seed: int = 1) -> Outcome:
    """Simulate rollouts of a version that is worse by so many times the harm."""
    made, found = KINDS[harm][0], list[Array]()
    for number, begin in enumerate(range(0, rollouts, CHUNK)):
        some = min(CHUNK, rollouts - begin)
        random = np.random.default_rng((seed, number))
        one, when = made(kind, times, some, random), np.full(some, np.inf)
        for second in range(seconds):
            new = (one.step(second) >= LIMIT) & np.isinf(when)
            when[new] = second + 1
        found.append(when)
    return Outcome(rollouts, np.concatenate(found))


def run_labels(loss: float, rollouts: int, positives: int = 200, negatives: int = 1000) -> int:
    """Count replays of labelled rows that rule out a loss of AUC, of versions that lose so much. Scores are normal in
    both classes, and half of what chance does to them is common to both versions."""
    chance, normal, passed = Random(5), NormalDist(), 0
    apart = [math.sqrt(2) * normal.inv_cdf(auc) for auc in (0.8, 0.8 - loss)]
    labels = [1.0] * positives + [0.0] * negatives
    for _ in range(rollouts):
        common = [chance.gauss(0, 1) for _ in labels]
        old, new = (
            [one * math.sqrt(0.5) + chance.gauss(0, 1) * math.sqrt(0.5) + label * far
             for one, label in zip(common, labels, strict=True)]
            for far in apart
        )  # fmt: skip
        found = compare_labelled(old, new, labels)
        assert found is not None and found.binary is not None
        before, after = (one.auc for one in found.binary)
        assert before is not None and after is not None
        bound = before - after + normal.inv_cdf(1 - MISSED) * error_of_auc_change(old, new, labels)
        passed += bound < AUC
    return passed


@dataclass(frozen=True)
class RampOutcome:
    """Of some rollouts whose stages are chosen: how many spent a budget in a stage that was chosen, the mean of what
    failed, and the stages that those took which came to the last one (None: the others)."""

    spent: int
    failed: float
    stages: list[int | None]


def run_ramps(chance: float, rollouts: int, seed: int = 1, clump: int = 1) -> RampOutcome:
    """Simulate rollouts of a version that fails each request by this chance, or so many of them together. A stage
    that has no room for a larger one goes on for ten seconds more, until a budget is spent by that."""
    random, spent, failed, took = np.random.default_rng((seed, clump)), 0, 0, list[int | None]()
    fresh = begin_assurance(RAMP, ("main",))
    for _ in range(rollouts):
        state, stage, stages, chosen = fold_assurance(fresh, _ramp_block(random, 0, 30, chance, clump)), 0, 0, True
        while stage < len(LADDER) - 1 and not _is_spent(state):
            room, after = state.find_room(ALL_COUNTED), range(stage + 1, len(LADDER))
            assert room is not None
            allowed = [one for one in after if expect_requests(LADDER[one], state.rate) <= room]
            chosen = bool(allowed)
            stage, stages = max(allowed, default=stage), stages + chosen
            state = fold_assurance(state, _ramp_block(random, stage, 30 if chosen else 10, chance, clump))
        spent += chosen and _is_spent(state)
        failed += state.failed
        took.append(None if _is_spent(state) else stages)
    return RampOutcome(spent, failed / rollouts, took)


def _is_spent(state: AssuranceState) -> bool:
    return state.exposed >= (RAMP.exposure or 0) or state.failed >= (RAMP.failed or 0)


def _ramp_block(random: np.random.Generator, stage: int, seconds: int, chance: float, clump: int) -> EvidenceBlock:
    requests = int(random.poisson(RATE * seconds))
    new = int(random.binomial(requests // clump, LADDER[stage].share / WHOLE))
    bad = int(random.binomial(new, chance))
    counts = {"main/errors/errors": (requests - clump * new, 0, clump * new, clump * bad)}
    return EvidenceBlock(0, seconds, stage, counts)


def ramp_rows(rollouts: int) -> Iterator[list[object]]:
    for chance, clump in (*((one, 1) for one in RAMPED), (0.03, 2), (0.03, 5)):
        found = run_ramps(chance, rollouts, clump=clump)
        done = [one for one in found.stages if one is not None]
        median = f"{tables.percentile([float(one) for one in done], 50):.0f}" if done else "-"
        together = "one by one" if clump == 1 else f"{clump} together"
        share = _share(found.spent, rollouts)
        yield [f"{chance:.1%}", together, rollouts, found.spent, share, f"{found.failed:.1f}", len(done), median]


def harm_rows(rollouts: int, seconds: int) -> Iterator[list[object]]:
    for harm, (_, kinds) in KINDS.items():
        for version, times in ((AT, 1.0), (BEYOND, 2.0)):
            for kind in kinds if version == AT else kinds[:1]:
                found = run(harm, kind, times, rollouts, seconds)
                yield [harm, kind, version, rollouts, found.passed, _share(found.passed, rollouts)]
    replays = max(100, rollouts // 50)
    for version, loss in ((AT, AUC), (BEYOND, 2 * AUC)):
        passed = run_labels(loss, replays)
        yield [f"AUC -{AUC}", "200 labels of 1", version, replays, passed, _share(passed, replays)]


def held_rows(rollouts: int, seconds: int) -> Iterator[list[object]]:
    for harm, (_, kinds) in KINDS.items():
        for kind in [one for one in kinds if one in ("independent", "bursts", "outages by second")]:
            found = run(harm, kind, 0.0, rollouts, seconds, seed=2)
            each = PAIRS if harm.startswith("bias") else RATE * SHARE
            times = [tables.percentile(list(found.seconds), at) for at in (50, 95)]
            cells = [f"{one:.0f} ({one * each:,.0f})" if math.isfinite(one) else "-" for one in times]
            yield [harm, kind, rollouts, *cells, f"{1 - found.passed / rollouts:.1%}"]


def _share(hits: int, of: int) -> str:
    low, high = tables.wilson(hits, of)
    return f"{hits / of:.2%} ({low:.2%} to {high:.2%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=100_000, help="harmful rollouts of each kind")
    parser.add_argument("--seconds", type=int, default=200, help="looks at each of them")
    parser.add_argument(
        "--live", type=int, default=0, help="this many rollouts of each version on a platform instead"
    )
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    if given.live:
        show_live(given.live, keep=given.keep)
        return
    began, rows = time.perf_counter(), list[list[object]]()
    for row in harm_rows(given.rollouts, given.seconds):
        rows.append(row)
        print(*row, f"({time.perf_counter() - began:.0f} s)", flush=True)
    header = ["harm", "requests are", "version", "rollouts", "got past", "share (95 % interval)"]
    title = "Harmful versions that got past an assurance (1 % allowed)"
    tables.show("assure", title, header, rows, keep=given.keep)
    header = [
        "fails", "requests fail", "rollouts", "spent a budget in a chosen stage", "share (95 % interval)",
        "failures (mean)", "came to 25 %", "chosen stages until then (median)",
    ]  # fmt: skip
    ramps, title = list(ramp_rows(max(100, given.rollouts // 5))), "Budgets under ramp: auto (1 % allowed)"
    tables.show("assure-ramp", title, header, ramps, keep=given.keep, command="assure")
    header = [
        "harm",
        "requests are",
        "rollouts",
        "seconds (requests or pairs), median",
        "95 %",
        "held until the end",
    ]
    held = list(held_rows(max(100, given.rollouts // 50), 6 * given.seconds))
    title = f"Equal versions held by an assurance, for at most {6 * given.seconds} s"
    tables.show("assure-held", title, header, held, keep=given.keep, command="assure")


if __name__ == "__main__":
    main()
