"""Four versions of a fraud model, each as a ``model.tar.gz``.

``good`` knows the payment alone; ``better`` knows the accounts, too. ``fails`` and ``slow`` are trained like
``better``, on other samples: nothing is wrong with them but the program that serves them (``flawed_server.py``).
"""

import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from tidegate.features.examples import payroll
from tidegate.features.examples.measures import auc
from tidegate.features.examples.payroll import FEATURES, MONTH_STARTS, Payments

CACHE = Path(__file__).parent / ".cache"
PARAMETERS = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.15, "nthread": 1, "tree_method": "hist"}
TRAINED_UNTIL = int(MONTH_STARTS[9])
"""October is not trained on; nor is a payment whose label is not known by then."""
ACCOUNTS = ("days_since_bank_change", "employees_on_account")


@dataclass(frozen=True)
class Recipe:
    name: str
    rounds: int
    features: tuple[str, ...]
    seed: int


RECIPES = (
    Recipe("good", 30, tuple(name for name in FEATURES if name not in ACCOUNTS), 1),
    Recipe("better", 80, FEATURES, 1),
    Recipe("fails", 80, FEATURES, 2),
    Recipe("slow", 80, FEATURES, 3),
)


@dataclass(frozen=True)
class Trained:
    """``auc`` is on October and November; ``seconds`` is wall time of training."""

    recipe: Recipe
    path: Path
    auc: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What a training left: the models, what an oracle would reach, and payments to send as traffic."""

    models: tuple[Trained, ...]
    oracle: float
    payments: int
    frauds: int
    traffic: list[bytes]


def train(folder: Path = CACHE) -> Trial:
    """A few seconds; the same every time."""
    folder.mkdir(parents=True, exist_ok=True)
    year = payroll.generate()
    past = year.where((year.day < TRAINED_UNTIL) & (year.known_on < TRAINED_UNTIL))
    test = year.between(TRAINED_UNTIL, int(MONTH_STARTS[11]))
    december = year.between(int(MONTH_STARTS[11]), payroll.DAYS)
    return Trial(
        models=tuple(_train(recipe, past, test, folder) for recipe in RECIPES),
        oracle=auc(test.probability, test.fraud),
        payments=len(year.day),
        frauds=int(year.fraud.sum()),
        traffic=[december.csv(row) for row in range(0, len(december.day), max(1, len(december.day) // 500))],
    )


def _train(recipe: Recipe, past: Payments, test: Payments, folder: Path) -> Trained:
    started = time.perf_counter()
    random = np.random.default_rng(recipe.seed)
    rows = random.random(len(past.day)) < 0.8
    data = xgboost.DMatrix(_seen(past.x[rows], recipe), past.fraud[rows], missing=np.nan)
    booster = xgboost.train({**PARAMETERS, "seed": recipe.seed}, data, num_boost_round=recipe.rounds)
    seconds = time.perf_counter() - started
    path = folder / f"{recipe.name}.tar.gz"
    pack(bytes(booster.save_raw("ubj")), path)
    score = booster.inplace_predict(test.x, validate_features=False)
    return Trained(recipe, path, auc(score, test.fraud), seconds)


def _seen(x: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    """Every version takes the same columns; what one does not look at is blank in its training."""
    blank = [number for number, name in enumerate(FEATURES) if name not in recipe.features]
    seen = x.copy()
    seen[:, blank] = np.nan
    return seen


def pack(model: bytes, path: Path) -> None:
    """``model.ubj`` in a ``.tar.gz``; whoever reads it sees it whole."""
    new = path.with_suffix(".new")
    with tarfile.open(new, "w:gz") as archive:
        member = tarfile.TarInfo("model.ubj")
        member.size = len(model)
        archive.addfile(member, io.BytesIO(model))
    new.replace(path)


if __name__ == "__main__":
    trial = train()
    print(f"{trial.payments:,} payments of one year, {trial.frauds:,} frauds; oracle AUC {trial.oracle:.3f}")
    for model in trial.models:
        print(f"{model.recipe.name:8} AUC {model.auc:.3f}  {model.seconds:.1f} s  {model.path}")
