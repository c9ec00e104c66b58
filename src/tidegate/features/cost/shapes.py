"""Named shapes of traffic: facts about working weeks and payroll, with their reasons beside them."""

from tidegate.domain.errors import Invalid
from tidegate.features.cost.traffic import PeakDays, Shape

_WEEKEND = range(5, 7)


def _week(day: list[float], weekend: list[float]) -> tuple[float, ...]:
    return tuple(part for weekday in range(7) for part in (weekend if weekday in _WEEKEND else day))


def _hours(first: int, last: int, inside: float, outside: float, *, edge: float | None = None) -> list[float]:
    """A day: ``inside`` from hour ``first`` until hour ``last``, ``edge`` in the hour before and after."""
    side = outside if edge is None else edge
    return [
        inside if first <= hour < last else side if hour in (first - 1, last) else outside for hour in range(24)
    ]


STEADY = Shape("steady", (1.0,) * 168, says="the same rate at all hours")

_NIGHT_AND_DAY = "25 20 15 15 15 20 35 50 65 80 90 100 95 95 100 95 90 85 80 75 65 55 45 35"
_AT_WEEKENDS = "20 15 10 10 10 15 20 30 40 50 55 60 60 60 60 55 55 50 50 45 40 35 30 25"


def _percents(text: str) -> list[float]:
    return [int(word) / 100 for word in text.split()]


DIURNAL = Shape(
    "diurnal",
    _week(_percents(_NIGHT_AND_DAY), _percents(_AT_WEEKENDS)),
    says="a curve of day and night, lower at weekends",
)

BUSINESS_HOURS = Shape(
    "business_hours",
    _week(_hours(8, 18, 1.0, 0.0, edge=0.3), [0.0] * 24),
    says="working days from 8 to 18 with an hour of a third on both sides, else nothing",
)

PAY_DAYS = PeakDays("pay days", 4.0, (15, -1), working=True, ahead=1)
"""Twice a month is how most payrolls of one country fall together. Files must reach the bank one or two working days
before the pay date, so the day ahead is as busy; the two days hold most of a half-month's payments."""
YEAR_END = PeakDays("year end", 10.0, tuple(range(15, 32)), (12,))
"""Ten times is what payroll firms plan for at year end and in tax season: bonuses, off-cycle runs, corrections."""
FORMS = PeakDays("tax forms", 10.0, tuple(range(1, 32)), (1,))
"""Tax season, first part: wage statements (W-2, 1099) are due on 31 January."""
FILING = PeakDays("tax filing", 10.0, tuple(range(1, 16)), (4,))
"""Tax season, second part: returns are due on 15 April."""

PAYROLL = Shape(
    "payroll",
    _week(_hours(8, 20, 1.0, 0.1, edge=0.4), _hours(8, 20, 0.2, 0.05)),
    (PAY_DAYS, YEAR_END, FORMS, FILING),
    says="working days from 8 to 20 (a country of several time zones), 4 times that on the 15th and the last day of "
    "the month and the working day before, 10 times that from 15 December to 31 January and from 1 to 15 April",
)

INTERMITTENT = Shape(
    "intermittent",
    _week([1.0 if hour in (9, 11, 14, 16) else 0.0 for hour in range(24)], [0.0] * 24),
    burst=6.0,
    says="four hours of a working day, ten minutes in each of them, else nothing",
)

MONTHLY = Shape(
    "monthly",
    _week(_hours(8, 18, 0.1, 0.0), [0.0] * 24),
    (PeakDays("month end", 10.0, (-1,), working=True, ahead=2),),
    says="a tenth of the rate in working hours, all of it in those of the last three working days of a month",
)

SHAPES = {shape.name: shape for shape in (STEADY, DIURNAL, BUSINESS_HOURS, PAYROLL, INTERMITTENT, MONTHLY)}


def shape(name: str) -> Shape:
    """Raises Invalid for a name that is not known."""
    found = SHAPES.get(name.replace("-", "_"))
    if found is None:
        raise Invalid(f"unknown shape of traffic {name!r}; there are: {', '.join(SHAPES)}")
    return found
