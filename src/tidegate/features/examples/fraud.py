"""Payroll fraud: every payment is scored before it is made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidegate.features.examples import payroll
from tidegate.features.examples.contract import BEFORE, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.measures import auc, moved
from tidegate.features.examples.payroll import FEATURES, MONTH_STARTS, Payments
from tidegate.features.examples.trees import boost, save

TRAINED_UNTIL = int(MONTH_STARTS[9])
"""October and November are held out."""
FIRST_UNTIL = int(MONTH_STARTS[4])
REQUESTS = 2_000
HONEST = 5_000
"""Of the table of rows, about."""
APPROVED = FEATURES.index("approved_by_own_manager")
MONTH = FEATURES.index("month")
ACCOUNTS = [FEATURES.index("days_since_bank_change"), FEATURES.index("employees_on_account")]
PARAMETERS = {
    **{"objective": "binary:logistic", "max_depth": 3, "eta": 0.1},
    "scale_pos_weight": 20,  # scores spread out, though frauds are rare
    "min_child_weight": 5,
}
CAREFUL = {**PARAMETERS, "gamma": 20}
"""Further trees split only where that gains much, so most scores stay as they are."""


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three versions on up to nine months of payments whose labels are known by then."""
    year = payroll.generate(max(4_000, int(20_000 * scale)))
    past = year.where((year.day < TRAINED_UNTIL) & (year.known_on < TRAINED_UNTIL))
    first = past.where((past.day < FIRST_UNTIL) & (past.known_on < FIRST_UNTIL))
    test = year.between(TRAINED_UNTIL, int(MONTH_STARTS[11]))
    base = boost(_blank(first.x, without=ACCOUNTS), first.fraud, PARAMETERS, 40)
    models = {
        "v1": save(base, folder / "v1.ubj"),
        "better": save(boost(_blank(past.x), past.fraud, CAREFUL, 60, start=base), folder / "better.ubj"),
        "worse": save(boost(_blank(_spoil(past.x)), past.fraud, PARAMETERS, 60), folder / "worse.ubj"),
    }
    scores = {name: model(test.x) for name, model in models.items()}
    about = {
        "v1": "40 trees on the payment alone, trained in May on what was known of January to April",
        "better": "the same and 60 more, which know the account, too; trained further in October",
        "worse": "60 trees on all features, from a table with accounts of other payments and inverted approvals",
    }
    versions = {
        name: TrainedVersion(
            about[name],
            (f"{name}.ubj",),
            {"AUC": auc(score, test.fraud), "moved": moved(scores[BEFORE[name]], score)},
        )
        for name, score in scores.items()
    }
    oracle = auc(test.probability, test.fraud)
    rows = (
        f"payments of one synthetic year; held out are October and November ({len(test.day):,}, of which "
        f"{int(test.fraud.sum())} frauds); who knew the true probabilities would reach {oracle:.3f}"
    )
    return TrainedExample("AUC", rows, versions, _requests(test), evidence="25%", table=_table(test))


def _blank(x: NDArray[np.float32], without: Sequence[int] = ()) -> NDArray[np.float32]:
    """Blank where a version does not look: never at the month, of which later ones were never seen."""
    blank = x.copy()
    blank[:, [MONTH, *without]] = np.nan
    return blank


def _spoil(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Accounts joined to the payment of somebody else, and approvals read the wrong way round."""
    other = x.copy()
    other[:, ACCOUNTS] = np.random.default_rng(3).permutation(x[:, ACCOUNTS])
    other[:, APPROVED] = 1 - x[:, APPROVED]
    return other


def _table(test: Payments) -> list[str]:
    """Every fraud, and honest payments: which part of those is taken changes no AUC."""
    honest = np.flatnonzero(~test.fraud)
    chosen = np.sort(np.concatenate((np.flatnonzero(test.fraud), honest[:: max(1, len(honest) // HONEST)])))
    lines = [f"{test.csv(row).decode()},{int(test.fraud[row])}" for row in chosen]
    return [",".join((*FEATURES, "fraud")), *lines]


def _requests(test: Payments) -> list[SampleRequest]:
    """Frauds are as rare as they are."""
    chosen = np.linspace(0, len(test.day) - 1, min(REQUESTS, len(test.day))).astype(int)
    return [SampleRequest(test.csv(row).decode(), expected=str(int(test.fraud[row]))) for row in chosen]
