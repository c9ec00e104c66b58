"""A seeded generator of payroll payments with rare frauds. Entirely synthetic: it shows how a platform behaves on
traffic shaped like payroll, and says nothing about real payroll or real fraud.

What is true of it, by construction: employees are paid on their country's calendar (every second Friday, or a day
of the month); some payments are off-cycle; raises come in July; Brazil joins in September with another pay scale;
in December bonuses and corrections make ten times the volume of a usual month. Each payment has a known
probability of being fraudulent, part of which rests on a circumstance that no feature shows, so even a perfect
model stays below the oracle. Whether a payment was a fraud becomes known only weeks later (``known_on``).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

DAYS = 365
MONTH_STARTS = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
FEATURES = (
    "amount_log",
    "amount_to_salary",
    "off_cycle",
    "month",
    "days_since_bank_change",
    "employees_on_account",
    "tenure_years",
    "overtime_hours",
    "approved_by_own_manager",
    "country",
)
BRAZIL_JOINS = 243
"""First of September, as a day of the year."""


@dataclass(frozen=True)
class Country:
    """``pay_day`` is a day of the month; None: every second Friday. Salaries are a month's, in own currency."""

    code: str
    currency: str
    part: float
    pay_day: int | None
    salary: float


COUNTRIES = (
    Country("US", "USD", 0.48, None, 5_200.0),
    Country("DE", "EUR", 0.22, 27, 4_100.0),
    Country("IN", "INR", 0.18, 30, 82_000.0),
    Country("BR", "BRL", 0.12, 5, 6_800.0),
)


BRAZIL = [country.code for country in COUNTRIES].index("BR")


@dataclass(frozen=True)
class _Employees:
    country: NDArray[np.int64]
    salary: NDArray[np.float64]
    hired: NDArray[np.int64]
    """Day of the year; negative for earlier years."""
    bank_changed: NDArray[np.int64]
    shared: NDArray[np.int64]
    """How many employees are paid to the same account."""


@dataclass(frozen=True)
class Payments:
    """One row per payment, in the order of their days."""

    day: NDArray[np.int64]
    country: NDArray[np.int64]
    x: NDArray[np.float32] = field(repr=False)
    """Columns as in FEATURES."""
    probability: NDArray[np.float64] = field(repr=False)
    """The true one, for an oracle."""
    fraud: NDArray[np.bool_] = field(repr=False)
    known_on: NDArray[np.int64] = field(repr=False)
    """Day on which it is known whether it was a fraud."""

    def between(self, first: int, end: int) -> "Payments":
        """Those of the days from ``first`` to before ``end``."""
        return self.where((self.day >= first) & (self.day < end))

    def where(self, mask: NDArray[np.bool_]) -> "Payments":
        return Payments(
            self.day[mask],
            self.country[mask],
            self.x[mask],
            self.probability[mask],
            self.fraud[mask],
            self.known_on[mask],
        )

    def csv(self, row: int) -> bytes:
        return ",".join(f"{value:g}" for value in self.x[row]).encode()


def generate(employees: int = 20_000, seed: int = 7) -> Payments:
    """One year. The same arguments give the same payments."""
    random = np.random.default_rng(seed)
    staff = _employees(random, employees)
    who, day, off_cycle = _calendar(random, staff)
    joined = (staff.country[who] != BRAZIL) | (day >= BRAZIL_JOINS)
    who, day, off_cycle = who[joined], day[joined], off_cycle[joined]
    order = np.argsort(day, kind="stable")
    who, day, off_cycle = who[order], day[order], off_cycle[order]
    x, hidden = _features(random, staff, who, day, off_cycle)
    probability = _probability(x, hidden)
    fraud = random.random(len(day)) < probability
    lag = np.where(fraud, random.gamma(2.0, 12.0, len(day)), random.gamma(2.0, 4.0, len(day)))
    return Payments(day, staff.country[who], x, probability, fraud, day + lag.astype(np.int64))


def _employees(random: np.random.Generator, count: int) -> _Employees:
    country = random.choice(len(COUNTRIES), count, p=[c.part for c in COUNTRIES])
    typical = np.array([c.salary for c in COUNTRIES])[country]
    changed = random.random(count) < 0.25
    return _Employees(
        country=country,
        salary=typical * random.lognormal(0.0, 0.35, count),
        hired=-random.integers(0, 12 * DAYS, count) + np.where(random.random(count) < 0.1, 11 * DAYS, 0),
        bank_changed=np.where(changed, random.integers(0, DAYS, count), -random.integers(DAYS, 4 * DAYS, count)),
        shared=1 + (random.random(count) < 0.03) * random.integers(1, 4, count),
    )


def _calendar(
    random: np.random.Generator, staff: _Employees
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Who is paid when: regular pay days, off-cycle payments all year, and the rush of December."""
    who: list[NDArray[np.int64]] = []
    day: list[NDArray[np.int64]] = []
    for number, country in enumerate(COUNTRIES):
        members = np.flatnonzero(staff.country == number)
        if country.pay_day is None:
            days = np.arange(4, DAYS, 14)
        else:
            days = np.minimum(MONTH_STARTS + country.pay_day - 1, DAYS - 1)
        who.append(np.repeat(members, len(days)))
        day.append(np.tile(days, len(members)))
    regular = sum(len(part) for part in who)
    extra = regular // 30
    rush = 9 * regular // 12
    everybody = len(staff.country)
    who += [random.integers(0, everybody, extra), random.integers(0, everybody, rush)]
    day += [random.integers(0, DAYS, extra), MONTH_STARTS[11] + random.integers(0, 24, rush)]
    off_cycle = np.arange(regular + extra + rush) >= regular
    return np.concatenate(who), np.concatenate(day), off_cycle


def _features(
    random: np.random.Generator,
    staff: _Employees,
    who: NDArray[np.int64],
    day: NDArray[np.int64],
    off_cycle: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The features of each payment, and the circumstance that no feature shows."""
    count = len(day)
    country, salary = staff.country[who], staff.salary[who]
    fortnight = np.array([c.pay_day is None for c in COUNTRIES])[country]
    raised = np.where(day >= MONTH_STARTS[6], 1.03, 1.0)
    overtime = random.gamma(1.2, 4.0, count) * (random.random(count) < 0.3)
    ratio = raised * np.where(fortnight, 0.5, 1.0) * (1 + overtime / 160) * random.lognormal(0.0, 0.03, count)
    ratio = np.where(off_cycle, random.lognormal(-1.2, 0.6, count), ratio)
    bonus = off_cycle & (day >= MONTH_STARTS[11])
    ratio = np.where(bonus, random.lognormal(-0.2, 0.5, count), ratio)
    since_change = np.clip(day - staff.bank_changed[who], 0, None)
    since_change = np.where(day < staff.bank_changed[who], 3 * DAYS, since_change)
    month = np.searchsorted(MONTH_STARTS, day, side="right")
    columns = (
        np.log(ratio * salary),
        ratio,
        off_cycle,
        month,
        np.minimum(since_change, 3 * DAYS),
        staff.shared[who],
        np.maximum(day - staff.hired[who], 0) / DAYS,
        overtime,
        random.random(count) < 0.85,
        country,
    )
    return np.column_stack(columns).astype(np.float32), random.random(count) < 0.02


def _probability(x: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logistic in what makes fraud likely: a fresh bank account, one shared by several, much overtime in a short
    tenure, an off-cycle payment without the own manager, and collusion, which stays hidden."""
    column = dict(zip(FEATURES, x.T.astype(np.float64), strict=True))
    fresh = column["days_since_bank_change"] < 20
    lonely = (column["off_cycle"] > 0) & (column["approved_by_own_manager"] == 0)
    score = (
        -7.1
        + 3.2 * fresh
        + 1.3 * (column["employees_on_account"] - 1)
        + 0.16 * column["overtime_hours"] * (column["tenure_years"] < 2)
        + 4.0 * lonely
        + 1.2 * np.clip(column["amount_to_salary"] - 1.0, 0, 3)
        + 3.0 * hidden
    )
    return np.asarray(1 / (1 + np.exp(-score)))
