"""Cron expressions against a reading of them by hand: no time is missed and none is made up."""

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.calendar_days import CalendarDays
from tidegate.schedules.schedule import parse, parse_peak

DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

MONTHS = tuple(calendar.month_abbr[number].upper() for number in range(1, 13))

month_days = st.one_of(
    st.just("*"),
    st.integers(1, 31).map(str),
    st.integers(1, 31).map(lambda day: f"{day}W"),
    st.sampled_from(["L", "LW"]),
    st.tuples(st.integers(1, 31), st.integers(1, 31)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
)
week_days = st.one_of(
    st.sampled_from(["*", "MON-FRI", "FRI-MON", "6-2/2", "L", "1", "2,4"]),
    st.sampled_from(DAYS),
    st.tuples(st.integers(1, 7), st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}"),
    st.integers(1, 7).map(lambda day: f"{day}L"),
)
dates = st.one_of(
    month_days.map(lambda text: (text, "?")),
    week_days.map(lambda text: ("?", text)),
)
months = st.sampled_from(["*", "2", "JAN-MAR", "NOV-FEB", "12", "3/3"])
times = st.tuples(
    st.sampled_from(["0", "30", "5/25", "*"]), st.sampled_from(["*", "0", "2", "8-17", "22-3", "23", "1/7"])
)


def numbers(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        ends = [names.index(end) + 1 if end in names else end for end in span.split("-")]
        if span == "*":
            first, last = low, high
        else:
            first, last = int(ends[0]), int(ends[-1]) if len(ends) == 2 or not step else high
        around = [*range(first, high + 1), *range(low, last + 1)] if last < first else range(first, last + 1)
        found.update(list(around)[:: int(step or 1)])
    return found


def on(day: date, month_day: str, week_day: str) -> bool:
    """Whether the date fields name this day, found by listing the days of its month."""
    month = [day.replace(day=n) for n in range(1, calendar.monthrange(day.year, day.month)[1] + 1)]
    working = [one for one in month if one.isoweekday() < 6]
    number = day.isoweekday() % 7 + 1
    same = [one for one in month if one.isoweekday() == day.isoweekday()]
    if month_day == "L":
        return day == month[-1]
    if month_day == "LW":
        return day == working[-1]
    if month_day.endswith("W"):
        if int(month_day[:-1]) > len(month):
            return False
        return day == min(working, key=lambda one: abs(one.day - int(month_day[:-1])))
    if month_day != "?":
        return day.day in numbers(month_day, 1, 31)
    if week_day == "L":
        return number == 7
    if week_day.endswith("L"):
        return number == int(week_day[:-1]) and day == same[-1]
    if "#" in week_day:
        weekday, nth = week_day.split("#")
        return number == int(weekday) and same.index(day) == int(nth) - 1
    return number in numbers(week_day, 1, 7, DAYS)


@given(
    dates,
    months,
    times,
    st.datetimes(datetime(2024, 1, 1), datetime(2034, 1, 1)),
    st.sampled_from(["UTC", "Asia/Kathmandu"]),
)
def test_the_next_time_is_the_first_that_fits(
    days: tuple[str, str], month: str, clock: tuple[str, str], since: datetime, zone: str
) -> None:
    since = since.replace(tzinfo=UTC)
    text = f"cron({clock[0]} {clock[1]} {days[0]} {month} {days[1]} *)"
    names = tuple(calendar.month_abbr[n].upper() for n in range(1, 13))

    def fits(local: datetime) -> bool:
        return (
            local.minute in numbers(clock[0], 0, 59)
            and local.hour in numbers(clock[1], 0, 23)
            and local.month in numbers(month, 1, 12, names)
            and on(local.date(), *days)
        )

    found = parse(text, zone).after(since, since)
    assert found is not None or days[0] not in ("*", "L", "LW")
    if found is not None:
        local = found.astimezone(ZoneInfo(zone))
        assert found > since and local.second == 0 and fits(local)
    minute = (since + timedelta(minutes=1)).replace(second=0, microsecond=0)
    for _ in range(2_000):
        if found is not None and minute >= found:
            break
        assert not fits(minute.astimezone(ZoneInfo(zone))), (text, minute)
        minute += timedelta(minutes=1)


@given(
    st.sampled_from(["cron(30 2 * * ? *)", "cron(0/15 * * * ? *)", "cron(0 0 ? * SUN *)", "rate(7 hours)"]),
    st.datetimes(datetime(2029, 1, 1), datetime(2031, 1, 1)),
    st.sampled_from(["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_scheduled_times_rise_through_daylight_saving_changes(text: str, since: datetime, zone: str) -> None:
    instant = anchor = since.replace(tzinfo=UTC)
    for _ in range(30):
        following = parse(text, zone).after(instant, anchor)
        assert following is not None and following > instant
        assert following - instant <= timedelta(days=8)
        instant = following


@given(
    st.sampled_from(["15", "15,L", "1-31", "L", "30,31", "*"]),
    st.sampled_from(["*", "1", "12", "JAN,APR", "3/3"]),
    st.sampled_from(["all", "MON-FRI", "SAT-SUN", "working", "working+1", "working+4"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_days_of_a_schedule_agree_with_their_reading_by_hand(
    days: str, months: str, which: str, since: datetime
) -> None:
    """Nothing of the next year is missed, and nothing is made up."""
    start, end = since.replace(tzinfo=UTC), since.replace(tzinfo=UTC) + timedelta(days=365)
    schedule = parse_peak(f"days(30 8 {days} {months} {which})")
    found, when = [], start
    while (when := schedule.after(when, start) or end) < end:
        found.append(when)
    each = set(range(1, 32)) if days == "*" else {31} if days == "L" else numbers(days.replace(",L", ""), 1, 31)
    wanted = set()
    for number in range(-1, 367 + 40):
        day = start.date() + timedelta(days=number)
        last = day.day == calendar.monthrange(day.year, day.month)[1]
        named = (day.day in each if days != "L" else last) or (days == "15,L" and last)
        if not named or day.month not in numbers(months, 1, 12, MONTHS):
            continue
        if which.startswith("working"):
            wanted |= back(day, 1 + int(which.partition("+")[2] or 0))
        elif which == "all" or (day.weekday() < 5) == (which == "MON-FRI"):
            wanted.add(day)
    times = {datetime(day.year, day.month, day.day, 8, 30, tzinfo=UTC) for day in wanted}
    assert found == sorted(time for time in times if start < time < end)


def back(day: date, count: int) -> set[date]:
    """So many working days, the last of them this one or the one before."""
    found = [day - timedelta(days=gone) for gone in range(40)]
    return set([one for one in found if one.isoweekday() < 6][:count])


def test_the_last_days_of_a_year_are_ahead_of_the_first_of_the_next() -> None:
    assert date(2026, 12, 31) in CalendarDays((1,), (1,), working=True, ahead=1).dates(2026)
