"""Slices with few rows: what is new or has changed is found, and what chance explains is not."""

import random

from tests.features.drift.unit.drift_looks import END
from tidegate.domain.drift import DriftSchedule
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.slices import SlicedTable
from tidegate.rows.profile import Row, TableProfile

RATE = DriftSchedule("fraud", "file:///b", END).rate


def table(rows: list[Row]) -> SlicedTable:
    made = SlicedTable(["country"], lambda: TableProfile(random.Random(1).randrange))
    for row in rows:
        made.add(row)
    return made


def rows(draw: random.Random, count: int, country: str, shift: float = 0.0, columns: int = 1) -> list[Row]:
    return [{"country": country, **{f"f{n}": draw.gauss(shift, 1) for n in range(columns)}} for _ in range(count)]


def look(before: list[Row], now: list[Row], rate: float = RATE) -> DriftReport:
    past = table(before)
    return compare(past.tables, table(now).tables, DriftTerms(rate=rate), known_slices=past.names)


def found(report: DriftReport) -> list[str]:
    return [one.description.partition(" (p")[0] for one in report.violations]


def test_a_new_slice_is_found_by_twenty_rows() -> None:
    draw = random.Random(1)
    before = rows(draw, 3_000, "US")
    assert found(look(before, [*rows(draw, 1_000, "US"), *rows(draw, 20, "BR")])) == [
        "country=BR is not in the baseline"
    ]
    assert found(look(before, [*rows(draw, 1_000, "US"), *rows(draw, 19, "BR")])) == []


def test_a_slice_that_a_small_baseline_misses_by_chance_is_not_new() -> None:
    """60 rows would miss a country with two in a thousand nine times of ten."""
    draw = random.Random(1)
    assert found(look(rows(draw, 60, "US"), [*rows(draw, 29_940, "US"), *rows(draw, 60, "PT")])) == []


def test_a_column_of_a_slice_of_thirty_rows_is_found() -> None:
    draw = random.Random(1)
    before = [*rows(draw, 2_900, "US"), *rows(draw, 100, "PT")]
    report = look(before, [*rows(draw, 1_500, "US"), *rows(draw, 30, "PT", shift=2)])
    assert {(one.slice, one.column) for one in report.changes if one.drifted} == {("country=PT", "f0")}


def test_what_has_not_changed_is_found_no_more_often_than_the_rate() -> None:
    """Six slices with 20 rows or more of five columns each, 25 looks at a rate of 5 %: 1.25 with a finding are
    expected at most, and 6 or more come once in 500 times."""
    draw = random.Random(1)
    countries = [f"C{n}" for n in range(6)]

    def sample(of_each: int) -> list[Row]:
        return [row for one in countries for row in rows(draw, of_each, one, columns=5)]

    before = sample(100)
    wrong = sum(bool(look(before, sample(draw.randrange(20, 30)), 0.05).violations) for _ in range(25))
    assert wrong < 6
