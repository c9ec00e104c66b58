"""Data drift: the real comparison and the real alarm, day by day, on payments that are drawn by chance. Pure."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.errors import Invalid
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.slices import EVERYTHING
from tidegate.monitoring.alarm_evaluation import evaluate, windows
from tidegate.monitoring.datapoint import Datapoint
from tidegate.rows.profile import Row, TableProfile

DAY = 86_400
DAYS, BEGINS = 28, 8
"""Days that are looked at, and the first one on which something changes."""
BASELINE_ROWS = 3_000
START = datetime(2030, 3, 4, tzinfo=UTC)
COUNTRIES = ("US", "DE", "IN", "BR")
SHARES = (0.55, 0.2, 0.15, 0.1)
NEWCOMER = "PL"
AMOUNT, SPREAD, HOURS = 7.6, 0.5, 38.0
"""Of the logarithm of an amount: mean and deviation; hours of a week."""


class DriftRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``change`` is one of CHANGES; ``rows``: payments of a day."""

    change: str = "country"
    rows: int = 600
    seed: int = 1


def _leave(row: dict[str, Any], progress: float, chance: Random) -> None:
    """Nothing changes."""


def _add_country(row: dict[str, Any], progress: float, chance: Random) -> None:
    if chance.random() < 0.4 * progress:
        row.update(country=NEWCOMER, amount=round(row["amount"] * 0.45, 2))


def _raise_amounts(row: dict[str, Any], progress: float, chance: Random) -> None:
    row["amount"] = round(row["amount"] * 1.02 ** (progress * (DAYS - BEGINS)), 2)


def _lose_hours(row: dict[str, Any], progress: float, chance: Random) -> None:
    if chance.random() < 0.5 * progress:
        row["hours"] = None


CHANGES: Mapping[str, Callable[[dict[str, Any], float, Random], None]] = {
    "country": _add_country,
    "amounts": _raise_amounts,
    "hours": _lose_hours,
    "nothing": _leave,
}


def demonstrate(asked: DriftRequest) -> dict[str, object]:
    """Each day's rows compared with the baseline, and an alarm on what was found. Raises Invalid."""
    if asked.change not in CHANGES:
        raise Invalid(f"change: {asked.change[:40]!r} is none of {', '.join(CHANGES)}")
    if not 50 <= asked.rows <= 2_000:
        raise Invalid(f"rows: {asked.rows} a day: give 50 to 2,000")
    chance = Random(f"drift {asked.seed}")
    baseline = _table(chance, BASELINE_ROWS, _leave, 0.0)
    # What one look may find by chance, so that a month of daily looks is wrong about nothing in 19 of 20 cases.
    terms = DriftTerms(rate=0.05 / DAYS)
    alarm, found, values = _alarm(), list[dict[str, object]](), dict[int, float]()
    for day in range(1, DAYS + 1):
        progress = max(0.0, (day - BEGINS + 1) / (DAYS - BEGINS + 1))
        rows = _table(chance, asked.rows, CHANGES[asked.change], progress)
        report = compare({EVERYTHING: baseline}, {EVERYTHING: rows}, terms)
        now = START + timedelta(days=day)
        if report.drifted is not None:
            values[int(now.timestamp()) - DAY] = float(report.drifted)
        points = [Datapoint(at, values[at]) if at in values else None for at in windows(alarm, now)]
        alarm = evaluate(alarm, points, now)
        found.append(_day(day, report, alarm, 1.0 - rows.columns["hours"].completeness))
    return {
        "days": found,
        "begins": BEGINS,
        "least": terms.least,
        "found": next((one["day"] for one in found if one["drifted"]), None),
        "alarm": next((one["day"] for one in found if one["state"] == AlarmState.ALARM), None),
        "reason": alarm.state_reason if alarm.state is AlarmState.ALARM else "",
        "baseline": BASELINE_ROWS,
    }


def _alarm() -> Alarm:
    """Over the metric that a look publishes: 1 for drift, 0 for none, nothing where it is not known."""
    return Alarm(
        *("payroll-drift", "tidegate/Drift", "Drift", {"EndpointName": "fraud"}, "Maximum"),
        period=DAY,
        evaluation_periods=3,
        datapoints_to_alarm=2,
        threshold=1.0,
        comparison=ComparisonOperator.GREATER_OR_EQUAL,
        configured_at=START,
    )


def _day(day: int, report: DriftReport, alarm: Alarm, missing: float) -> dict[str, object]:
    """``missing``: share of the rows without hours."""
    distances = {one.column: round(one.distance, 4) for one in report.changes if one.slice == EVERYTHING}
    findings = [f"{one.feature_name}: {one.description}" for one in report.violations]
    return {
        "day": day,
        "distances": distances,
        "missing": round(missing, 4),
        "drifted": report.drifted,
        "findings": findings,
        "state": str(alarm.state),
    }


def _table(
    chance: Random, count: int, change: Callable[[dict[str, Any], float, Random], None], progress: float
) -> TableProfile:
    table = TableProfile(chance.randrange)
    for _ in range(count):
        row: dict[str, Any] = {
            "country": chance.choices(COUNTRIES, SHARES)[0],
            "amount": round(math.exp(chance.gauss(AMOUNT, SPREAD)), 2),
            "hours": round(max(0.0, chance.gauss(HOURS, 6.0)), 1),
            "account_age": float(chance.randrange(1, 4_000)),
        }
        change(row, progress, chance)
        table.add(_plain(row))
    return table


def _plain(row: Mapping[str, Any]) -> Row:
    return {name: float(value) if isinstance(value, int) else value for name, value in row.items()}
