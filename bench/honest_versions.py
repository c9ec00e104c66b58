"""What honest versions of a model change, and faulty ones, by the statistics of ``tidegate compare``.

python -m bench.honest_versions [--rows 1000]: payroll payments with 0.26 % frauds; a line for each version.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import xgboost
from numpy.typing import NDArray

from tidegate.features.evidence.replay.report import ComparisonTerms, VersionComparison, compare_versions
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.replay.tolerance_learning import measuring_terms
from tidegate.features.evidence.replay.tolerances import DEFAULTS
from tidegate.features.examples.payroll import Payments, generate

TRAINED_UNTIL, MONTH, END = 270, 30, 366
"""Days of the year."""
TERMS = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.1, "subsample": 0.8, "colsample_bytree": 0.8}
Floats = NDArray[np.float32]


def train(x: Floats, fraud: NDArray[np.bool_], seed: int, trees: int = 80) -> xgboost.Booster:
    return xgboost.train({**TERMS, "seed": seed, "nthread": 1}, xgboost.DMatrix(x, fraud), trees)


def versions(past: Payments) -> Iterator[tuple[str, xgboost.Booster]]:
    for seed in (*range(2, 8), *range(20, 23)):
        yield f"honest, seed {seed}", train(past.x, past.fraud, seed)
    for name, part in (
        ("first", past.between(MONTH + 1, TRAINED_UNTIL)),
        ("last", past.between(0, TRAINED_UNTIL - MONTH)),
    ):
        yield f"honest, without the {name} month", train(part.x, part.fraud, 30)
    swapped = past.x.copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    yield "two columns swapped", train(swapped, past.fraud, 40)
    yield "10 of 80 trees", train(past.x, past.fraud, 42, 10)
    yield "40 of 80 trees", train(past.x, past.fraud, 43, 40)
    client = past.where(past.country == np.bincount(past.country).argmax())
    yield "another client's", train(client.x, client.fraud, 44)


def compare(
    old: xgboost.Booster, new: xgboost.Booster, rows: Payments, terms: ComparisonTerms
) -> VersionComparison:
    scores = [[float(one) for one in model.predict(xgboost.DMatrix(rows.x))] for model in (old, new)]
    slices = [str(country) for country in rows.country]
    count = len(slices)
    return compare_versions(ScoredRows(scores[0], scores[1], [None] * count, [{}] * count, slices), terms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    count = parser.parse_args().rows
    every = generate()
    past, later = every.between(0, TRAINED_UNTIL), every.between(TRAINED_UNTIL, END)
    chosen = np.zeros(len(later.fraud), bool)
    chosen[np.random.default_rng(0).choice(len(chosen), count, replace=False)] = True
    rows, old = later.where(chosen), train(past.x, past.fraud, 1)
    for name, new in versions(past):
        found = compare(old, new, rows, measuring_terms(ComparisonTerms(DEFAULTS)))
        values = {one.statistic: one.value or 0.0 for one in found.findings if one.slice is None}
        worst = max((one.value or 0.0 for one in found.findings if one.slice is not None), default=0.0)
        verdict = compare(old, new, rows, ComparisonTerms(DEFAULTS)).verdict
        shown = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        print(f"{name:32} {shown}, worst country {worst:.3f}: {verdict}", flush=True)


if __name__ == "__main__":
    main()
