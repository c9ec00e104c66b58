"""Whatever is seen of a live challenge: it ends in time, goes forward alone, and is shown for good reasons only."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.lessons.catalogue import find_lesson
from tidegate.features.lessons.lesson import LessonFacts, LessonProgress, LessonStatus, advance, report_progress
from tidegate.features.lessons.run_records import LessonVerdict, LiveRun
from tidegate.features.lessons.view import describe

NOW = 1_800_000_000.0
NAMES = ("drift", "peak", "update", "incident")
COUNTS = st.integers(0, 1_000)
NUMBERS = st.none() | st.integers(0, 6)
FACTS = st.builds(
    LessonFacts,
    serves=st.booleans(),
    failure=st.sampled_from(["", "", "", "broken"]),
    rolling=st.none() | st.sampled_from(["v1", "v2"]),
    outcome=st.sampled_from(["", "Succeeded", "RolledBack", "Failed"]),
    reason=st.sampled_from(["", "why"]),
    desired=NUMBERS,
    ready=NUMBERS,
    share=st.none() | st.sampled_from([0.0, 25.0, 100.0]),
    alarm=st.sampled_from(["", "OK", "ALARM", "INSUFFICIENT_DATA"]),
    drift=st.sampled_from(["", "no_drift", "drift", "unknown"]),
    drift_rows=st.integers(0, 200),
    findings=st.just(("amount: moved",)),
    scaled=st.booleans(),
    service=st.none() | st.floats(allow_nan=True, allow_infinity=False),
    sent=COUNTS,
    answered=COUNTS,
    failed=st.sampled_from([0, 0, 0, 7]),
    by_config=st.sampled_from([{}, {"first": 3}, {"first": 3, "second": 4}]),
)
SEEN = st.lists(st.tuples(st.floats(0.0, 400.0), FACTS), min_size=1, max_size=40)


@given(st.sampled_from(NAMES), SEEN, st.sampled_from(["", "refused"]))
def test_it_goes_forward_alone_and_ends_in_time(
    name: str, seen: list[tuple[float, LessonFacts]], refused: str
) -> None:
    challenge = find_lesson(name, 60)
    marks: dict[str, Any] = {"refused": refused} if name == "incident" else {}
    progress, now = LessonProgress(NOW, NOW, marks=marks), NOW
    for seconds, facts in seen:
        now += seconds
        step = advance(challenge, progress, facts, now)
        assert progress.step <= step.progress.step <= progress.step + 1
        if step.end is None:
            assert now - step.progress.entered < challenge.steps[step.progress.step].limit
            assert step.progress.entered <= now
            progress = step.progress
            continue
        assert step.end.said and "\n" not in step.end.said
        if step.end.verdict is LessonVerdict.SHOWN:
            assert step.progress.step == len(challenge.steps) - 1 and not facts.failure
            assert name == "incident" or not facts.failed
        return


@given(st.sampled_from(NAMES), SEEN, st.sampled_from([None, *LessonVerdict]))
def test_whatever_was_kept_of_it_can_be_shown(
    name: str, seen: list[tuple[float, LessonFacts]], verdict: LessonVerdict | None
) -> None:
    challenge, facts = find_lesson(name, 60), seen[-1][1]
    picture = {
        **{"sent": facts.sent, "answered": facts.answered, "failed": facts.failed, "held": 0, "last_failure": ""},
        **{"answered_by": dict(facts.by_config), "failed_by": {"": facts.failed}, "step": len(seen) % 5},
        **{"alarm": facts.alarm, "drift": facts.drift, "drift_rows": facts.drift_rows, "marks": {}},
        **{
            "desired": facts.desired,
            "ready": facts.ready,
            "share": facts.share,
            "versions": {"first": "v1", "second": "v2"},
        },
        "points": [
            [at, one.sent, one.answered, one.failed, one.desired, one.ready, one.share]
            for at, (_, one) in enumerate(seen)
        ],
    }
    now = datetime(2026, 1, 1, tzinfo=UTC)
    run = LiveRun(name, "r", "e", "dana", now, now, verdict=verdict, said="said", picture=picture)
    status = LessonStatus(challenge, run, report_progress(challenge, len(seen) % 5, verdict))
    shown = describe(status, "", True, Path("/lessons"), "http://127.0.0.1:1", signed=False)
    assert [one["step"] for one in shown["buttons"]] == ["stop" if verdict is None else "start"]
    states = [one["state"] for one in shown["steps"]]
    assert (verdict is LessonVerdict.SHOWN) <= (set(states) == {"done"})
    assert sum(state in ("under way", "missed") for state in states) == (
        0 if verdict is LessonVerdict.SHOWN else 1
    )
    assert all("nan" not in line.points for plot in shown["plots"] for line in plot.lines)
