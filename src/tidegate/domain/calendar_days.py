"""Days that come again by the calendar of months: pay days, a year's end, a tax season."""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

EVERY_MONTH = tuple(range(1, 13))
EVERY_WEEKDAY = tuple(range(7))


def monday_to_friday(day: date) -> bool:
    return day.isoweekday() < 6


@dataclass(frozen=True)
class CalendarDays:
    """``days`` of the ``months``: -1 is the last one, -2 the one before; a day that a month lacks is left out.

    With ``working`` a day that falls on a weekend is moved to the working day before it (as pay is), and with
    ``ahead`` the working days before it belong to it too. Without ``working`` weekends stay as they are.
    ``weekdays`` (0 is Monday) are those that count at all.
    """

    days: tuple[int, ...]
    months: tuple[int, ...] = EVERY_MONTH
    working: bool = False
    ahead: int = 0
    weekdays: tuple[int, ...] = EVERY_WEEKDAY

    def dates(self, year: int, works: Callable[[date], bool] = monday_to_friday) -> set[date]:
        """Those of the year, with the last days of December that are ahead of the next January's. ``works`` says
        which days are working days."""
        found: set[date] = set()
        for of_year, month in [(year, month) for month in self.months] + [(year + 1, 1)] * (1 in self.months):
            length = monthrange(of_year, month)[1]
            for day in self.days:
                number = day if day > 0 else length + 1 + day
                if 1 <= number <= length:
                    found |= self._with_days_ahead(date(of_year, month, number), works)
        return {day for day in found if day.year == year and day.weekday() in self.weekdays}

    def _with_days_ahead(self, day: date, works: Callable[[date], bool]) -> set[date]:
        if not self.working:
            return {day - timedelta(days=back) for back in range(self.ahead + 1)}
        found: set[date] = set()
        while len(found) <= self.ahead:
            if works(day):
                found.add(day)
            day -= timedelta(days=1)
        return found
