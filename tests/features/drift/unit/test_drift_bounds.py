"""What chance alone does: how often something is found where nothing has changed, and what hides a change."""

import random
from collections.abc import Callable

import pytest

from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.slices import EVERYTHING, MOST_SLICES, SlicedTable
from tidegate.rows.profile import Row, TableProfile
from tidegate.statistics.significance import upper_binomial, upper_hypergeometric

Make = Callable[[random.Random, int], Row]


def table(rows: int, make: Make, seed: int) -> TableProfile:
    draw, made = random.Random(seed), TableProfile(random.Random(seed).randrange)
    for number in range(rows):
        made.add(make(draw, number))
    return made


def report(before: TableProfile, now: TableProfile, rate: float = 0.05) -> DriftReport:
    return compare({EVERYTHING: before}, {EVERYTHING: now}, DriftTerms(rate=rate))


def test_changes_that_do_not_matter_let_no_chance_through() -> None:
    """Sixty columns have changed a little, beyond doubt; ten have few values, in which chance makes large
    distances."""

    def make(nudge: float) -> Make:
        def row(draw: random.Random, number: int) -> Row:
            values = {f"c{n}": draw.gauss(nudge, 1) for n in range(60)}
            rare = {f"r{n}": draw.gauss(0, 1) if number % 30 == 0 else None for n in range(10)}
            return {**values, **rare}

        return row

    false = 0
    for seed in range(6):
        before, now = table(3_000, make(0), seed), table(2_400, make(0.1), 100 + seed)
        false += sum(one.drifted for one in report(before, now).changes)
    assert false == 0


@pytest.mark.parametrize("broken", [1, 10])
def test_a_few_broken_values_do_not_hide_a_shift(broken: int) -> None:
    def row(draw: random.Random, number: int) -> Row:
        return {"amount": "oops" if number < broken else draw.gauss(2, 1)}

    before = table(500, lambda draw, number: {"amount": draw.gauss(0, 1)}, 1)
    found = {one.constraint_check_type for one in report(before, table(500, row, 2)).violations}
    assert found == {"data_type_check", "baseline_drift_check"}


def test_values_that_are_missing_by_chance_are_no_finding() -> None:
    def row(draw: random.Random, number: int) -> Row:
        return {"amount": draw.gauss(0, 1) if draw.random() < 0.8 else None}

    before = table(5_000, row, 1)
    found = [report(before, table(60, row, seed), 0.001).drifted for seed in range(2, 32)]
    assert not any(found)
    gone = table(60, lambda draw, number: {"amount": draw.gauss(0, 1) if number % 2 else None}, 3)
    assert [one.constraint_check_type for one in report(before, gone).violations] == ["completeness_check"]


def test_rare_values_that_come_by_chance_are_no_finding() -> None:
    names = [f"n{n}" for n in range(400)]

    def row(draw: random.Random, number: int) -> Row:
        return {"city": names[min(int(draw.paretovariate(0.6)), 400) - 1]}

    before = table(1_000, row, 1)
    found = [report(before, table(60, row, seed), 0.001).drifted for seed in range(2, 32)]
    assert not any(found)


def test_slices_that_are_counted_together_are_not_new() -> None:
    def empty() -> TableProfile:
        return TableProfile(random.Random(1).randrange)

    before = SlicedTable(["city"], empty)
    for number in range(20_000):
        before.add({"city": f"c{number % 150}", "amount": float(number % 7)})
    now = SlicedTable(["city"], empty, before.names, before.tables)
    for number in range(9_000):
        now.add({"city": f"c{149 - number % 150}", "amount": float(number % 7)})
    assert len(before.tables) == MOST_SLICES + 2 and now.tables.keys() == before.tables.keys()
    found = compare(before.tables, now.tables, DriftTerms(), known_slices=before.names)
    assert found.violations == ()


def test_tails_are_those_of_a_table() -> None:
    assert upper_binomial(8, 10, 0.5) == pytest.approx(56 / 1024)
    assert upper_binomial(3, 10, 0.5) == 1.0 and upper_binomial(1, 10, 0.0) == 0.0
    assert upper_hypergeometric(3, 4, 4, 8) == pytest.approx(17 / 70)
    assert upper_hypergeometric(2, 4, 4, 8) == 1.0 and upper_hypergeometric(0, 0, 0, 0) == 1.0
    assert 0 < upper_binomial(900, 1_000_000, 0.0005) < 1e-40
