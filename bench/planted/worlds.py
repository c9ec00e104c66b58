"""Six seeded tables with labels: payroll fraud (by ``features.examples.payroll``), attrition, salaries, rents,
deliveries (minutes and cost) and tickets (four classes).

Entirely synthetic: they show what evidence finds, and say nothing of real payrolls or staff. Rows are in the order of
time. Every table has a column of each kind that a fault needs: money, a category, an hour in UTC, something that
grows old, values that are missing."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tidegate.features.examples import payroll

Floats = NDArray[np.float64]
OFFSETS = (-6, 1, 5, -3, 2, 9, 0, -8)
"""Hours from UTC, by category."""


@dataclass(frozen=True)
class World:
    """``columns`` name those of ``x``; the following members name some of them. ``group``: of slices; ``client``:
    whose row it is. Rows before ``trained`` are for training, those before ``replayed`` have labels before a
    rollout."""

    name: str
    columns: tuple[str, ...]
    x: Floats
    y: Floats
    group: NDArray[np.int64]
    client: NDArray[np.int64]
    money: str
    category: str
    hour: str
    stale: str
    swapped: tuple[str, str]
    classes: bool
    trained: int
    replayed: int
    others: tuple[Floats, ...] = ()
    """Labels of further outputs."""
    failing: float = 0.0
    """Part of the requests that either version fails, each on its own."""
    unusable: float = 0.0
    """Part of the answers of either version that are NaN, each on its own."""
    rows: int = 1
    """Rows of a request."""

    @property
    def outputs(self) -> tuple["World", ...]:
        """One world for each output of a model, which differ in their labels."""
        return replace(self, others=()), *(replace(self, y=other, others=()) for other in self.others)

    def at(self, column: str) -> int:
        return self.columns.index(column)


def make_worlds() -> tuple[World, ...]:
    return make_fraud(), make_attrition(), make_salary(), make_rents(), make_deliveries(), make_tickets()


WORLDS = ("fraud", "attrition", "salary", "rents", "deliveries", "tickets")


def make_fraud(employees: int = 120_000, seed: int = 7) -> World:
    """All frauds until November and one in ten of the other payments, which are about 3 % frauds then."""
    year = payroll.generate(employees, seed)
    chance = np.random.default_rng(seed)
    year = year.where(((chance.random(len(year.day)) < 0.1) | year.fraud) & (year.day < payroll.MONTH_STARTS[11]))
    x = year.x.astype(np.float64)
    x[:, 0] = np.exp(x[:, 0])
    hour = (9 + 2 * chance.normal(size=len(x)) - np.array(OFFSETS)[year.country]) % 24
    x = np.column_stack([x, hour])
    x[chance.random(len(x)) < 0.05, 6] = np.nan
    columns = ("amount", *payroll.FEATURES[1:], "hour")
    trained, replayed = (int(np.searchsorted(year.day, payroll.MONTH_STARTS[month])) for month in (8, 10))
    return World(
        *("fraud", columns, x, year.fraud.astype(np.float64), year.country, year.country),
        money="amount",
        category="country",
        hour="hour",
        stale="days_since_bank_change",
        swapped=("amount_to_salary", "days_since_bank_change"),
        classes=True,
        trained=trained,
        replayed=replayed,
    )


SCALES = (5_200, 4_100, 82_000, 6_800, 3_000, 410_000)
"""What a month is paid, by country, in its own money."""
STAFF = ("pay", "experience", "tenure", "days_since_raise", "engagement", "weekly_hours", "role", "hour")


def _make_staff(chance: np.random.Generator, count: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Rows, country and client of each. Engagement was not asked of one in seven."""
    country, client = chance.integers(0, 6, count), chance.integers(0, 5, count)
    role = chance.integers(0, 8, count)
    experience = chance.gamma(3.0, 3.0, count)
    tenure = np.minimum(experience, chance.gamma(1.5, 2.5, count))
    scale = np.array(SCALES)[country]
    pay = scale * (1 + 0.04 * experience) * (0.7 + 0.1 * role) * chance.lognormal(0, 0.25, count)
    raised = np.minimum(chance.gamma(2.0, 200.0, count), tenure * 365 + 30)
    engagement = np.clip(chance.normal(3.5 - 0.5 * (client == 2), 0.8, count), 1, 5)
    engagement[chance.random(count) < 0.15] = np.nan
    weekly = np.clip(chance.normal(40, 5, count), 20, 70)
    late = chance.random(count) < 0.2
    local = np.where(late, chance.normal(22, 1, count), chance.normal(13, 2.5, count))
    hour = (local - np.array(OFFSETS)[country]) % 24
    return (
        np.column_stack([pay, experience, tenure, raised, engagement, weekly, role, hour, country]),
        country,
        client,
    )


def make_attrition(count: int = 60_000, seed: int = 11) -> World:
    """About one in six leaves: for a raise long ago, little engagement, long and late hours, another role in each
    company."""
    chance = np.random.default_rng(seed)
    x, country, client = _make_staff(chance, count)
    pay, experience, tenure, raised, engagement, weekly, role, hour = x.T[:8]
    late = ((hour + np.array(OFFSETS)[country]) % 24) > 19
    relative = pay / np.array(SCALES)[country]
    favour = (3 * client + role) % 8 < 3
    logit = (
        -2.6
        + 0.9 * (raised > 420)
        - 0.8 * (np.nan_to_num(engagement, nan=3.4) - 3.4)
        + 0.7 * late
        + 0.05 * (weekly - 40)
        - 0.6 * np.log(relative)
        + 0.8 * favour
        + 0.5 * (tenure < 1)
        - 0.02 * experience
    )
    y = chance.random(count) < 1 / (1 + np.exp(-logit))
    return _staff_world("attrition", x, y.astype(np.float64), country, client, classes=True)


def make_salary(count: int = 60_000, seed: int = 13) -> World:
    """What somebody will be offered next, in thousands of dollars."""
    chance = np.random.default_rng(seed)
    x, country, client = _make_staff(chance, count)
    pay, _, _, raised, engagement, _, role, _ = x.T[:8]
    rate = np.array([1.0, 1.1, 0.012, 0.18, 1.2, 0.0009])[country]
    level = np.array([1.0, 0.9, 1.3, 0.8, 1.05])[client]
    y = 12 * pay * rate / 1_000 * level * (1 + 0.0002 * raised) * (1 + 0.05 * ((3 * client + role) % 3))
    y *= 0.9 + 0.03 * np.nan_to_num(engagement, nan=3.4)
    y *= chance.lognormal(0, 0.1, count)
    return _staff_world("salary", x, y, country, client, classes=False)


def make_rents(count: int = 60_000, seed: int = 17) -> World:
    """What a flat is let for by the month. A dense label with little noise, columns that are categories, and missing
    values that mean something. Fitted with the columns of the staff: pay is the size in square centimetres."""
    chance = np.random.default_rng(seed)
    x, country, client = _make_staff(chance, count)
    size = 40 + 25 * chance.gamma(2.0, 1.0, count)
    x[:, 0] = size * 10_000
    _, age, rooms, renovated, energy, floor, kind, hour = x.T[:8]
    place = np.array([9.0, 14.0, 11.0, 7.0, 16.0, 12.0])[country]
    y = size**0.85 * 2.1 * place / 11 * 9 * (1 + 0.05 * (kind - 3.5)) * (1 - 0.004 * np.minimum(age, 30))
    y *= np.where(np.isnan(energy), 0.85, 0.85 + 0.05 * (np.nan_to_num(energy) - 2.5))
    y *= 1 + 0.04 * (client - 2) - 0.05 * (renovated > 500) + 0.002 * (floor - 40) + 0.01 * np.minimum(rooms, 5)
    y *= 1 + 0.05 * (((hour + np.array(OFFSETS)[country]) % 24) > 19)
    y *= chance.lognormal(0, 0.09, count)
    return _staff_world("rents", x, y, country, client, classes=False)


def make_deliveries(count: int = 60_000, seed: int = 19) -> World:
    """Minutes and cost of a delivery, of four at a time; both versions fail now and then."""
    chance = np.random.default_rng(seed)
    x, country, client = _make_staff(chance, count)
    pay, experience, _, raised, engagement, weekly, role, hour = x.T[:8]
    late = ((hour + np.array(OFFSETS)[country]) % 24) > 19
    distance = pay / np.array(SCALES)[country]
    traffic = np.nan_to_num(engagement, nan=4.5)
    minutes = 6 + 9 * distance * (1 + 0.15 * (traffic - 3)) + 6 * late - 0.1 * experience + 0.2 * (weekly - 40)
    minutes = minutes * np.array([1.0, 1.2, 0.9, 1.1, 1.0, 1.3])[country] * chance.lognormal(0, 0.18, count)
    cost = 3 + 2.5 * distance**0.8 * (1 + 0.08 * role) + np.array([0, 2, 1, 3, 0.5, 1.5])[country]
    cost = (cost + 0.004 * raised + 0.6 * (client == 3)) * chance.lognormal(0, 0.08, count)
    world = _staff_world("deliveries", x, minutes, country, client, classes=False)
    return replace(world, others=(cost,), failing=0.03, rows=4)


def make_tickets(count: int = 60_000, seed: int = 23) -> World:
    """Which of four teams a ticket is for: a score for each. Some answers of both versions are NaN."""
    chance = np.random.default_rng(seed)
    x, country, client = _make_staff(chance, count)
    pay, experience, _, raised, engagement, weekly, role, hour = x.T[:8]
    late = ((hour + np.array(OFFSETS)[country]) % 24) > 19
    relative = np.log(pay / np.array(SCALES)[country])
    scores = np.column_stack([
        0.5 + 0.8 * (role % 4 == 0) + 0.6 * relative,
        0.2 + 0.9 * (country % 3 == 1) + 0.9 * late,
        0.3 + 0.8 * (np.nan_to_num(engagement, nan=2.0) < 3) + 0.05 * (weekly - 40),
        0.1 + 0.6 * (raised > 420) + 0.9 * (client == 2) - 0.02 * experience,
    ])  # fmt: skip
    team = np.argmax(1.6 * scores + chance.gumbel(size=scores.shape), axis=1)
    first, *others = ((team == one).astype(np.float64) for one in range(4))
    world = _staff_world("tickets", x, first, country, client, classes=True)
    return replace(world, others=tuple(others), unusable=0.03)


def _staff_world(
    name: str, x: Floats, y: Floats, country: NDArray[np.int64], client: NDArray[np.int64], *, classes: bool
) -> World:
    count = len(x)
    return World(
        *(name, (*STAFF, "country"), x, y, country, client),
        money="pay",
        category="country",
        hour="hour",
        stale="days_since_raise",
        swapped=("experience", "engagement"),
        classes=classes,
        trained=count // 2,
        replayed=count * 3 // 4,
    )
