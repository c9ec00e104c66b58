"""What the calendar explains is no drift, where the baseline covers it."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.drift.baseline import (
    CalendarPhase,
    RowSample,
    RowsBaseline,
    phases_of,
    read_baseline,
    view_rows,
)
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.slices import EVERYTHING, SlicedTable
from tidegate.rows.profile import TableProfile

ZONE = ZoneInfo("UTC")
Amount = Callable[[datetime, random.Random], float]
YEAR = datetime(2025, 1, 1, tzinfo=UTC)


def year_of(amount: Amount, rows: int = 40_000) -> RowsBaseline:
    draw, sample = random.Random(1), RowSample(random.Random(2).randrange)
    for _ in range(rows):
        at = YEAR + timedelta(seconds=draw.random() * 365 * 86_400)
        sample.add({"amount": amount(at, draw), "country": draw.choice(("US", "DE"))}, at.timestamp())
    made = read_baseline(json.dumps(sample.document()).encode(), ZONE)
    assert isinstance(made, RowsBaseline)
    return made


def look(
    baseline: RowsBaseline, start: datetime, length: timedelta, amount: Amount, rows: int = 3_000
) -> DriftReport:
    draw = random.Random(3)
    view = view_rows(baseline, ["amount", "country"], ["country"], phases_of(start, start + length, ZONE))
    now = SlicedTable(["country"], lambda: TableProfile(random.Random(1).randrange), view.known, view.tables)
    for _ in range(rows):
        at = start + length * draw.random()
        now.add({"amount": amount(at, draw), "country": draw.choice(("US", "DE"))})
    return compare(view.tables, now.tables, DriftTerms(rate=1e-4), view.phases, view.known, view.season)


def december(at: datetime, draw: random.Random) -> float:
    return draw.lognormvariate(3 + 2 * (at.month == 12), 1)


def pay_day(at: datetime, draw: random.Random) -> float:
    return draw.lognormvariate(3 + 2 * (at.day == 25), 1)


def night(at: datetime, draw: random.Random) -> float:
    return draw.lognormvariate(3 + 2 * (at.hour < 6), 1)


def monday_morning(at: datetime, draw: random.Random) -> float:
    return draw.lognormvariate(3 + 3 * (at.weekday() == 0 and 8 <= at.hour < 10), 1)


SEASONS: list[tuple[Amount, datetime, timedelta]] = [
    (december, datetime(2026, 12, 10, 9, tzinfo=UTC), timedelta(minutes=5)),
    (december, datetime(2026, 12, 1, tzinfo=UTC), timedelta(days=7)),
    (pay_day, datetime(2026, 6, 25, 9, tzinfo=UTC), timedelta(hours=1)),
    (night, datetime(2026, 6, 10, 3, tzinfo=UTC), timedelta(minutes=5)),
]


@pytest.mark.parametrize(("season", "start", "length"), SEASONS)
def test_a_season_that_the_baseline_has_is_no_drift(season: Amount, start: datetime, length: timedelta) -> None:
    baseline = year_of(season)
    assert look(baseline, start, length, season).drifted is False
    assert look(baseline, start, length, lambda at, draw: season(at, draw) * 100).drifted is True


@pytest.mark.parametrize(("season", "start", "length"), SEASONS)
def test_the_same_at_another_time_is_drift(season: Amount, start: datetime, length: timedelta) -> None:
    quiet = datetime(2026, 4, 8, 14, tzinfo=UTC)
    found = look(year_of(season), quiet, timedelta(minutes=5), lambda at, draw: season(start, draw))
    assert found.drifted is True
    assert {one.slice for one in found.changes if one.drifted} == {EVERYTHING, "country=US", "country=DE"}


@pytest.mark.parametrize(("season", "start", "length"), SEASONS[:2])
def test_a_season_that_fails_to_come_is_drift(season: Amount, start: datetime, length: timedelta) -> None:
    quiet = datetime(2026, 4, 8, 14, tzinfo=UTC)
    found = look(year_of(season), start, length, lambda at, draw: season(quiet, draw))
    said = [(one.feature_name, one.description.partition(":")[0]) for one in found.violations]
    assert said == [("amount", "the season of the baseline has not come")]


def test_two_seasons_at_once_are_no_drift_where_the_baseline_has_both() -> None:
    """A night of December, when one season makes up for the other."""

    def both(at: datetime, draw: random.Random) -> float:
        return draw.lognormvariate(3 + (at.month == 12) - (at.hour < 6), 1)

    night_of_december = datetime(2026, 12, 10, 3, tzinfo=UTC)
    assert look(year_of(both), night_of_december, timedelta(minutes=5), both).drifted is False


def test_an_hour_of_the_week_counts_where_it_has_rows_enough() -> None:
    monday = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert look(year_of(monday_morning, 60_000), monday, timedelta(minutes=5), monday_morning).drifted is False
    assert look(year_of(monday_morning, 6_000), monday, timedelta(minutes=5), monday_morning).drifted is True


def test_nothing_is_said_of_a_slice_that_is_too_small_for_a_season_of_the_whole() -> None:
    monday = datetime(2026, 3, 2, 8, tzinfo=UTC)
    found = look(year_of(monday_morning, 40_000), monday, timedelta(minutes=5), monday_morning)
    assert found.drifted is False
    why = "as a whole the calendar explains it, and the baseline does not cover this slice"
    assert {f"amount of slice country={name}: {why}" for name in ("DE", "US")} <= set(found.unsaid)


def test_a_season_that_no_baseline_covers_is_drift() -> None:
    baseline = year_of(lambda at, draw: draw.lognormvariate(3, 1))
    assert look(baseline, datetime(2026, 12, 10, tzinfo=UTC), timedelta(hours=1), december).drifted is True


def test_a_window_is_in_the_phases_that_it_touches() -> None:
    at = datetime(2026, 3, 1, 23, 58, tzinfo=UTC)
    assert phases_of(at, at + timedelta(minutes=5), ZONE) == (
        CalendarPhase("month", frozenset({3})),
        CalendarPhase("day of month", frozenset({1, 2})),
        CalendarPhase("date", frozenset({301, 302})),
        CalendarPhase("hour of week", frozenset({0, 167})),
        CalendarPhase("hour of day", frozenset({0, 47})),
    )
    berlin = phases_of(at, at + timedelta(minutes=1), ZoneInfo("Europe/Berlin"))
    assert CalendarPhase("hour of week", frozenset({0})) in berlin
    assert phases_of(at, at + timedelta(days=400), ZONE) == ()
    assert [phase.kind for phase in phases_of(at, at + timedelta(days=20), ZONE)] == [
        "month",
        "day of month",
        "date",
    ]


def test_rows_are_drawn_evenly_and_in_the_order_of_chance() -> None:
    sample = RowSample(random.Random(1).randrange, 1_000)
    for number in range(20_000):
        sample.add({"n": float(number)}, float(number))
    document = sample.document()
    numbers: list[float] = document["columns"]["n"]  # type: ignore[index]
    assert (sample.count, len(numbers)) == (20_000, 1_000)
    assert abs(sum(numbers) / 1_000 - 10_000) < 800 and abs(sum(numbers[:500]) / 500 - 10_000) < 1_000
    assert document["times"] == numbers


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"{}", b'{"kind": "tidegate drift baseline"}', b"\xff", b"[" * 100_000]
    + [
        json.dumps({"kind": "tidegate drift baseline", "version": 1, "rows": 1, **more}).encode()
        for more in (
            {"times": [1, 2], "columns": {"a": [1]}},
            {"times": [1], "columns": {"a": [[1]]}},
            {"times": ["x"], "columns": {"a": [1]}},
            {"times": [1], "columns": [1]},
            {"version": 2, "times": [1], "columns": {"a": [1]}},
        )
    ],
)
def test_what_is_no_baseline_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        read_baseline(content, ZONE)
