"""Normal behaviour of a model, and faults of a bad version: the two sides that an alarm has to distinguish."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist

from tidegate.domain.errors import Invalid

_NORMAL = NormalDist()
_SLICES = 4_000
"""Number of slices of the normal score for numerical means."""
_FARTHEST = 8.0
"""Largest normal score; beyond it lie 1e-15 of all requests."""


class Quantity(StrEnum):
    """A quantity in which a version can be worse."""

    ERRORS = "error-rate"
    LATENCY = "latency"
    PREDICTIONS = "prediction-shift"
    REFUSALS = "refusal-rate"

    @property
    def is_rate(self) -> bool:
        """Whether it is a fraction of the requests."""
        return self in (Quantity.ERRORS, Quantity.REFUSALS)


@dataclass(frozen=True)
class LatencyDistribution:
    """Distribution of latencies in microseconds, from some percentiles.

    ``points``: (fraction of the requests, latency that they do not exceed), ascending. Between two points the
    logarithm of the latency is linear in the normal score of the fraction, and it is extrapolated beyond the ends:
    two points give exactly the log-normal distribution through them. ``added`` is added to every request.
    """

    points: tuple[tuple[float, float], ...]
    added: float = 0.0

    def __post_init__(self) -> None:
        parts, times = [p for p, _ in self.points], [t for _, t in self.points]
        rising = all(a < b for a, b in pairwise(parts)) and times == sorted(times)
        possible = all(0 < p < 1 for p in parts) and all(0 < t < 1e15 for t in times)
        if len(parts) < 2 or not rising or not possible:
            raise Invalid(
                "latency: give at least two ascending percentiles above 0, such as p50=20ms and p99=80ms"
            )

    @classmethod
    def lognormal(cls, median: float, p99: float) -> "LatencyDistribution":
        return cls(((0.5, median), (0.99, p99)))

    def slower_than(self, time: float) -> float:
        """Return the fraction of requests that take longer than ``time``."""
        rest = time - self.added
        return 1.0 if rest <= 0 else _NORMAL.cdf(-self._score(math.log(rest)))

    def quantile(self, part: float) -> float:
        """Return the latency that this fraction of the requests does not exceed."""
        return self.added + math.exp(self._log_time(_NORMAL.inv_cdf(part)))

    def slower_by(self, time: float) -> "LatencyDistribution":
        return replace(self, added=self.added + time)

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        width = 2 * _FARTHEST / _SLICES
        scores = [(i + 0.5) * width - _FARTHEST for i in range(_SLICES)]
        weights = [_NORMAL.pdf(z) * width for z in scores]
        times = [math.exp(self._log_time(z)) for z in scores]
        mean = math.fsum(w * t for w, t in zip(weights, times, strict=True))
        square = math.fsum(w * t * t for w, t in zip(weights, times, strict=True))
        return self.added + mean, math.sqrt(max(0.0, square - mean * mean))

    @cached_property
    def _knots(self) -> tuple[tuple[float, float], ...]:
        return tuple((_NORMAL.inv_cdf(part), math.log(time)) for part, time in self.points)

    def _segment(self, place: int, value: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the two knots around or next to ``value`` in the ``place``-th coordinate."""
        knots = self._knots
        last = next((i for i in range(1, len(knots)) if value <= knots[i][place]), len(knots) - 1)
        return knots[last - 1], knots[last]

    def _score(self, log_time: float) -> float:
        (z0, t0), (z1, t1) = self._segment(1, log_time)
        if t1 == t0:
            return math.copysign(math.inf, log_time - t0) if log_time != t0 else z1
        return z0 + (log_time - t0) * (z1 - z0) / (t1 - t0)

    def _log_time(self, score: float) -> float:
        (z0, t0), (z1, t1) = self._segment(0, score)
        return t0 + (score - z0) * (t1 - t0) / (z1 - z0)


@dataclass(frozen=True)
class Predictions:
    """Distribution of a good version's answers, taken as normal."""

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.deviation < math.inf):
            raise Invalid("predictions: the mean must be a number and the deviation a number above 0")


@dataclass(frozen=True)
class LabelFlow:
    """The labels that come later: ``positive`` is the part of the labels that are 1, ``labelled`` the part of the
    requests that get a label, ``delay`` the seconds after which most have theirs."""

    positive: float
    labelled: float = 1.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.positive < 1:
            raise Invalid(f"positive {self.positive:g}: must lie between 0 % and 100 %")
        if not 0 < self.labelled <= 1:
            raise Invalid(f"labelled {self.labelled:g}: must be more than 0 % and at most 100 %")
        if not 0 <= self.delay < 1e10:
            raise Invalid("label-delay: must be a time from 0")


@dataclass(frozen=True)
class Baseline:
    """Behaviour of a good version. ``error_rate``: fraction of requests that fail (5xx) nevertheless;
    ``refusal_rate``: fraction that is refused because the request is invalid (4xx)."""

    error_rate: float = 0.001
    latency: LatencyDistribution | None = None
    """None: unknown; latency alarms are then not modelled."""
    predictions: Predictions | None = None
    refusal_rate: float = 0.0
    labels: LabelFlow | None = None
    """None: unknown; when late labels can say something is then not computed."""
    positives: int | None = None
    """Labelled rows of 1 in a replay; None: unknown."""

    def __post_init__(self) -> None:
        for what, rate in (("error", self.error_rate), ("refusal", self.refusal_rate)):
            if not 0 <= rate < 1:
                raise Invalid(f"{what} rate {rate:g}: must be from 0 % to less than 100 %")

    def rate(self, quantity: Quantity) -> float:
        """Return the rate of a quantity that ``is_rate``."""
        return self.refusal_rate if quantity is Quantity.REFUSALS else self.error_rate

    def with_fault(self, fault: "VersionFault") -> "Baseline":
        """Return the baseline of a version with this fault."""
        latency, predictions = self.latency, self.predictions
        if latency is not None and fault.latency:
            latency = latency.slower_by(fault.latency)
        if predictions is not None and fault.prediction_shift:
            by = math.copysign(math.sqrt(abs(fault.prediction_shift)), fault.prediction_shift)
            predictions = replace(predictions, mean=predictions.mean + by * predictions.deviation)
        rates = (
            min(1 - 1e-12, r) for r in (self.error_rate + fault.error_rate, self.refusal_rate + fault.refusal_rate)
        )
        errors, refusals = rates
        return replace(self, error_rate=errors, latency=latency, predictions=predictions, refusal_rate=refusals)


@dataclass(frozen=True)
class VersionFault:
    """A fault of a bad version, present from its first request.

    ``error_rate`` is added to the baseline's (0.05: five more of 100 requests fail). ``latency`` is microseconds
    added to each request. ``prediction_shift`` is the population stability index between the answers of the new and
    the old version: for normal answers whose mean moves by d standard deviations it is d squared (both
    Kullback-Leibler divergences are d^2 / 2, and the index is their sum). Its sign is the direction. ``refusal_rate``
    is added like ``error_rate``: requests that the old version accepted.
    """

    error_rate: float = 0.0
    latency: float = 0.0
    prediction_shift: float = 0.0
    refusal_rate: float = 0.0
    failed_start: bool = False
    """Its instances do not start."""
    wrong_predictions: float = 0.0
    """Part of the requests that get the prediction of another request: as a whole, predictions look as before."""
    changed_columns: float = 0.0
    """Part of the requests of which a stage makes another value in one column."""
    auc_loss: float = 0.0
    """Loss of AUC on labelled rows."""
    no_data: bool = False
    """Nothing is counted of its requests."""

    def __post_init__(self) -> None:
        rates = {
            str(Quantity.ERRORS): self.error_rate,
            str(Quantity.REFUSALS): self.refusal_rate,
            "wrong-predictions": self.wrong_predictions,
            "changed-columns": self.changed_columns,
        }
        for what, rate in rates.items():
            if not 0 <= rate <= 1:
                raise Invalid(f"{what}={rate:g}: must be from 0% to 100%")
        if not 0 <= self.auc_loss <= 0.5:
            raise Invalid(f"auc-loss={self.auc_loss:g}: must be from 0 to 0.5")
        if not 0 <= self.latency < 1e12:
            raise Invalid("latency: must be a time from 0 to a million seconds")
        if not abs(self.prediction_shift) <= 100:
            raise Invalid(f"prediction-shift={self.prediction_shift:g}: must be from -100 to 100")

    @property
    def rises(self) -> dict[Quantity, float]:
        """The sizes of its quantities, without those that it leaves alone."""
        sizes = {
            Quantity.ERRORS: self.error_rate,
            Quantity.LATENCY: self.latency,
            Quantity.PREDICTIONS: self.prediction_shift,
            Quantity.REFUSALS: self.refusal_rate,
        }
        return {quantity: size for quantity, size in sizes.items() if size}

    @classmethod
    def of(cls, quantity: Quantity, size: float) -> "VersionFault":
        return cls().with_rise(quantity, size)

    def with_rise(self, quantity: Quantity, size: float) -> "VersionFault":
        """Return this fault with the size of one quantity set."""
        match quantity:
            case Quantity.ERRORS:
                return replace(self, error_rate=size)
            case Quantity.LATENCY:
                return replace(self, latency=size)
            case Quantity.PREDICTIONS:
                return replace(self, prediction_shift=size)
            case Quantity.REFUSALS:
                return replace(self, refusal_rate=size)


HEALTHY = VersionFault()
