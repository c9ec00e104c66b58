"""Drift: requests change, nothing fails, and the model is wrong more often. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from tidegate.console.figures import UNKNOWN
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.slices import EVERYTHING
from tidegate.features.lessons.lesson import (
    LAST_ANSWERS,
    LOOKS,
    Choice,
    Judgement,
    Lesson,
    LessonMoment,
    LessonStep,
    RunPlaces,
    SendRequests,
    Simulation,
    await_start,
    keep_first,
    line,
    outcome,
)
from tidegate.features.lessons.model_files import (
    AMOUNT,
    GROWTH,
    HOURS,
    SPREAD,
    draw_rows,
    write_baseline,
    write_model,
    write_requests,
)
from tidegate.features.lessons.run_records import LessonVerdict
from tidegate.monitoring.alarm_evaluation import evaluate, windows
from tidegate.monitoring.samples import Datapoint
from tidegate.rows.profile import TableProfile

RATE = 20.0
"""Requests per second."""
EVERY = 10
"""Seconds between two looks, the fewest that there may be."""
PERIOD = 10
"""Seconds of the alarm's period."""
LEAST_ROWS = 50
"""The fewest rows of which a look says anything."""
BASELINE = "baseline.json"


def window(capture_seconds: int) -> int:
    """Seconds that a look covers: captures come ``capture_seconds`` late, and there are rows before that to find."""
    return -(-(capture_seconds + 2 * EVERY) // EVERY) * EVERY


def make_lesson(capture_seconds: int) -> Lesson:
    """``capture_seconds``: how late this server's captures come."""
    covered = window(capture_seconds)
    return Lesson(
        "drift",
        "Drift",
        "Requests change, nothing fails, and the model is wrong more often.",
        f"{RATE:.0f} requests a second, first like the baseline, then with amounts {GROWTH:g} times as large."
        f" What is captured is looked at every {EVERY} seconds, {covered} seconds of it each time,"
        f" and an alarm of {PERIOD} seconds watches what is found. Captures come after {capture_seconds} s here.",
        _make_steps(capture_seconds + covered + 5 * EVERY),
        versions={"v1": write_model(0.25, 0.75)},
        instances=1,
        spec=partial(_describe_spec, covered),
        files=_make_files,
        remember=_remember,
        judge=_judge,
        stats=_describe,
        commands=(
            ("The schedule and its last look", "tidegate drift schedule show {endpoint}"),
            ("Its alarm", "tidegate show alarms"),
        ),
        simulation=Simulation(
            simulate, (Choice("change", "What changes, from the eighth day on", CHANGE_TITLES, "country"),)
        ),
    )


def _make_steps(limit: int) -> tuple[LessonStep, ...]:
    """``limit``: seconds within which a look has to find what it should."""
    return (
        await_start(1),
        LessonStep(
            "usual",
            f"{RATE:.0f} requests a second, like the baseline",
            acts=lambda at: (SendRequests(RATE),),
            is_done=lambda at: at.facts.drift == "no_drift" and at.facts.drift_rows >= LEAST_ROWS,
            limit=float(limit),
            missed=f"no look found enough captured rows without drift within {limit} s",
        ),
        LessonStep(
            "shift",
            "The amounts have shifted",
            acts=lambda at: (SendRequests(RATE, "shifted.jsonl"),),
            is_done=lambda at: at.facts.drift == "drift",
            limit=float(limit),
            missed=f"the shift was not found within {limit} s",
        ),
        LessonStep(
            "alarm",
            "The alarm is judged",
            is_done=lambda at: at.facts.alarm == "ALARM",
            limit=12.0 * PERIOD,
            missed=f"the drift was found, and no alarm went off within {12 * PERIOD} s",
        ),
        LAST_ANSWERS,
    )


def _describe_spec(
    covered: int, base: Mapping[str, Any], places: RunPlaces, target: float | None
) -> dict[str, Any]:
    alarm = {
        **{"namespace": "tidegate/Drift", "metric": "Drift", "dimensions": {"EndpointName": base["endpoint"]}},
        **{"statistic": "Maximum", "at_least": 1, "period": f"{PERIOD}s", "periods": 1, "missing": "ignore"},
        **{"scope": "endpoint", "description": "What clients ask is not what it was."},
    }
    return {
        **base,
        "capture": {"to": places.captures, "sides": ["input"], "keep": "64MiB"},
        "drift": {"baseline": f"{places.files}/{BASELINE}", "every": f"{EVERY}s", "window": f"{covered}s"},
        "alarms": {"drift": alarm},
        "rollout": {"strategy": "all_at_once", "alarms": []},
    }


def _make_files() -> Mapping[str, bytes]:
    chance = Random("lesson drift")
    return {
        "shifted.jsonl": write_requests(draw_rows(chance, 2_000, GROWTH)),
        BASELINE: write_baseline(draw_rows(chance, 2_000), chance),
    }


def _remember(at: LessonMoment, second: float) -> dict[str, Any]:
    shifted = at.facts.drift == "drift"
    was_found = shifted or "found" in at.marks
    found = {
        **keep_first(at.marks, "found", shifted, round(second, 1)),
        **keep_first(at.marks, "alarm", was_found and at.facts.alarm == "ALARM", round(second, 1)),
    }
    if shifted and at.facts.findings:
        found["findings"] = list(at.facts.findings[:3])
    if at.facts.alarm == "ALARM":
        found["alarm_reason"] = at.facts.alarm_reason
    return found


def _judge(at: LessonMoment) -> Judgement:
    facts = at.facts
    if facts.failed:
        return Judgement(LessonVerdict.NOT_SHOWN, f"{facts.failed} requests failed: this was more than drift")
    said = f"all {facts.answered:,} requests were answered, the shift was found after {at.marks['found']:.0f} s"
    return Judgement(LessonVerdict.SHOWN, f"{said}, and the alarm went off after {at.marks['alarm']:.0f} s")


def _describe(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    words = {"no_drift": "no drift", "": "none yet"}
    look = words.get(picture["drift"], picture["drift"])
    return [
        ("The last look", look, f"of {picture['drift_rows']:,} captured rows"),
        ("Alarm", picture["alarm"] or UNKNOWN, ""),
    ]


# --- on a virtual clock: the real comparison and the real alarm, day by day, on payments that are drawn by chance ---

DAY = 86_400
DAYS, BEGINS = 28, 8
"""Days that are looked at, and the first one on which something changes."""
DAILY_ROWS, BASELINE_ROWS = 600, 3_000
START = datetime(2030, 3, 4, tzinfo=UTC)
COUNTRIES = {"US": 0.55, "DE": 0.2, "IN": 0.15, "BR": 0.1}
Change = Callable[[dict[str, Any], float, Random], None]
CHANGE_TITLES: Mapping[str, str] = {
    "country": "A new country is onboarded",
    "amounts": "Amounts rise by 2 % a day",
    "hours": "A source stops sending hours",
    "nothing": "Nothing changes",
}


def _add_country(row: dict[str, Any], progress: float, chance: Random) -> None:
    if chance.random() < 0.4 * progress:
        row.update(country="PL", amount=round(row["amount"] * 0.45, 2))


def _raise_amounts(row: dict[str, Any], progress: float, chance: Random) -> None:
    row["amount"] = round(row["amount"] * 1.02 ** (progress * (DAYS - BEGINS)), 2)


def _lose_hours(row: dict[str, Any], progress: float, chance: Random) -> None:
    if chance.random() < 0.5 * progress:
        row["hours"] = None


CHANGES: Mapping[str, Change] = {
    "country": _add_country,
    "amounts": _raise_amounts,
    "hours": _lose_hours,
    "nothing": lambda row, progress, chance: None,
}


@dataclass
class DailyLooks:
    """A look at each day's rows: its report, the state of the alarm, and the part of rows without hours."""

    alarm: Alarm
    terms: DriftTerms
    reports: list[DriftReport] = field(default_factory=list)
    states: list[AlarmState] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)


def _look_daily(change: str) -> DailyLooks:
    """Each day's rows compared with the baseline, and an alarm on what was found."""
    chance = Random("drift 1")
    baseline = _draw_table(chance, BASELINE_ROWS, CHANGES["nothing"], 0.0)
    # What one look may find by chance, so that a month of daily looks is wrong about nothing in 19 of 20 cases.
    looks, values = DailyLooks(_make_alarm(), DriftTerms(rate=0.05 / DAYS)), dict[int, float]()
    for day in range(1, DAYS + 1):
        progress = max(0.0, (day - BEGINS + 1) / (DAYS - BEGINS + 1))
        rows = _draw_table(chance, DAILY_ROWS, CHANGES[change], progress)
        report = compare({EVERYTHING: baseline}, {EVERYTHING: rows}, looks.terms)
        at = START + timedelta(days=day)
        if report.drifted is not None:
            values[int(at.timestamp()) - DAY] = float(report.drifted)
        points = [Datapoint(t, values[t]) if t in values else None for t in windows(looks.alarm, at)]
        looks.alarm = evaluate(looks.alarm, points, at)
        looks.reports.append(report)
        looks.states.append(looks.alarm.state)
        looks.missing.append(1.0 - rows.columns["hours"].completeness)
    return looks


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    change = chosen["change"]
    looks = _look_daily(change)
    reports, states, alarm, least = looks.reports, looks.states, looks.alarm, looks.terms.least
    found = next((day for day, report in enumerate(reports, 1) if report.drifted), None)
    alarmed = next((day for day, state in enumerate(states, 1) if state is AlarmState.ALARM), None)
    reason = alarm.state_reason if alarm.state is AlarmState.ALARM else ""
    findings = (
        []
        if found is None
        else [f"{one.feature_name}: {one.description}" for one in reports[found - 1].violations]
    )
    return outcome(
        (
            ("Begins to change", f"day {BEGINS}" if change != "nothing" else "never", "", ""),
            ("First found", f"day {found}" if found else "nothing", f"of {DAYS} days", ""),
            (
                *("In ALARM", f"day {alarmed}" if alarmed else "never", "two of three days"),
                "bad" if alarmed and change == "nothing" else "",
            ),
        ),
        f"Each day's {DAILY_ROWS} payments are compared with {BASELINE_ROWS:,} of an earlier time, column by column;"
        f" a column has drifted if its distance is {least} or more and chance does not explain it. Where"
        " nothing changes, at most one month in twenty says otherwise. An alarm on two of three days watches what is"
        " found. Requests are answered as before meanwhile, so alarms on errors and latency have nothing to see."
        + (f" {reason}" if reason else ""),
        findings=findings or ["Nothing was found, and nothing had changed."],
        charts=(
            (
                _draw_chart(reports, looks.missing, least, [day for day in (BEGINS, alarmed) if day]),
                "Distance of each column from the baseline",
                "0: distributed as before; 1: nothing in common. The vertical lines are where the change begins and"
                " where the alarm goes off.",
            ),
        ),
        further=(
            "On an endpoint of yours, by schedule; any alarm can watch its metrics",
            "tidegate drift schedule set fraud --baseline train.csv",
        ),
        facts={
            "begins": BEGINS,
            "found": found,
            "alarm": alarmed,
            "days": DAYS,
            "reason": reason,
            "drift": findings,
        },
    )


def _draw_chart(
    reports: list[DriftReport], missing: list[float], least: float, marks: list[int]
) -> dict[str, Any]:
    distances = [
        {one.column: round(one.distance, 4) for one in report.changes if one.slice == EVERYTHING}
        for report in reports
    ]
    columns = sorted({column for day in distances for column in day})[: len(LOOKS)]
    series = [line(column, [day.get(column) for day in distances], look) for look, column in enumerate(columns)]
    if any(part > 0 for part in missing):
        values = [round(part, 4) for part in missing]
        series.append({"label": "rows without hours", "colour": "--sea", "dash": [4, 2], "values": values})
    series.append(
        {"label": "what matters", "colour": "--ink-soft", "dash": [1, 5], "values": [least] * len(reports)}
    )
    return {"x": list(range(1, len(reports) + 1)), "series": series, "across": "day", "marks": marks}


def _make_alarm() -> Alarm:
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


def _draw_table(chance: Random, count: int, change: Change, progress: float) -> TableProfile:
    table = TableProfile(chance.randrange)
    for _ in range(count):
        row: dict[str, Any] = {
            "country": chance.choices(list(COUNTRIES), list(COUNTRIES.values()))[0],
            "amount": round(math.exp(chance.gauss(AMOUNT, SPREAD)), 2),
            "hours": round(max(0.0, chance.gauss(HOURS, 6.0)), 1),
            "account_age": float(chance.randrange(1, 4_000)),
        }
        change(row, progress, chance)
        table.add(row)
    return table
