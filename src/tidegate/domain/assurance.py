"""A bound on exposure: which harm must be ruled out before a version gets more than some share of the traffic."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["ASSUMED", "Assurance", "AssuranceUnit", "Harm", "HarmResult", "PredictionHarm"]


class AssuranceUnit(StrEnum):
    """One observation of errors."""

    REQUEST = "request"
    """A request, where failures come together in twos on average at most."""
    SECOND = "second"
    """A second, however the requests in it depend on one another."""


@dataclass(frozen=True)
class PredictionHarm:
    """Differences between two predictions of the same requests that do harm. None: no harm by itself. Those of
    amounts are in the prediction's own unit, those of scores from 0 to 1 in log-odds; the others are fractions."""

    bias: float | None = None
    """Mean difference, upwards or downwards."""
    spread: float | None = None
    """Mean change of the distance from the old version's median, of amounts."""
    distance: float | None = None
    """Mean absolute difference."""
    top_bias: float | None = None
    """Mean difference among the old version's highest 5 %."""
    moved: float | None = None
    """Part of the requests whose predictions differ by more than one unit."""
    top: float | None = None
    """Part of the old version's highest 5 % that are not among the new version's."""
    order: float | None = None
    """Part of the pairs of requests that the versions put in the opposite order."""


@dataclass(frozen=True)
class Harm:
    """How much worse a version is that does harm: by this or more. None: no harm by itself."""

    errors: float | None = None
    """Further part of the requests that fail."""
    latency: float | None = None
    """Part by which the old version's p50 or p99 is exceeded, and by 1 ms at least."""
    predictions: PredictionHarm = PredictionHarm()
    auc: float | None = None
    """AUC lost, on labelled rows."""
    recall: float | None = None
    """Part of the positives among labelled rows that the version's highest 5 % lose."""
    mean_error: float | None = None
    """Part by which the old version's mean absolute error is exceeded, on labelled rows."""

    @property
    def of_pairs(self) -> dict[str, float]:
        """The harms that pairs show, by name."""
        return {name: value for name, value in asdict(self.predictions).items() if value is not None}

    @property
    def of_labels(self) -> dict[str, float]:
        """The harms that labelled rows show, by name."""
        found = {"auc": self.auc, "recall": self.recall, "mean_error": self.mean_error}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Assurance:
    """A version with one of the harms gets more than a share of the traffic with a small probability only."""

    harm: Harm
    before: int
    """Largest share of the traffic before all harms are ruled out, in basis points."""
    missed: float = 0.01
    """Upper bound of the probability that a version with a harm gets more than that."""
    exposure: int | None = None
    """Requests to the new version after which the wait for an answer ends, as at the deadline for evidence."""
    unit: AssuranceUnit = AssuranceUnit.REQUEST
    failed: int | None = None
    """The same of requests that the new version failed."""
    ramp: bool = False
    """Each stage is the largest one of the schedule with which neither budget is spent, but for a probability of
    ``missed`` over all of them together."""

    def count_left(self, requests: int, failures: int) -> tuple[int | None, int | None]:
        """Return the requests and failures that are left after so many; None: there is no such budget."""
        exposure = None if self.exposure is None else max(0, self.exposure - requests)
        return exposure, None if self.failed is None else max(0, self.failed - failures)

    @property
    def counts_failures(self) -> bool:
        return self.ramp or self.failed is not None


@dataclass(frozen=True)
class HarmResult:
    """Finding about one harm of one variant. ``harm`` has its name, such as ``latency p99``; ``limit`` is how
    large it is, in the unit of ``estimate`` and of ``bound``, which is the upper bound of how much worse the version
    is; of latencies it is 0, and these are shares of the requests beyond the slower quantile. ``evidence`` is the
    logarithm of the largest e-value against the harm over that at which it is ruled out: 1 or more (of labelled rows:
    1 if ruled out, else 0). ``count`` requests, pairs or labels were seen in ``seconds``; ``needed`` is about
    how many more it takes, 0 if none, None if that is unknown."""

    harm: str
    variant: str
    limit: float
    estimate: float | None
    bound: float | None
    evidence: float
    excluded: bool
    count: int = 0
    seconds: int = 0
    needed: int | None = None

    @property
    def seconds_left(self) -> int | None:
        """About how many seconds that takes at the rate so far; None: it cannot be said."""
        if self.excluded or self.needed is None or not self.count:
            return 0 if self.excluded else None
        return math.ceil(self.needed * self.seconds / self.count)


ASSUMED = HarmResult("every harm", "", 0.0, None, None, 1.0, True)
"""Of simulated rollouts whose versions are assumed to be equal."""
