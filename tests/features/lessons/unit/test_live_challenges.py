"""The live challenges, stage by stage on what might be seen: what is not seen ends none of them well."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from tidegate.domain.errors import NotFound
from tidegate.features.lessons import drift, incident, peak, update
from tidegate.features.lessons.catalogue import find_lesson
from tidegate.features.lessons.driver import describe_spec, make_files
from tidegate.features.lessons.lesson import (
    Advance,
    DeployVersion,
    Lesson,
    LessonAct,
    LessonFacts,
    LessonMoment,
    LessonProgress,
    LessonStep,
    PlainAct,
    RunPlaces,
    SendRequests,
    advance,
)
from tidegate.features.lessons.model_files import COLUMNS, CUT, draw_rows
from tidegate.features.lessons.run_records import LessonVerdict
from tidegate.spec import parse_runnable

NOW = 1_800_000_000.0
SERVING = LessonFacts(serves=True, desired=2, ready=2)
DRIFT = drift.make_lesson(60)
CHALLENGES = {"drift": DRIFT, "peak": peak.PEAK_LESSON, "update": update.UPDATE, "incident": incident.INCIDENT}
NAMES = tuple(CHALLENGES)


def run(
    challenge: Lesson, seen: Iterable[tuple[float, LessonFacts]], marks: dict[str, object] | None = None
) -> list[Advance]:
    """Each look is so many seconds after the one before."""
    steps, progress, now = list[Advance](), LessonProgress(NOW, NOW, marks=marks or {}), NOW
    for seconds, facts in seen:
        now += seconds
        steps.append(advance(challenge, progress, facts, now))
        progress = steps[-1].progress
        if any(act is PlainAct.RETRY for act in steps[-1].acts):
            progress = replace(progress, marks={**progress.marks, "refused": "it was rejected"})
    return steps


def acts(steps: Iterable[Advance]) -> list[LessonAct]:
    return [act for step in steps for act in step.acts]


@pytest.mark.parametrize("name", NAMES)
def test_a_challenge_of_which_nothing_is_seen_ends_and_is_not_shown(name: str) -> None:
    challenge = CHALLENGES[name]
    steps = run(challenge, [(1.0, LessonFacts()), (challenge.steps[0].limit, LessonFacts())])
    assert steps[0].end is None and acts(steps) == []
    end = steps[1].end
    assert end is not None and end.verdict is LessonVerdict.NOT_SHOWN and "did not serve" in end.said


@pytest.mark.parametrize("name", NAMES)
def test_an_endpoint_that_cannot_be_created_ends_it_at_once_with_the_reason(name: str) -> None:
    [step] = run(CHALLENGES[name], [(1.0, LessonFacts(failure="the model data is damaged"))])
    assert step.end is not None and step.end.verdict is LessonVerdict.FAILED and "is damaged" in step.end.said


@pytest.mark.parametrize("name", NAMES)
def test_each_stage_that_sees_nothing_more_ends_in_time(name: str) -> None:
    """From whichever stage on: the clock alone ends it, and never as shown."""
    challenge = CHALLENGES[name]
    for number, stage in enumerate(challenge.steps):
        progress = LessonProgress(NOW, NOW, number)
        if stage.optional or not stage.missed:
            continue
        step = advance(challenge, progress, LessonFacts(sent=9, answered=0), NOW + stage.limit)
        assert step.end is not None and step.end.verdict is not LessonVerdict.SHOWN, stage.title


def test_a_clock_that_is_set_back_neither_ends_a_stage_nor_makes_seconds_negative() -> None:
    step = advance(peak.PEAK_LESSON, LessonProgress(NOW, NOW, 1), SERVING, NOW - 3_600)
    assert step.end is None and step.progress.step == 1


# --- drift ---


def drifting(**last: Any) -> list[Advance]:
    calm = replace(SERVING, drift="no_drift", drift_rows=90, sent=300, answered=300)
    found = replace(calm, drift="drift", findings=("amount: moved",))
    told = replace(found, alarm="ALARM", alarm_reason="Threshold Crossed", **last)
    return run(DRIFT, [(2.0, SERVING), (5.0, SERVING), (9.0, calm), (20.0, found), (10.0, told), (1.0, told)])


def test_drift_is_shown_once_a_look_was_calm_another_found_it_and_the_alarm_went_off() -> None:
    steps = drifting()
    assert acts(steps) == [
        SendRequests(drift.RATE),
        SendRequests(drift.RATE, "shifted.jsonl"),
        PlainAct.STOP_REQUESTS,
    ]
    end, marks = steps[-1].end, steps[-1].progress.marks
    assert (
        end is not None
        and end.verdict is LessonVerdict.SHOWN
        and "after 36 s" in end.said
        and "after 46 s" in end.said
    )
    assert marks["findings"] == ["amount: moved"]


def test_drift_with_failed_requests_is_not_shown_as_drift_alone() -> None:
    end = drifting(failed=2, answered=298)[-1].end
    assert end is not None and end.verdict is LessonVerdict.NOT_SHOWN and "2 requests failed" in end.said


def test_a_look_of_few_rows_or_an_unknown_one_is_no_calm_one() -> None:
    few = replace(SERVING, drift="no_drift", drift_rows=drift.LEAST_ROWS - 1)
    unknown = replace(SERVING, drift="unknown", drift_rows=500)
    steps = run(DRIFT, [(1.0, SERVING), (9.0, few), (9.0, unknown), (1e3, unknown)])
    assert [step.progress.step for step in steps] == [1, 1, 1, 1]
    assert steps[-1].end is not None and steps[-1].end.verdict is LessonVerdict.NOT_SHOWN


@pytest.mark.parametrize("seconds", [1, 9, 10, 60, 61])
def test_a_look_covers_captures_that_come_late(seconds: int) -> None:
    window = drift.window(seconds)
    assert (
        window % drift.EVERY == 0 and seconds + 2 * drift.EVERY <= window < seconds + 3 * drift.EVERY + drift.EVERY
    )


# --- peak ---


def peaking(largest: int = 4, failed: int = 0, last: int = 1) -> list[Advance]:
    calm = LessonFacts(serves=True, desired=1, ready=1, service=2.0, sent=40, answered=40)
    scaled = replace(calm, scaled=True)
    full = replace(scaled, desired=largest, ready=largest, sent=900, answered=900 - failed, failed=failed)
    after = replace(full, desired=last, ready=last)
    return run(
        peak.PEAK_LESSON,
        [(2.0, calm), (9.0, calm), (3.0, scaled), (5.0, full), (20.0, full), (50.0, after), (1.0, after)],
    )


def test_the_peak_is_shown_by_instances_that_followed() -> None:
    steps = peaking()
    end = steps[-1].end
    assert end is not None and end.verdict is LessonVerdict.SHOWN
    assert end.said == "1 to 4 instances, 1 at last; all 900 requests were answered"
    sent = [act.rate for act in acts(steps) if isinstance(act, SendRequests)]
    assert sent == [peak.CALM, peak.CALM * peak.FACTOR, peak.CALM]
    [scale] = [act for act in acts(steps) if isinstance(act, DeployVersion)]
    assert scale.target == peak.choose_target(2.0)


@pytest.mark.parametrize(
    ("seen", "said"), [({"largest": 1}, "no instance was added"), ({"failed": 3}, "3 of 900 requests failed")]
)
def test_a_peak_without_more_instances_or_with_failures_is_not_shown(seen: dict[str, int], said: str) -> None:
    end = peaking(**seen)[-1].end
    assert end is not None and end.verdict is LessonVerdict.NOT_SHOWN and said in end.said


def test_instances_that_have_not_gone_yet_are_said() -> None:
    end = peaking(last=4)[-1].end
    assert end is not None and end.verdict is LessonVerdict.SHOWN and "none has gone yet" in end.said


@pytest.mark.parametrize("service", [1e-9, 0.3, 2.0, 900.0])
def test_the_target_asks_for_more_than_one_instance_in_the_peak_and_for_one_before(service: float) -> None:
    target = peak.choose_target(service)
    busy = peak.CALM * service / 1_000
    assert target > 0 and busy / target <= 1.0
    if service > 1e-3:
        assert busy * peak.FACTOR / target == pytest.approx(peak.WANTED)


def test_a_service_time_that_is_not_known_starts_no_rule() -> None:
    unknown = LessonFacts(serves=True, desired=1, ready=1)
    steps = run(peak.PEAK_LESSON, [(2.0, unknown), (20.0, unknown), (20.0, unknown)])
    assert acts(steps) == [SendRequests(peak.CALM)]
    assert steps[-1].end is not None and steps[-1].end.verdict is LessonVerdict.NOT_SHOWN


# --- update ---


def updating(**last: Any) -> list[Advance]:
    first = replace(SERVING, sent=150, answered=149, by_config={"first": 149})
    during = replace(first, rolling="v2", share=50.0)
    done = replace(first, outcome="Succeeded", sent=900, answered=900)
    done = replace(done, by_config={"first": 500, "second": 400})
    ended = replace(done, **last)
    return run(
        update.UPDATE, [(2.0, SERVING), (4.0, first), (3.0, during), (9.0, done), (4.0, done), (16.0, ended)]
    )


def test_an_update_is_shown_if_every_request_was_answered_by_one_version_or_the_other() -> None:
    steps = updating()
    end = steps[-1].end
    assert end is not None and end.verdict is LessonVerdict.SHOWN
    assert end.said == "900 requests sent, 900 answered, 0 failed"
    assert acts(steps) == [SendRequests(update.RATE), DeployVersion("v2"), PlainAct.STOP_REQUESTS]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"failed": 1, "answered": 899}, "1 failed"),
        ({"answered": 899}, "not answered"),
        ({"outcome": "RolledBack", "reason": "an alarm"}, "an alarm"),
        ({"by_config": {"first": 900, "second": 0}}, "not both versions answered"),
    ],
)
def test_an_update_with_a_lost_request_or_one_version_alone_is_not_shown(
    last: dict[str, object], said: str
) -> None:
    end = updating(**last)[-1].end
    assert end is not None and end.verdict is LessonVerdict.NOT_SHOWN and said in end.said


def test_the_creation_of_the_endpoint_is_not_taken_for_the_update() -> None:
    """Its outcome is empty in the facts, so the stage of the update waits."""
    first = replace(SERVING, sent=150, answered=150)
    steps = run(update.UPDATE, [(2.0, SERVING), (4.0, first), (1.0, first), (1.0, first)])
    assert steps[-1].progress.step == 2


# --- incident ---


def failing(outcome: str = "RolledBack", refused: str = "it was rejected") -> list[Advance]:
    first = replace(SERVING, ready=1, desired=1, sent=90, answered=90)
    shipped = replace(first, rolling="v2", share=25.0, failed=5, sent=200, answered=195)
    back = replace(first, outcome=outcome, reason="alarm x", share=0.0, failed=20, sent=300, answered=280)
    return run(
        incident.INCIDENT,
        [(2.0, first), (4.0, first), (3.0, shipped), (6.0, back), (1.0, back), (4.0, back), (1.0, back)],
        None if refused else {"refused": ""},
    )


def test_an_incident_is_shown_if_the_bad_version_was_turned_back_and_stays_away() -> None:
    steps = failing()
    end, marks = steps[-1].end, steps[-1].progress.marks
    assert end is not None and end.verdict is LessonVerdict.SHOWN and "20 of 300 requests" in end.said
    assert (marks["shipped"], marks["back"], marks["cause"]) == (9.0, 15.0, "alarm x")
    assert acts(steps) == [
        SendRequests(incident.RATE),
        DeployVersion("bad"),
        PlainAct.RETRY,
        PlainAct.STOP_REQUESTS,
    ]


def test_a_bad_version_that_is_kept_is_not_a_shown_incident() -> None:
    end = failing("Succeeded")[-1].end
    assert end is not None and end.verdict is LessonVerdict.NOT_SHOWN and "was kept" in end.said


# --- files and specs ---


@pytest.mark.parametrize("name", NAMES)
def test_what_is_deployed_is_a_spec_that_names_the_run_s_own_files_on_this_machine(name: str) -> None:
    lesson = find_lesson(name, 60)
    files = make_files(lesson)
    places = RunPlaces("file:///state/live-runs/x", "file:///state/outputs/x")
    for version in lesson.versions:
        spec = describe_spec(lesson, "tidegate-live-x", DeployVersion(version, 0.01), places)
        desired = parse_runnable(spec, datetime(2026, 1, 1, tzinfo=UTC))
        assert (desired.target, desired.endpoint) == ("local", "tidegate-live-x")
        data = spec["model"]["data"]
        assert data.removeprefix(f"{places.files}/") in files
    sent = {act.file for step in lesson.steps for act in _sends(step)}
    assert sent <= files.keys()


def _sends(stage: LessonStep) -> list[SendRequests]:
    return [
        act for act in stage.acts(LessonMoment(LessonFacts(service=1.0), 0.0, {})) if isinstance(act, SendRequests)
    ]


def test_amounts_lie_on_both_sides_of_the_model_s_cut() -> None:
    amounts = [row["amount"] for row in draw_rows(Random(1), 500)]
    below = sum(1 for amount in amounts if isinstance(amount, float) and amount < CUT)
    assert 100 < below < 400 and set(draw_rows(Random(1), 1)[0]) == set(COLUMNS)


@pytest.mark.parametrize("name", ["", "nothing", "DRIFT", "drift/../peak", "x" * 10_000, "<script>"])
def test_a_challenge_that_there_is_not_is_said_in_one_short_line(name: str) -> None:
    with pytest.raises(NotFound) as told:
        find_lesson(name, 60)
    assert len(told.value.message) < 120 and "\n" not in told.value.message
