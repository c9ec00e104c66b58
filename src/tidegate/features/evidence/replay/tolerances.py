"""How much a statistic may change: ``mean=5%``, ``auc=0.02``. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.rows.label_lines import read_number


@dataclass(frozen=True)
class Tolerance:
    """``relative``: to the old version's value."""

    limit: float
    relative: bool = False

    def __str__(self) -> str:
        return f"{self.limit:.4g}" if not self.relative else f"{self.limit * 100:.4g} %"


RELATIVE = ("mean", "slice", "loss", "error")
"""Statistics of which a percentage is one of the old version's value; of the others 5% is 0.05."""
DEFAULTS: Mapping[str, Tolerance] = {
    "mean": Tolerance(0.15, True),
    "slice": Tolerance(0.5, True),
    "rank": Tolerance(0.25),
    "auc": Tolerance(0.02),
    "calibration": Tolerance(0.02),
    "loss": Tolerance(0.05, True),
    "error": Tolerance(0.05, True),
}
"""What counts as harm unless something else is said. The first three are wider than what eleven honest versions of a
fraud model with 0.26 % positives changed on 1,000 rows (``bench/honest_versions.py``): the mean by 13 %, 1 - rank
correlation by 0.19, the mean of a country that they had seen enough of by 28 %."""
STATISTICS: Mapping[str, str] = {
    "mean": "mean score",
    "slice": "mean score of a slice",
    "rank": "1 - rank correlation",
    "moved": "share of rows moved",
    "top": "change of the top 5 %",
    "auc": "AUC lost",
    "precision": "average precision lost",
    "calibration": "calibration error gained",
    "loss": "log loss gained",
    "error": "mean absolute error gained",
}


def parse_tolerances(texts: Iterable[str]) -> dict[str, Tolerance]:
    """The defaults with what is given: ``NAME=VALUE``, or ``NAME=none`` to report it only. Raises Invalid."""
    found = dict(DEFAULTS)
    for text in texts:
        name, _, value = text.partition("=")
        if name not in STATISTICS:
            raise Invalid(f"--tolerance {text}: expected NAME=VALUE, of {', '.join(STATISTICS)}")
        if value == "none":
            found.pop(name, None)
            continue
        number = read_number(value.removesuffix("%"))
        if number is None or number < 0:
            raise Invalid(f"--tolerance {text}: expected a number such as 0.02, a share such as 5%, or none")
        share = value.endswith("%")
        found[name] = Tolerance(number / 100 if share else number, share and name in RELATIVE)
    return found
