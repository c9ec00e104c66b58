"""Requests a second, hour by hour over a year: a base rate, a week's profile, peaks by the calendar, growth.

An hour's mean is ``rps x profile[hour of week] x factor of the largest peak that holds x growth``. Its busiest
minutes are ``burst`` times the mean; instances are counted by those, requests by the mean.
"""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from tidegate.domain.calendar_days import EVERY_MONTH, CalendarDays
from tidegate.domain.errors import Invalid
from tidegate.features.cost.errors import in_range

HOURS_PER_WEEK = 168
YEAR = 2026
"""The year over whose calendar traffic is replayed unless another one is named."""
SECONDS = 3600.0
MOST_RPS = 1e9
"""A rate above it is a slip of the keys."""


@dataclass(frozen=True)
class PeakDays:
    """Days on which the rate is ``factor`` times (>= 1) what it is on others; ``model.days`` says which those are."""

    name: str
    factor: float
    days: tuple[int, ...]
    months: tuple[int, ...] = EVERY_MONTH
    working: bool = False
    ahead: int = 0

    def __post_init__(self) -> None:
        in_range(f"peak {self.name!r}: factor", self.factor, 1, 1e6)
        in_range(f"peak {self.name!r}: ahead", self.ahead, 0, 31)
        if not self.days or any(not (1 <= abs(day) <= 31) for day in self.days):
            raise Invalid(f"peak {self.name!r}: days must be from 1 to 31, or from -1 (the last) to -31")
        if not self.months or any(not 1 <= month <= 12 for month in self.months):
            raise Invalid(f"peak {self.name!r}: months must be from 1 to 12")

    def dates(self, year: int) -> set[date]:
        """Return the peak's days of the year, with the last days of December that are ahead of the next January's."""
        return CalendarDays(self.days, self.months, self.working, self.ahead).dates(year)


@dataclass(frozen=True)
class Shape:
    """The shape of a year of traffic. ``profile`` has 168 parts (0 to 1) of the base rate, from Monday midnight on;
    ``burst`` (>= 1) is the busiest minutes of an hour against its mean."""

    name: str
    profile: tuple[float, ...]
    peaks: tuple[PeakDays, ...] = ()
    burst: float = 1.0
    says: str = ""

    def __post_init__(self) -> None:
        if len(self.profile) != HOURS_PER_WEEK:
            raise Invalid(
                f"shape {self.name!r}: a profile has {HOURS_PER_WEEK} hours, this one {len(self.profile)}"
            )
        for part in self.profile:
            in_range(f"shape {self.name!r}: a part of the profile", part, 0, 1)
        in_range(f"shape {self.name!r}: burst", self.burst, 1, 3600)

    def days(self, year: int) -> list[tuple[float, str]]:
        """Return for each day of the year the largest factor that holds and its peak's name; 1 and "" where none
        does."""
        first = date(year, 1, 1)
        days = [(1.0, "")] * (366 if monthrange(year, 2)[1] == 29 else 365)
        for peak in self.peaks:
            for day in peak.dates(year):
                index = (day - first).days
                if peak.factor > days[index][0]:
                    days[index] = (peak.factor, peak.name)
        return days


@dataclass(frozen=True)
class Load:
    """A year of traffic. ``mean`` and ``peak`` are requests a second of each hour, 8760 of them (8784 in a leap
    year), from the first of January on; ``days`` has the name of the peak that each day belongs to, "" for none."""

    year: int
    mean: tuple[float, ...] = field(repr=False)
    peak: tuple[float, ...] = field(repr=False)
    days: tuple[str, ...] = field(repr=False)

    def times(self, factor: float) -> "Load":
        """Return the same load at ``factor`` times the rate."""
        mean = tuple([rate * factor for rate in self.mean])
        peak = mean if self.peak is self.mean else tuple([rate * factor for rate in self.peak])
        return Load(self.year, mean, peak, self.days)

    @property
    def hours(self) -> int:
        return len(self.mean)

    @property
    def seconds(self) -> float:
        return len(self.mean) * SECONDS

    @cached_property
    def requests(self) -> float:
        """Number of requests in the whole year."""
        return sum(self.mean) * SECONDS

    @cached_property
    def busiest(self) -> float:
        """Requests a second in the busiest minutes of the year."""
        return max(self.peak)

    @cached_property
    def quietest(self) -> float:
        """Requests a second in the busiest minutes of the quietest hour."""
        return min(self.peak)

    @cached_property
    def daily_peaks(self) -> tuple[tuple[float, ...], ...]:
        """``peak`` by days."""
        return tuple(self.peak[hour : hour + 24] for hour in range(0, len(self.peak), 24))

    @property
    def idle(self) -> int:
        """Number of hours without a request."""
        return sum(1 for rate in self.mean if rate == 0)


@dataclass(frozen=True)
class Traffic:
    """Requests over years. ``rps`` is the mean rate of the busiest ordinary hour: the peaks of the shape come on top
    of it.

    ``growth`` is the part by which traffic grows in a year (0.2: a fifth more), hour by hour, from the start of the
    year that is asked for.
    """

    rps: float
    shape: Shape
    growth: float = 0.0

    def __post_init__(self) -> None:
        in_range("traffic: requests a second", self.rps, 0, MOST_RPS)
        in_range("traffic: growth in a year", self.growth, -0.99, 100)

    def hours(self, year: int, since: int | None = None) -> Load:
        """Return the load of each hour of ``year``; ``since`` is the year that growth counts from (None:
        ``year``)."""
        in_range("traffic: year", year, 1970, 9000)
        profile = self.shape.profile
        mean: list[float] = []
        hour = date(year, 1, 1).weekday() * 24
        days = self.shape.days(year)
        for factor, _ in days:
            level = self.rps * factor
            mean.extend([level * part for part in profile[hour : hour + 24]])
            hour = (hour + 24) % HOURS_PER_WEEK
        if self.growth:
            before = float(year - (year if since is None else since))
            step = 1.0 / len(mean)
            whole = 1.0 + self.growth
            mean = [rate * whole ** (before + index * step) for index, rate in enumerate(mean)]
        burst = self.shape.burst
        means = tuple(mean)
        peak = means if burst == 1 else tuple([rate * burst for rate in means])
        return Load(year, means, peak, tuple(name for _, name in days))
