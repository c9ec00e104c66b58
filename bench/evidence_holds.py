"""How long evidence holds the stages of equal versions, and what it keeps from going on.

    python -m bench.evidence_holds [--whole 40] [--keep]

The first table is of errors alone, the comparison of equal versions that is closest to its tolerance, for thousands
of stages at a time. With ``--whole`` each rollout has one stage with a tenth of the requests, a bake of ten minutes,
and the default deadline of an hour. It is judged by ``features.evidence.judge`` after each block; after the bake
it is held while a difference is rising or data is missing. Errors, latencies, predictions and pairs are compared,
with a slice of four values, one of them rare."""

import argparse
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from bench import tables
from bench.evidence_failures import interval
from tidegate.domain.evidence import Comparison, Counts, EvidenceBlock, EvidenceConfig, Finding
from tidegate.domain.pairs import Pair
from tidegate.features.evidence import measures
from tidegate.features.evidence.block_widths import block_width
from tidegate.features.evidence.comparisons import LATENCY_LEVELS, PREDICTION_LEVELS, UNUSABLE
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.features.evidence.ledger import PairCounters

CONFIG = EvidenceConfig(
    compare=(Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS, Comparison.PAIRED),
    copies=0,
    slices=("country",),
)
BAKE, BEFORE = 600, 30
SAMPLED, COPIED = 25, 5
"""Predictions of a version that are sampled in a second; copies of a second, as an instance that has clients answers
few of them."""
COUNTRIES, OFTEN = ("DE", "FR", "IN", "MT"), (0.5, 0.3, 0.18, 0.02)


@dataclass(frozen=True)
class Drawn:
    """``rate``: requests per second. ``errors``: of both versions; ``more``: further ones of the new version;
    ``above``: part of its predictions above the old version's median; ``bias``: of its predictions, in units."""

    rate: float
    errors: float = 0.01
    more: float = 0.0
    above: float = 0.5
    bias: float = 0.0
    share: float = 0.1


@dataclass(frozen=True)
class Held:
    """``seconds`` after the bake until the stage ended, or failed; ``end``: pass, undecided, fail or overdue."""

    seconds: float
    end: str


def run(given: tuple[Drawn, int]) -> Held:
    """One rollout."""
    drawn, seed = given
    random_, chance = np.random.default_rng(seed), random.Random(seed)
    state, counters = begin(CONFIG, ("main",)), PairCounters.begin(CONFIG)
    at = 0
    while at < BEFORE + BAKE + CONFIG.deadline:
        width = block_width(at)
        counts = _counts(drawn, width, at >= BEFORE, random_)
        sums = counters.count("main", _pairs(drawn, width, random_, chance)) if at >= BEFORE else {}
        state = fold(state, EvidenceBlock(at, width, 0, counts, sums, counters.take_units("main")))
        at += width
        late = at >= BEFORE + BAKE
        if not late and at % 30:
            continue
        found = judge(state)
        if found.finding is Finding.FAIL:
            return Held(max(0, at - BEFORE - BAKE), "fail")
        if late and (found.finding is Finding.PASS or (found.finding is Finding.UNDECIDED and not found.rising)):
            return Held(at - BEFORE - BAKE, str(found.finding))
    return Held(CONFIG.deadline, "overdue")


def _counts(drawn: Drawn, width: int, shifted: bool, random_: Any) -> dict[str, Counts]:
    parts = (1 - drawn.share, drawn.share) if shifted else (1.0, 0.0)
    old, new = (int(random_.poisson(drawn.rate * part * width)) for part in parts)
    failed = random_.binomial(old, drawn.errors), random_.binomial(new, drawn.errors + drawn.more)
    found: dict[str, Counts] = {"main/errors/errors": (old, int(failed[0]), new, int(failed[1]))}
    for name, level in LATENCY_LEVELS.items():
        hits = (int(random_.binomial(one, (1 - level) * 0.9)) for one in (old, new))
        found[f"main/latency/{name}"] = (old, next(hits), new, next(hits))
    old, new = (min(one, SAMPLED * width) for one in (old, new))
    places, moved = random_.random(old), random_.random(new)
    # The new predictions keep their order: those above the median get the part that they are to have.
    high = random_.random(new) < drawn.above
    moved = np.where(high, 0.5 + moved / 2, moved / 2)
    for name, level in PREDICTION_LEVELS.items():
        above = int((places > level).sum()), int((moved > level).sum())
        found[f"main/predictions/above {name}"] = (old, above[0], new, above[1])
        found[f"main/predictions/below {name}"] = (old, old - above[0], new, new - above[1])
    found[f"main/predictions/{UNUSABLE}"] = (old, 0, new, 0)
    return {key: counts for key, counts in found.items() if any(counts)}


def _pairs(drawn: Drawn, width: int, random_: Any, chance: random.Random) -> list[Pair]:
    number = int(random_.poisson(min(drawn.rate * (1 - drawn.share), COPIED) * width))
    return [_pair(drawn, chance) for _ in range(number)]


def _pair(drawn: Drawn, chance: random.Random) -> Pair:
    old = chance.gauss(0, 1)
    new = old + chance.gauss(0, 0.15) + drawn.bias / 2
    country = chance.choices(COUNTRIES, OFTEN)[0]
    failed = chance.random() < drawn.errors, chance.random() < drawn.errors + drawn.more
    return Pair(
        None if failed[0] else old,
        None if failed[1] else new,
        slices=(("country", country),),
        old_failed=failed[0],
        failed=failed[1],
    )


def hold_errors(
    rate: float, errors: float, bake: int, rollouts: int, share: float = 0.1
) -> tuple[np.ndarray[Any, Any], float]:
    """Seconds that stages of equal versions are held after the bake, by ``measures.is_above``, and the part of them
    that is until the deadline."""
    random_, at = np.random.default_rng(1), 0
    count, total, squares, seconds = (np.zeros(rollouts) for _ in range(4))
    held, end = np.ones(rollouts, bool), np.zeros(rollouts)
    while at < bake + CONFIG.deadline and held.any():
        width = block_width(at)
        old, new = (random_.poisson(rate * part * width, rollouts) for part in (1 - share, share))
        apart = random_.binomial(new, errors) / np.maximum(new, 1) - random_.binomial(old, errors) / np.maximum(
            old, 1
        )
        used = (old > 0) & (new > 0)
        mean = np.where(used, (1 + apart) / 2, 0.0)
        count, total, squares = count + used, total + mean, squares + mean * mean
        seconds, at = seconds + used * width, at + width
        if at >= bake:
            held &= are_above(count, total, squares, seconds)
            end[held] = at - bake
    return end, float(held.mean())


def are_above(count: Any, total: Any, squares: Any, seconds: Any) -> Any:
    """``measures.is_above`` of many."""
    n = np.maximum(count, 2)
    mean = total / n
    spread = np.maximum(0, squares - n * mean * mean) / (n - 1)
    age = np.sqrt(1 + measures.LATER * np.log(np.maximum(1, seconds / measures.SOON)))
    deviations = NormalDist().inv_cdf(1 - measures.CHANCE) * (1 + measures.FEW / n) * age
    above = mean - (1 + CONFIG.errors) / 2 > deviations * np.sqrt(spread / n) + 1e-12
    return above & (count >= measures.FEWEST_BLOCKS)


def error_rows(rollouts: int) -> Iterator[list[object]]:
    for bake in (120, 600, 3600):
        for rate in (10, 100, 1000):
            for errors in (0.01, 0.1):
                end, overdue = hold_errors(rate, errors, bake, rollouts)
                cells = [f"{tables.percentile(list(end), at):.0f}" for at in (50, 95, 99)]
                yield [bake, rate, f"{errors:.0%}", rollouts, f"{np.mean(end > 0):.1%}", *cells, f"{overdue:.2%}"]


EQUAL = [Drawn(rate, errors) for rate in (3, 10, 100) for errors in (0.01, 0.1)]
WORSE = {
    "errors 1 % -> 2 %, 10/s": Drawn(10, more=0.01),
    "errors 1 % -> 5 %, 3/s": Drawn(3, more=0.04),
    "50 % -> 95 % above the median, 3/s": Drawn(3, above=0.952),
    "50 % -> 70 % above the median, 10/s": Drawn(10, above=0.7),
    "bias of 0.5 units (tolerance 0.4), 10/s": Drawn(10, bias=0.5),
}


def _rows(drawn: Drawn, rollouts: int, pool: ProcessPoolExecutor) -> tuple[list[Held], float]:
    began = time.perf_counter()
    found = list(pool.map(run, [(drawn, seed) for seed in range(rollouts)], chunksize=8))
    return found, time.perf_counter() - began


def equal_rows(rollouts: int, pool: ProcessPoolExecutor) -> Iterator[list[object]]:
    for drawn in EQUAL:
        found, took = _rows(drawn, rollouts, pool)
        usual = block_width(BAKE)
        held = [max(0.0, one.seconds - usual) for one in found]
        back = sum(one.end in ("fail", "overdue") for one in found)
        cells = [f"{tables.percentile(held, at):.0f}" for at in (50, 95, 99)]
        row = [drawn.rate, f"{drawn.errors:.0%}", rollouts, f"{np.mean(np.array(held) > 0):.1%}", *cells]
        row += [sum(one.end == "overdue" for one in found), back, interval(back, rollouts)]
        print(*row, f"({took:.0f} s, load {os.getloadavg()[0]:.0f})", flush=True)
        yield row


def worse_rows(rollouts: int, pool: ProcessPoolExecutor) -> Iterator[list[object]]:
    for name, drawn in WORSE.items():
        found, _ = _rows(drawn, rollouts, pool)
        ends = {end: sum(one.end == end for one in found) for end in ("fail", "overdue", "undecided", "pass")}
        before = sum(one.end == "fail" and one.seconds <= block_width(BAKE) for one in found)
        yield [name, rollouts, before, ends["fail"] - before, ends["overdue"], ends["undecided"] + ends["pass"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=2_000, help="stages of the table of errors")
    parser.add_argument("--whole", type=int, default=0, help="rollouts of all comparisons, one by one, instead")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    if given.whole:
        show_whole(given.whole, given.keep)
        return
    header = ["bake, s", "requests/s", "errors", "stages", "held", "seconds held, median", "95 %", "99 %"]
    title = "Stages of equal versions that errors hold after the bake"
    rows = list(error_rows(given.rollouts))
    tables.show(
        "evidence-holds", title, [*header, "until the deadline"], rows, keep=given.keep, command="evidence_holds"
    )


def show_whole(rollouts: int, keep: bool) -> None:
    command = f"evidence_holds --whole {rollouts}"
    with ProcessPoolExecutor(2) as pool:
        header = ["requests/s", "errors", "rollouts", "held at all", "seconds held, median", "95 %", "99 %"]
        header += ["until the deadline", "rolled back in all", "95 % interval"]
        title = "Stages of equal versions held by evidence after a bake of ten minutes"
        tables.show(
            "evidence-holds-whole", title, header, list(equal_rows(rollouts, pool)), keep=keep, command=command
        )
        header = ["worse version", "rollouts", "found in the bake", "found while held", "held until the deadline"]
        title = "Worse versions at the end of a bake of ten minutes"
        rows = list(worse_rows(max(20, rollouts // 4), pool))
        tables.show("evidence-holds-worse", title, [*header, "went on"], rows, keep=keep, command=command)


if __name__ == "__main__":
    main()
