"""Rules of composite alarms: what is read, what holds, and what missing data leave open."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.alarm_rule import holds, judge, judge_all, named_alarms, order, parse, undecided_by
from tidegate.domain.errors import Invalid

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATES = {"bad": AlarmState.ALARM, "good": AlarmState.OK, "quiet": AlarmState.INSUFFICIENT_DATA}


def alarm(name: str, state: AlarmState = AlarmState.OK, rule: str = "") -> Alarm:

    return replace(metric_alarm(NOON), name=name, state=state, rule=rule, state_changed_at=NOON)


@pytest.mark.parametrize(
    ("rule", "lax", "strict"),
    [
        ("ALARM(bad)", True, True),
        ('ALARM("good")', False, False),
        ("ALARM('quiet')", False, None),
        ("OK(quiet)", False, None),
        ("INSUFFICIENT_DATA(quiet)", True, True),
        ("INSUFFICIENT_DATA(good)", False, False),
        ("NOT ALARM(bad)", False, False),
        ("NOT ALARM(quiet)", True, None),
        ("ALARM(bad) AND NOT ALARM(good)", True, True),
        ("ALARM(bad) OR ALARM(quiet)", True, True),
        ("ALARM(good) OR ALARM(quiet)", False, None),
        ("ALARM(good) AND ALARM(quiet)", False, False),
        ("ALARM(bad) AND ALARM(quiet)", False, None),
        ("ALARM(good) AND ALARM(good) OR ALARM(bad)", True, True),
        ("ALARM(good) AND (ALARM(good) OR ALARM(bad))", False, False),
        ("TRUE", True, True),
        ("FALSE OR NOT FALSE", True, True),
        ("ALARM(gone)", None, None),
        ("ALARM(bad) OR ALARM(gone)", True, True),
        ("ALARM(good) AND ALARM(gone)", False, False),
        ("NOT ALARM(gone)", None, None),
        ("  (\n NOT(ALARM( bad )) )  ", False, False),
        ("ALARM(arn:aws:cloudwatch:us-east-1:000000000000:alarm:bad)", True, True),
        ('ALARM("arn:aws:cloudwatch:us-east-1:000000000000:alarm:quiet")', False, None),
    ],
)
def test_a_rule_holds_or_is_left_open(rule: str, lax: bool | None, strict: bool | None) -> None:
    assert (holds(parse(rule), STATES), holds(parse(rule), STATES, strict=True)) == (lax, strict)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("", "it ends too early"),
        ("ALARM(a) AND", "it ends too early"),
        ("ALARM(a) ALARM(b)", "is not expected there"),
        ("(ALARM(a)", "')' is missing"),
        ("ALARM(a))", "')' is not expected"),
        ("ALARM a", "'ALARM' is not expected"),
        ("ALARM()", "is not expected"),
        ("BREACHING(a)", "use ALARM(name), OK(name)"),
        ("AT_LEAST(1, ALARM, (a, b))", "use ALARM(name), OK(name)"),
        ("ALARM(a) XOR ALARM(b)", "is not expected there"),
        ("NOT", "it ends too early"),
        ("(" * 41 + "TRUE" + ")" * 41, "more than 40"),
        (" OR ".join(f"ALARM(a{number})" for number in range(101)), "it names 101 alarms"),
        (" OR ".join(["ALARM(a)"] * 251), "it has 501 elements"),
    ],
)
def test_a_rule_that_cannot_be_read_says_why(rule: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(rule)
    assert says in caught.value.message


@given(st.text("ALRMOKNDTFSUEI()\"' abc", max_size=60))
def test_any_text_is_read_as_a_rule_or_refused(text: str) -> None:
    try:
        rule = parse(text)
    except Invalid:
        return
    holds(rule, STATES)


def test_alarms_are_named_once() -> None:
    assert set(named_alarms('ALARM(a) OR (NOT OK("b c") AND ALARM(a))')) == {"a", "b c"}


def test_composite_alarms_of_composite_alarms_follow_at_once() -> None:
    bad, inner = alarm("bad", AlarmState.ALARM), alarm("inner", rule="ALARM(bad)")
    outer, free = alarm("outer", rule="ALARM(inner) AND NOT ALARM(free)"), alarm("free", rule="FALSE")
    given = {one.name: one for one in (outer, inner, free, bad)}
    changed = judge_all(given, NOON)
    assert [(one.name, one.state) for one in changed] == [
        ("inner", AlarmState.ALARM),
        ("outer", AlarmState.ALARM),
    ]
    assert changed[1].state_reason == "inner transitioned to ALARM at Tuesday 24 November, 2026 12:00:00 UTC"
    assert judge_all(given | {one.name: one for one in changed}, NOON + timedelta(seconds=1)) == []


def test_a_rule_that_names_a_missing_alarm_has_no_state_and_says_which() -> None:
    after = judge(alarm("outer", rule="ALARM(gone)"), {}, NOON)
    assert (after.state, "there is no alarm gone" in after.state_reason) == (AlarmState.INSUFFICIENT_DATA, True)


def test_alarms_that_depend_on_themselves_are_never_judged_and_hold_up_no_other() -> None:
    circle = [alarm("a", rule="ALARM(b)"), alarm("b", rule="ALARM(a)"), alarm("c", rule="ALARM(bad)")]
    assert [one.name for one in order(circle)] == ["c"]


def test_what_leaves_a_guard_open_is_named() -> None:
    guards = [alarm(name, state) for name, state in STATES.items()]
    inner, outer = alarm("inner", rule="ALARM(quiet)"), alarm("outer", rule="ALARM(inner) OR ALARM(good)")
    every = [*guards, inner, outer]
    assert undecided_by(every, STATES | {"inner": AlarmState.OK, "outer": AlarmState.OK}, ["outer"]) == ["quiet"]
    assert undecided_by(every, STATES, ["good"]) == []
    decided = [*guards, alarm("outer", rule="ALARM(quiet) OR ALARM(bad)")]
    assert undecided_by(decided, STATES, ["outer"]) == []
