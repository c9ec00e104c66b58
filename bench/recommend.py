"""``tidegate recommend``'s search against trying everything, in the same run.

    python -m bench.recommend [--seconds 1.5] [--keep]

The search makes its few loads; then every configuration has the whole search for its highest rate. Compared is what
1,000 calls would cost on one instance type with what each of them chose.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bench import tables
from bench.sides import BODY
from tidegate.prices import Catalogue
from tidegate.recommend.offers import offers
from tidegate.recommend.running import Ground, cores
from tidegate.recommend.search import Effort, highest, search
from tidegate.recommend.space import Objective, Trial, candidates
from tidegate.testing.scene import train

OBJECTIVE = Objective(99, 0.05)
RATE = 300.0
TYPE = "ml.c5.xlarge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="of a load in the first rounds")
    parser.add_argument("--keep", action="store_true", help="write the table to docs/benchmarks.md")
    given = parser.parse_args()
    effort = Effort(given.seconds, given.seconds, 2 * given.seconds)
    space = candidates(cores())
    with tempfile.TemporaryDirectory() as folder:
        model = {"image": "tidegate/xgboost", "data": train(Path(folder), 1, trees=200)}
        with Ground(model, [BODY], "application/json", OBJECTIVE) as ground:
            began = time.monotonic()
            few = search(space, ground.measure, OBJECTIVE, RATE, effort, tell=print)
            middle = time.monotonic()
            every = []
            for candidate in space:
                print(f"all: {candidate}", flush=True)
                probes = highest(candidate, ground.measure, OBJECTIVE, RATE, effort.third)
                every.append(Trial(candidate, probes))
            ended = time.monotonic()
            # What the search chose, measured again beside what the sweep did: the machine may have changed meanwhile.
            again = {
                trial.candidate: Trial(
                    trial.candidate, highest(trial.candidate, ground.measure, OBJECTIVE, RATE, effort.third)
                )
                for trial in (few[0], max(every, key=lambda one: one.score(OBJECTIVE)))
            }
    best = max(every, key=lambda one: one.score(OBJECTIVE))
    rows: list[list[object]] = [
        ["the search", few[0].candidate, loads(few), f"{middle - began:.0f}", price(few[0])],
        ["all of them", best.candidate, loads(every), f"{ended - middle:.0f}", price(best)],
        ["the search's choice, again", few[0].candidate, "", "", price(again[few[0].candidate])],
        ["the sweep's choice, again", best.candidate, "", "", price(again[best.candidate])],
    ]
    ratio = again[best.candidate].score(OBJECTIVE) / again[few[0].candidate].score(OBJECTIVE)
    rows.append(["dearer than the sweep's choice", "", "", "", f"{100 * (ratio - 1):+.1f} %"])
    header = ["", "chose", "loads", "seconds", f"$ for 1,000,000 calls, {TYPE}"]
    tables.show("recommend", "The recommender against trying everything", header, rows, keep=given.keep)


def loads(trials: list[Trial]) -> int:
    return sum(len(trial.probes) for trial in trials)


def price(trial: Trial) -> str:
    probe = trial.best(OBJECTIVE)
    if probe is None:
        return "-"
    found = offers(trial.candidate, probe, cores(), RATE, Catalogue.load(), "us-east-1")
    return f"{1000 * next(one.per_thousand for one in found if one.instance_type == TYPE):.3f}"


if __name__ == "__main__":
    main()
