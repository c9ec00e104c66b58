"""How old the prices are that a bill rests on."""

from dataclasses import dataclass
from datetime import date

from tidegate.features.cost.bill import Bill

OLD = 6
"""Months from which on prices should be renewed."""


@dataclass(frozen=True)
class PriceDates:
    """Days of the oldest and the newest price of a bill. ``stand_ins`` are items whose price is of another region
    than ``region``, ``estimates`` those whose sources do not agree."""

    region: str
    oldest: date
    newest: date
    stand_ins: tuple[str, ...]
    estimates: tuple[str, ...]

    def describe(self, today: date) -> str:
        """``2026-01-31 to 2026-09-06, the oldest 10 months old``; from half a year on with how to renew them."""
        span = f"{self.oldest}" if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        months = (today.year - self.oldest.year) * 12 + today.month - self.oldest.month
        age = "this month's" if months <= 0 else "1 month old" if months == 1 else f"{months} months old"
        renew = " ('tidegate prices update')" if months >= OLD else ""
        return f"{span}, the oldest {age}{renew}"


def price_dates(bill: Bill, region: str) -> PriceDates:
    rates = {line.rate.item: line.rate for line in bill.lines}.values()
    dates = sorted(rate.date for rate in rates)
    return PriceDates(
        region,
        dates[0],
        dates[-1],
        tuple(sorted(rate.item for rate in rates if rate.stands_in)),
        tuple(sorted(rate.item for rate in rates if not rate.certain)),
    )
