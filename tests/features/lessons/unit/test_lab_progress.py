"""How far the lab is: a function of what was observed alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.history import VersionOutcome
from tidegate.features.lessons.lab import ENDPOINT, LAB, VERSIONS
from tidegate.features.lessons.lesson import (
    Attempt,
    EvidenceCheck,
    LessonFacts,
    StepReport,
    StepState,
    report_steps,
    require_ready,
)

NAMES = [step.name for step in LAB.steps]
DEPLOYS = {step.name for step in LAB.steps if step.version}
V1 = Attempt("v1", VersionOutcome.SERVING, True, "r1")
BETTER = Attempt("better", VersionOutcome.SERVING, True, "r2")
WORSE = Attempt("worse", VersionOutcome.ROLLED_BACK, False, "r3", "predictions differ")
BEGUN = LessonFacts(open=True, by="ann")
TRAINED = replace(BEGUN, trained=True)
SERVING = replace(TRAINED, present=True, serving="v1", attempts=(V1,))
ASKED = replace(SERVING, rate=60.0, sending=True)
RELEASED = replace(ASKED, serving="better", attempts=(replace(V1, outcome=VersionOutcome.REPLACED), BETTER))
TURNED = replace(RELEASED, attempts=(*RELEASED.attempts, WORSE), evidence=EvidenceCheck("r3", True, True))


def states(seen: LessonFacts) -> str:
    """A letter for each step."""
    letters = {StepState.AHEAD: ".", StepState.READY: "?", StepState.UNDER_WAY: "~", StepState.DONE: "x"}
    return "".join(letters[step.state] for step in report_steps(LAB, seen))


def said(seen: LessonFacts, name: str) -> str:
    return next(step.said for step in report_steps(LAB, seen) if step.name == name)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (LessonFacts(), "?......."),
        (replace(BEGUN, training=True, models=1), "~......?"),
        (replace(BEGUN, training_failure="no xgboost"), "?......?"),
        (TRAINED, "x?.....?"),
        (replace(TRAINED, present=True, rolling="v1", attempts=(replace(V1, served=False),)), "x~.....?"),
        (SERVING, "xx?....?"),
        (replace(SERVING, sending=True), "xx~....?"),
        (ASKED, "xxx?...?"),
        (replace(ASKED, rolling="better"), "xxx~...?"),
        (RELEASED, "xxxx?..?"),
        (replace(RELEASED, rolling="worse"), "xxxx~..?"),
        (TURNED, "xxxxxxx?"),
        (replace(TURNED, rate=0.0, sending=False), "xxxxxxx?"),
        (replace(TURNED, ending=True), "xxxxxxx~"),
        (replace(ASKED, ending=True), "xxx....~"),
    ],
)
def test_each_step_is_what_was_observed(seen: LessonFacts, expected: str) -> None:
    assert states(seen) == expected


def test_without_requests_no_further_version_is_offered_and_it_says_why() -> None:
    assert states(replace(ASKED, rate=0.0, sending=False)) == "xx?....?"
    assert "Requests have to arrive" in said(replace(ASKED, rate=0.0), "better")
    assert states(replace(RELEASED, rate=0.0, sending=False)) == "xx?x...?"


def test_an_endpoint_of_somebody_else_holds_everything_and_says_what_to_do() -> None:
    found = report_steps(LAB, LessonFacts(stranger=True))
    assert {step.state for step in found} == {StepState.AHEAD}
    assert f"tidegate delete {ENDPOINT}" in found[0].said
    assert states(replace(BEGUN, stranger=True)) == ".......?", "a lab that was begun can be ended all the same"


def test_a_version_that_was_rolled_back_can_be_deployed_again() -> None:
    """The better one, by an alarm or a person."""
    back = Attempt("better", VersionOutcome.ROLLED_BACK, False, "r2", "aborted by bob")
    seen = replace(ASKED, attempts=(V1, back))
    step = report_steps(LAB, seen)[3]
    assert (step.state, step.again) == (StepState.READY, True) and "aborted by bob" in step.said


def test_a_first_version_that_does_not_start_can_be_deployed_again() -> None:
    failed = Attempt("v1", VersionOutcome.FAILED, False, "r1", "no memory")
    step = report_steps(LAB, replace(TRAINED, present=True, attempts=(failed,)))[1]
    assert (step.state, step.again) == (StepState.READY, True) and "no memory" in step.said


def test_a_worse_version_that_serves_is_no_success() -> None:
    serves = replace(WORSE, outcome=VersionOutcome.SERVING, served=True)
    seen = replace(RELEASED, serving="worse", attempts=(*RELEASED.attempts, serves))
    assert states(seen) == "xxxx...?"
    assert "rollout undo" in said(seen, "worse")
    undone = replace(seen, serving="better", attempts=(*seen.attempts, replace(BETTER, rollout="r4")))
    assert states(undone)[4] == "?"


def test_evidence_counts_only_of_that_rollout_and_if_the_verdict_follows_from_it() -> None:
    assert states(replace(TURNED, evidence=None))[5:7] == ".."
    assert states(replace(TURNED, evidence=EvidenceCheck("r2", True, True)))[5:7] == ".."
    seen = replace(TURNED, evidence=EvidenceCheck("r3", True, False))
    assert states(seen)[5:7] == ".." and "does not follow" in said(seen, "evidence")
    aborted = replace(TURNED, evidence=EvidenceCheck("r3", False, True))
    assert states(aborted)[5] == "x" and "was not the evidence" in said(aborted, "evidence")


def test_an_endpoint_that_is_gone_takes_its_steps_back() -> None:
    """As after ``tidegate delete``: history of a removed endpoint is nobody's."""
    assert states(replace(TURNED, present=False, serving=None, rate=0.0, sending=False)) == "x?.....?"
    assert states(replace(TRAINED, deleting=True)) == "x......?"


def test_versions_of_somebody_else_on_the_labs_endpoint_are_named() -> None:
    seen = replace(ASKED, serving=None, other="mine-7", attempts=(V1,))
    assert states(seen)[3] == "." and "mine-7" in said(seen, "better")
    assert "mine-8" in said(replace(ASKED, rolling="mine-8"), "better")


@pytest.mark.parametrize(
    "name",
    ["", "evidence", "price", "TRAIN", "train ", "<script>alert(1)</script>", "../first", "x" * 5_000, "\u202e"],
)
def test_an_unknown_step_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(NotFound, match="it has train, first, traffic, better, worse, end") as error:
        require_ready(LAB, report_steps(LAB, TURNED), name)
    assert len(error.value.message) < 250


def test_a_step_out_of_order_or_done_already_says_what_is_the_case() -> None:
    with pytest.raises(Conflict, match="Version v1 has to serve first"):
        require_ready(LAB, report_steps(LAB, TRAINED), "better")
    with pytest.raises(Conflict, match="being rolled out"):
        require_ready(LAB, report_steps(LAB, replace(ASKED, rolling="better")), "better")
    with pytest.raises(Conflict, match="Three versions are trained"):
        require_ready(LAB, report_steps(LAB, TRAINED), "train")
    with pytest.raises(Conflict, match="nothing to remove"):
        require_ready(LAB, report_steps(LAB, LessonFacts()), "end")
    assert require_ready(LAB, report_steps(LAB, ASKED), "better")[0].name == "better"


ROLLING = st.sampled_from([*VERSIONS, "another"])
ATTEMPTS = st.lists(
    st.builds(Attempt, st.sampled_from(VERSIONS), st.sampled_from(VersionOutcome), st.booleans(), st.just("r")),
    max_size=5,
)
SIGHTS = st.builds(
    LessonFacts,
    open=st.booleans(),
    ending=st.booleans(),
    stranger=st.booleans(),
    training=st.booleans(),
    trained=st.booleans(),
    present=st.booleans(),
    deleting=st.booleans(),
    serving=st.none() | st.sampled_from(VERSIONS),
    other=st.none() | st.just("another"),
    rolling=st.none() | ROLLING,
    attempts=ATTEMPTS,
    rate=st.sampled_from([0.0, 0.5, 60.0]),
    sending=st.booleans(),
    evidence=st.none() | st.builds(EvidenceCheck, st.just("r"), st.booleans(), st.booleans()),
)


@given(SIGHTS)
def test_whatever_is_observed_nothing_is_offered_that_would_do_harm(seen: LessonFacts) -> None:
    found: Sequence[StepReport] = report_steps(LAB, seen)
    assert [step.name for step in found] == NAMES
    ready = {step.name for step in found if step.state is StepState.READY}
    if seen.stranger or seen.ending:
        assert ready <= {"end"}
    if seen.rolling is not None or seen.deleting or not seen.trained:
        assert not ready & DEPLOYS
    if seen.rate < 1:
        assert not ready & {"better", "worse"}
    if "worse" in ready:
        assert seen.serving == "better"
    assert ("end" in ready) == (seen.open and not seen.ending)
