"""``tidegate recommend``'s search against trying everything, in the same run.

    python -m bench.recommend [--seconds 1.5] [--keep]

The search makes its few loads, in five minutes at most as the command does; then every configuration has the whole
search for its highest rate. What each of them chose is then measured again, in turn and with finer steps, so that
neither a machine that has changed nor the luck of one load decides. Compared is what calls would cost on one
instance type. Some 13 minutes.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bench import tables
from bench.sides import BODY
from tests.scene import train
from tidegate.features.recommender.command import DEFAULT_BUDGET
from tidegate.features.recommender.configurations import (
    CandidateConfiguration,
    LoadProbe,
    MeasuredConfiguration,
    Objective,
    candidates,
)
from tidegate.features.recommender.estimates import offers
from tidegate.features.recommender.load_runs import LoadEnvironment, cores
from tidegate.features.recommender.local_recommender import SEARCH_SHARE
from tidegate.features.recommender.search import Effort, SearchEffort, highest, search
from tidegate.prices import Catalogue

OBJECTIVE = Objective(99, 0.05)
RATE = 300.0
TYPE = "ml.c5.xlarge"
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="of a load in the second round")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    effort = Effort.of(given.seconds)
    sweep = SearchEffort(2 * given.seconds)
    space = candidates(cores())
    with tempfile.TemporaryDirectory() as folder:
        model = {"image": "tidegate/xgboost", "data": train(Path(folder), 1, trees=200)}
        with LoadEnvironment(model, [BODY], "application/json", OBJECTIVE) as ground:
            began = time.monotonic()
            until = began + DEFAULT_BUDGET * SEARCH_SHARE
            few = search(
                space, ground.measure, OBJECTIVE, RATE, effort, tell=told, late=lambda: time.monotonic() > until
            )
            middle = time.monotonic()
            every = [sweep_one(candidate, ground, sweep) for candidate in space]
            ended = time.monotonic()
            best = max(every, key=lambda one: one.score(OBJECTIVE))
            again = in_turn([few[0], best], ground, effort.third)
    rows: list[list[object]] = [
        ["the search", few[0].candidate, loads(few), f"{middle - began:.0f}", price(few[0])],
        ["all of them", best.candidate, loads(every), f"{ended - middle:.0f}", price(best)],
        ["the search's choice, again", few[0].candidate, "", "", price(again[few[0].candidate])],
        ["the sweep's choice, again", best.candidate, "", "", price(again[best.candidate])],
    ]
    rows.append(["dearer than the sweep's choice", "", "", "", dearer(again, few[0].candidate, best.candidate)])
    header = ["", "chose", "loads", "seconds", f"$ for 1,000,000 calls, {TYPE}"]
    tables.show("recommend", "The recommender against trying everything", header, rows, keep=given.keep)


def told(what: str) -> None:
    print(what, flush=True)


def sweep_one(
    candidate: CandidateConfiguration, ground: LoadEnvironment, look: SearchEffort
) -> MeasuredConfiguration:
    told(f"all: {candidate}")
    return MeasuredConfiguration(candidate, highest(candidate, ground.measure, OBJECTIVE, RATE, look))


def in_turn(
    chosen: list[MeasuredConfiguration], ground: LoadEnvironment, look: SearchEffort
) -> dict[CandidateConfiguration, MeasuredConfiguration]:
    """Each measured ``REPEATS`` times, one after the other."""
    looks: dict[CandidateConfiguration, list[tuple[LoadProbe, ...]]] = {trial.candidate: [] for trial in chosen}
    for _ in range(REPEATS):
        for trial in chosen[: len(looks)]:
            told(f"again: {trial.candidate}")
            best = trial.best(OBJECTIVE)
            start = RATE if best is None else best.rate
            looks[trial.candidate].append(highest(trial.candidate, ground.measure, OBJECTIVE, start, look))
    return {
        candidate: MeasuredConfiguration(candidate, found[0], tuple(found)) for candidate, found in looks.items()
    }


def dearer(
    again: dict[CandidateConfiguration, MeasuredConfiguration],
    chosen: CandidateConfiguration,
    best: CandidateConfiguration,
) -> str:
    if chosen == best:
        return "the same choice"
    here, there = again[chosen].score(OBJECTIVE), again[best].score(OBJECTIVE)
    return f"{100 * (there / here - 1):+.1f} %" if here else "it held no rate"


def loads(trials: list[MeasuredConfiguration]) -> int:
    return sum(len(trial.probes) for trial in trials)


def price(trial: MeasuredConfiguration) -> str:
    probe = trial.best(OBJECTIVE)
    if probe is None:
        return "-"
    found = offers(trial.candidate, probe, cores(), RATE, Catalogue.load(), "us-east-1")
    return f"{1000 * next(one.per_thousand for one in found if one.instance_type == TYPE):.3f}"


if __name__ == "__main__":
    main()
