"""How far the lab is: a function of what was observed alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.history import Outcome
from tidegate.features.lessons.lab.progress import (
    ENDPOINT,
    VERSIONS,
    LabSeen,
    Step,
    StepName,
    StepState,
    Tried,
    Verdict,
    judge_steps,
    require_ready,
)

V1 = Tried("v1", Outcome.SERVING, True, "r1")
BETTER = Tried("better", Outcome.SERVING, True, "r2")
WORSE = Tried("worse", Outcome.ROLLED_BACK, False, "r3", "predictions differ")
BEGUN = LabSeen(open=True, by="ann")
TRAINED = replace(BEGUN, trained=True)
SERVING = replace(TRAINED, present=True, serving="v1", tried=(V1,), priced=True)
ASKED = replace(SERVING, rate=60.0, sending=True)
RELEASED = replace(ASKED, serving="better", tried=(replace(V1, outcome=Outcome.REPLACED), BETTER))
TURNED = replace(RELEASED, tried=(*RELEASED.tried, WORSE), verdict=Verdict("r3", True, True))


def states(seen: LabSeen) -> str:
    """A letter for each step."""
    letters = {StepState.AHEAD: ".", StepState.READY: "?", StepState.UNDER_WAY: "~", StepState.DONE: "x"}
    return "".join(letters[step.state] for step in judge_steps(seen))


def said(seen: LabSeen, name: StepName) -> str:
    return next(step.said for step in judge_steps(seen) if step.name is name)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (LabSeen(), "?......."),
        (replace(BEGUN, training=True, models=1), "~......?"),
        (replace(BEGUN, failure="no xgboost"), "?......?"),
        (TRAINED, "x?.....?"),
        (replace(TRAINED, present=True, rolling="v1", tried=(replace(V1, served=False),)), "x~.....?"),
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
def test_each_step_is_what_was_observed(seen: LabSeen, expected: str) -> None:
    assert states(seen) == expected


def test_without_requests_no_further_version_is_offered_and_it_says_why() -> None:
    assert states(replace(ASKED, rate=0.0, sending=False)) == "xx?....?"
    assert "Requests have to arrive" in said(replace(ASKED, rate=0.0), StepName.BETTER)
    assert states(replace(RELEASED, rate=0.0, sending=False)) == "xx?x...?"


def test_an_endpoint_of_somebody_else_holds_everything_and_says_what_to_do() -> None:
    found = judge_steps(LabSeen(stranger=True))
    assert {step.state for step in found} == {StepState.AHEAD}
    assert f"tidegate delete {ENDPOINT}" in found[0].said
    assert states(replace(BEGUN, stranger=True)) == ".......?", "a lab that was begun can be ended all the same"


def test_a_version_that_was_rolled_back_can_be_deployed_again() -> None:
    """The better one, by an alarm or a person."""
    back = Tried("better", Outcome.ROLLED_BACK, False, "r2", "aborted by bob")
    seen = replace(ASKED, tried=(V1, back))
    step = judge_steps(seen)[3]
    assert (step.state, step.again) == (StepState.READY, True) and "aborted by bob" in step.said


def test_a_first_version_that_does_not_start_can_be_deployed_again() -> None:
    failed = Tried("v1", Outcome.FAILED, False, "r1", "no memory")
    step = judge_steps(replace(TRAINED, present=True, tried=(failed,)))[1]
    assert (step.state, step.again) == (StepState.READY, True) and "no memory" in step.said


def test_a_worse_version_that_serves_is_no_success() -> None:
    serves = replace(WORSE, outcome=Outcome.SERVING, served=True)
    seen = replace(RELEASED, serving="worse", tried=(*RELEASED.tried, serves))
    assert states(seen) == "xxxx...?"
    assert "rollout undo" in said(seen, StepName.WORSE)
    undone = replace(seen, serving="better", tried=(*seen.tried, replace(BETTER, rollout="r4")))
    assert states(undone)[4] == "?"


def test_evidence_counts_only_of_that_rollout_and_if_the_verdict_follows_from_it() -> None:
    assert states(replace(TURNED, verdict=None))[5:7] == ".."
    assert states(replace(TURNED, verdict=Verdict("r2", True, True)))[5:7] == ".."
    seen = replace(TURNED, verdict=Verdict("r3", True, False))
    assert states(seen)[5:7] == ".." and "does not follow" in said(seen, StepName.EVIDENCE)
    aborted = replace(TURNED, verdict=Verdict("r3", False, True))
    assert states(aborted)[5] == "x" and "was not the evidence" in said(aborted, StepName.EVIDENCE)


def test_an_endpoint_that_is_gone_takes_its_steps_back() -> None:
    """As after ``tidegate delete``: history of a removed endpoint is nobody's."""
    assert states(replace(TURNED, present=False, serving=None, rate=0.0, sending=False)) == "x?.....?"
    assert states(replace(TRAINED, deleting=True)) == "x......?"


def test_versions_of_somebody_else_on_the_labs_endpoint_are_named() -> None:
    seen = replace(ASKED, serving=None, other="mine-7", tried=(V1,))
    assert states(seen)[3] == "." and "mine-7" in said(seen, StepName.BETTER)
    assert "mine-8" in said(replace(ASKED, rolling="mine-8"), StepName.BETTER)


@pytest.mark.parametrize(
    "name",
    ["", "evidence", "price", "TRAIN", "train ", "<script>alert(1)</script>", "../first", "x" * 5_000, "\u202e"],
)
def test_an_unknown_step_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(NotFound, match="it has train, first, traffic, better, worse, end") as error:
        require_ready(judge_steps(TURNED), name)
    assert len(error.value.message) < 250


def test_a_step_out_of_order_or_done_already_says_what_is_the_case() -> None:
    with pytest.raises(Conflict, match="Version v1 has to serve first"):
        require_ready(judge_steps(TRAINED), "better")
    with pytest.raises(Conflict, match="being rolled out"):
        require_ready(judge_steps(replace(ASKED, rolling="better")), "better")
    with pytest.raises(Conflict, match="Three versions are trained"):
        require_ready(judge_steps(TRAINED), "train")
    with pytest.raises(Conflict, match="nothing to remove"):
        require_ready(judge_steps(LabSeen()), "end")
    assert require_ready(judge_steps(ASKED), "better").name is StepName.BETTER


NAMES = st.sampled_from([*VERSIONS.values(), "another"])
TRIES = st.lists(
    st.builds(
        Tried, st.sampled_from(list(VERSIONS.values())), st.sampled_from(Outcome), st.booleans(), st.just("r")
    ),
    max_size=5,
)
SIGHTS = st.builds(
    LabSeen,
    open=st.booleans(),
    ending=st.booleans(),
    stranger=st.booleans(),
    training=st.booleans(),
    trained=st.booleans(),
    present=st.booleans(),
    deleting=st.booleans(),
    serving=st.none() | st.sampled_from(list(VERSIONS.values())),
    other=st.none() | st.just("another"),
    rolling=st.none() | NAMES,
    tried=TRIES,
    rate=st.sampled_from([0.0, 0.5, 60.0]),
    sending=st.booleans(),
    verdict=st.none() | st.builds(Verdict, st.just("r"), st.booleans(), st.booleans()),
    priced=st.booleans(),
)


@given(SIGHTS)
def test_whatever_is_observed_nothing_is_offered_that_would_do_harm(seen: LabSeen) -> None:
    found: Sequence[Step] = judge_steps(seen)
    assert [step.name for step in found] == list(StepName)
    ready = {step.name for step in found if step.state is StepState.READY}
    if seen.stranger or seen.ending:
        assert ready <= {StepName.END}
    if seen.rolling is not None or seen.deleting or not seen.trained:
        assert not ready & VERSIONS.keys()
    if seen.rate < 1:
        assert not ready & {StepName.BETTER, StepName.WORSE}
    if StepName.WORSE in ready:
        assert seen.serving == "better"
    assert (StepName.END in ready) == (seen.open and not seen.ending)
