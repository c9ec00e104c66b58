"""When a monitoring schedule is executed, and which time it analyses then. Pure."""

import re
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from tidegate.domain.errors import Invalid
from tidegate.features.monitor.schedule_records import ONCE, LabelSource, MonitoringSchedule
from tidegate.schedules.schedule import Schedule, parse

LONGEST = timedelta(days=31)
"""Time that one execution analyses at most."""
FURTHEST = timedelta(days=400)
"""By which an analysed time may be earlier, so that labels have time to come."""
SECOND = timedelta(seconds=1)
CHECKED = 26
"""Scheduled times whose distance is checked: more than a day of hourly ones."""
_DURATION = re.compile(r"(-?)P(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,4})H)?(?:(\d{1,4})M)?(?:(\d{1,5})S)?)?")


class Window(NamedTuple):
    """``at``: the scheduled time."""

    at: datetime
    start: datetime
    end: datetime


def check_times(schedule: MonitoringSchedule, shortest: timedelta, now: datetime) -> None:
    """Check the times of a schedule. ``shortest``: time between two scheduled times. Raises Invalid."""
    start, end = _parse_duration(schedule.start_offset), _parse_duration(schedule.end_offset)
    if schedule.expression == ONCE:
        if not (schedule.start_offset and schedule.end_offset):
            raise Invalid(
                "a schedule of NOW needs DataAnalysisStartTime and DataAnalysisEndTime, such as -PT1H and -PT0H"
            )
    else:
        _check_distance(schedule.expression, shortest, now)
    if end > timedelta(0):
        raise Invalid(f"DataAnalysisEndTime {schedule.end_offset} is in the future: give -PT0H or earlier")
    if schedule.start_offset and not start < end:
        raise Invalid(
            f"DataAnalysisStartTime {schedule.start_offset} is not before DataAnalysisEndTime"
            f" {schedule.end_offset or '-PT0H'}"
        )
    if schedule.end_offset and not schedule.start_offset:
        raise Invalid("DataAnalysisEndTime needs DataAnalysisStartTime")
    if end - start > LONGEST:
        raise Invalid(f"DataAnalysisStartTime {schedule.start_offset}: give 31 days at most")


def _check_distance(expression: str, shortest: timedelta, now: datetime) -> None:
    """Raises Invalid."""
    times = _parse_cron(expression)
    found = [now]
    while len(found) < CHECKED and (later := times.after(found[-1], now)) is not None:
        found.append(later)
    if len(found) == 1:
        raise Invalid(f"ScheduleExpression {expression} names no time to come")
    near = min((later - earlier for earlier, later in pairwise(found[1:])), default=shortest)
    if near < shortest:
        raise Invalid(
            f"ScheduleExpression {expression} is due every {near.total_seconds():.0f} s:"
            f" SageMaker's shortest is an hour, such as cron(0 * ? * * *)"
        )


def find_window(schedule: MonitoringSchedule, settle: timedelta, now: datetime) -> Window | None:
    """The execution that is due, the newest one of several: those that were missed are not made up for. ``settle``:
    until what was captured before the scheduled time can be read. A last execution that lies in the future is one by
    a clock that was wrong, and holds up nothing."""
    if schedule.stopped:
        return None
    until = now - settle
    last = schedule.last if schedule.last is not None and schedule.last <= now else None
    if schedule.expression == ONCE:
        due = schedule.since <= until and (last is None or last < schedule.since)
        at = schedule.since if due else None
    else:
        since = schedule.since if last is None else max(schedule.since, last)
        at = _parse_cron(schedule.expression).last(since, until, schedule.since)
    return None if at is None else _window_of(schedule, at)


def _window_of(schedule: MonitoringSchedule, at: datetime) -> Window:
    end = at + _parse_duration(schedule.end_offset)
    if schedule.start_offset:
        start = at + _parse_duration(schedule.start_offset)
    else:
        start = _parse_cron(schedule.expression).last(at - LONGEST, at - SECOND, at) or at - LONGEST
    labels = schedule.job.labels
    if labels is None:
        return Window(at, start, end)
    return Window(
        at, start - abs(_parse_duration(labels.start_offset)), end - abs(_parse_duration(labels.end_offset))
    )


def check_offsets(labels: LabelSource) -> None:
    """Raises Invalid."""
    start, end = abs(_parse_duration(labels.start_offset)), abs(_parse_duration(labels.end_offset))
    if end > start:
        raise Invalid(
            f"EndTimeOffset {labels.end_offset} is longer than StartTimeOffset {labels.start_offset or '-PT0H'}: no"
            " time would be analysed"
        )
    if start > FURTHEST:
        raise Invalid(f"StartTimeOffset {labels.start_offset}: give {FURTHEST.days} days at most")


def _parse_duration(text: str) -> timedelta:
    """Parse a duration of ISO 8601 in days, hours, minutes and seconds, such as -PT1H; an empty text is zero. Raises
    Invalid."""
    if not text:
        return timedelta(0)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()[1:]):
        raise Invalid(f"{text!r} is no duration: give one such as -PT1H or -P1D")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if match[1] else length


def _parse_cron(expression: str) -> Schedule:
    """Raises Invalid."""
    if not expression.startswith("cron("):
        raise Invalid(f"ScheduleExpression {expression!r}: give cron(...), such as cron(0 * ? * * *), or NOW")
    return parse(expression)
