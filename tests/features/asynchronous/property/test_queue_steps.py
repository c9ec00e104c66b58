"""Whatever crashes in between: each request ends, with exactly one output or one failure, in bounded tries."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.asynchronous import (
    AsyncConfig,
    Backlog,
    Item,
    ItemOutcome,
    ItemState,
    LeasedItem,
    OutcomeKind,
)
from tidegate.domain.errors import Invalid
from tidegate.features.asynchronous import destinations, loop
from tidegate.queueing import transitions
from tidegate.queueing.transitions import (
    AttemptFailed,
    AttemptSucceeded,
    FaultKind,
    Invoke,
    Notify,
    RecordEnd,
    Requeue,
)
from tidegate.storage.addresses import check_address, check_output, check_sink

ITEM = Item("a", "fraud", "a", 0.0, 60.0, 30.0, "s3://o/a.out", "s3://o/a-error.out", success=("file:///told",))
FAULTS = st.sampled_from(list(FaultKind))
RESULTS = st.one_of(st.just(AttemptSucceeded("text/csv")), st.builds(AttemptFailed, FAULTS, st.just("why")))
CRASHES = st.sampled_from(["none", "before", "put", "recorded", "telling"])
TRIES = st.lists(st.tuples(st.floats(0, 100), RESULTS, CRASHES, st.booleans()), max_size=60)
"""The last says whether the endpoint exists."""


@dataclass
class World:
    """One row of the queue, and the storage."""

    item: Item
    row: LeasedItem
    due_at: float = 0.0
    state: ItemState = ItemState.WAITING
    now: float = 0.0
    put: set[str] = field(default_factory=set)
    begun: int = 0
    told: int = 0
    reasons: set[str] = field(default_factory=set)
    outcome: ItemOutcome | None = None

    def turn(self, wait: float, result: AttemptSucceeded | AttemptFailed, crash: str, exists: bool = True) -> None:
        """A dispatcher leases the item, does what is to be done, and may die: before it asks, once it has put the
        output, before it puts the failure that it has recorded, or before it says that it told."""
        self.now = max(self.now + wait, self.due_at)
        held = transitions.lease(replace(self.row, state=self.state), self.now)
        self.row, self.state, self.due_at = held, held.state, self.now + transitions.LEASE
        step: Invoke | RecordEnd | Notify | Requeue = transitions.next_step(held, exists, self.now)
        if isinstance(step, RecordEnd) and step.look and "output" in self.put:
            step = RecordEnd(ItemOutcome(OutcomeKind.COMPLETED, self.now))
        if isinstance(step, Invoke):
            self.begun += 1
            if crash == "before":
                return
            step = self.tried(step, held, result)
        if isinstance(step, Requeue):
            self.row, self.state, self.due_at = step.held, ItemState.WAITING, step.due_at
            return
        if isinstance(step, RecordEnd):
            if step.outcome.end is OutcomeKind.COMPLETED:
                self.put.add("output")
            if crash == "put":
                return
            self.state = ItemState.NOTIFYING
            self.row = replace(held, state=ItemState.NOTIFYING, outcome=step.outcome)
            if crash == "recorded":
                return
            step = Notify(step.outcome)
        if step.outcome.end is not OutcomeKind.COMPLETED:
            self.put.add("failure")
        self.reasons.add(step.outcome.reason)
        self.told += 1
        if crash != "telling":
            self.state, self.outcome = ItemState.DONE, step.outcome

    def tried(
        self, begin: Invoke, held: LeasedItem, result: AttemptSucceeded | AttemptFailed
    ) -> RecordEnd | Requeue:
        if begin.look and "output" in self.put:
            return RecordEnd(ItemOutcome(OutcomeKind.COMPLETED, self.now))
        return transitions.after_attempt(held, result, self.now)


def world(retries: int) -> World:
    item = replace(ITEM, retries=retries)
    return World(item, LeasedItem(item, 0, ItemState.WAITING))


@given(TRIES, st.integers(0, 3))
def test_exactly_one_of_output_and_failure_whatever_dies(
    tries: list[tuple[float, AttemptSucceeded | AttemptFailed, str, bool]], retries: int
) -> None:
    one = world(retries)
    for wait, result, crash, exists in tries:
        if one.state is ItemState.DONE:
            break
        one.turn(wait, result, crash, exists)
        assert len(one.put) <= 1, one
    while one.state is not ItemState.DONE:
        one.turn(1.0, AttemptSucceeded("text/csv"), "none")
    assert len(one.put) == 1
    assert one.told >= 1
    assert len(one.reasons) == 1, "told again, it is told the same"
    assert one.outcome is not None
    assert (one.outcome.end is OutcomeKind.COMPLETED) == (one.put == {"output"})


@pytest.mark.parametrize("exists", [True, False], ids=["it is there", "it is gone"])
def test_an_output_stored_by_the_last_death_is_not_followed_by_a_failure(exists: bool) -> None:
    one = world(0)
    for _ in range(transitions.MAX_LOSSES - 1):
        one.turn(1.0, AttemptSucceeded("text/csv"), "before")
    one.turn(1.0, AttemptSucceeded("text/csv"), "put")
    one.turn(1.0, AttemptSucceeded("text/csv"), "none", exists)
    assert one.put == {"output"}
    assert one.outcome is not None and one.outcome.end is OutcomeKind.COMPLETED


CAUSED = FAULTS.filter(lambda cause: cause is not FaultKind.BUSY)
"""A full house says nothing of the request."""


@given(st.lists(st.tuples(st.floats(0, 5), CAUSED, st.booleans()), min_size=1, max_size=10))
def test_no_request_is_tried_for_ever(tries: list[tuple[float, FaultKind, bool]]) -> None:
    one = world(2)
    for wait, cause, dies in tries * 200:
        if one.state is not ItemState.DONE:
            one.turn(wait, AttemptFailed(cause, "why"), "before" if dies else "none")
    assert one.state is ItemState.DONE


@given(st.floats(0, 120), st.integers(0, 4))
def test_only_what_was_never_handed_out_expires(now: float, fence: int) -> None:
    held = transitions.lease(LeasedItem(ITEM, fence, ItemState.WAITING), now)
    expired = held.outcome is not None and held.outcome.end is OutcomeKind.EXPIRED
    assert expired == (fence == 0 and now >= ITEM.expires_at)
    assert held.state is (ItemState.NOTIFYING if expired else ItemState.WORKING)
    assert isinstance(transitions.next_step(held, True, now), Notify if expired else Invoke)


@given(st.floats(0, 120), st.integers(1, 5))
def test_what_no_instance_takes_expires_as_well(now: float, fence: int) -> None:
    step = transitions.after_attempt(
        LeasedItem(ITEM, fence, ItemState.WORKING), AttemptFailed(FaultKind.BUSY, "full"), now
    )
    expired = isinstance(step, RecordEnd) and step.outcome.end is OutcomeKind.EXPIRED
    assert expired == (now >= ITEM.expires_at)


@given(st.integers(0, 5), st.integers(0, 8))
def test_shaky_answers_are_asked_again_as_often_as_allowed(retries: int, tries: int) -> None:
    held = LeasedItem(replace(ITEM, retries=retries), tries + 1, tries=tries)
    again = isinstance(transitions.after_attempt(held, AttemptFailed(FaultKind.SERVER_ERROR, "500"), 1.0), Requeue)
    assert again == (tries < retries)


def test_a_request_of_an_endpoint_that_is_gone_fails() -> None:
    step = transitions.next_step(LeasedItem(ITEM, 1), False, 1.0)
    assert isinstance(step, RecordEnd) and step.outcome.end is OutcomeKind.FAILED


@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.floats(0, 100))
def test_instances_for_work_and_none_after_a_while_without(
    present: int, waiting: int, working: int, idle: float
) -> None:
    config = AsyncConfig("s3://o", idle_after=10.0, awake=2)
    found = loop.desired_count(config, present, Backlog(waiting, working), 100.0 - idle, 100.0)
    if waiting + working:
        assert found == (present or 2)
    else:
        assert found == (0 if idle >= 10 else present)
    assert loop.desired_count(replace(config, idle_after=None), present, Backlog(), 0.0, 1e9) == present


NAMES = st.text("abc./-", max_size=20)


@given(NAMES, st.one_of(st.none(), NAMES))
def test_no_extension_leads_out_of_the_output_path(extension: str, filename: str | None) -> None:
    config = AsyncConfig("s3://bucket/out/", "s3://bucket/bad")
    try:
        output, failure = destinations.locations(config, "id", extension, filename and "name.csv")
    except Invalid:
        assert any(part in (".", "..") for part in extension.split("/"))
        return
    assert output.startswith("s3://bucket/out/") and failure is not None and failure.startswith("s3://bucket/bad/")
    assert not {".", "..", ""} & set(output.removeprefix("s3://bucket/").split("/"))


@pytest.mark.parametrize(
    "address", ["", "s3://", "s3:///key", "/a", "http://a/b", "file://host/a", "file:///a/../b"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        check_address(address, "output")


@pytest.mark.parametrize("sink", ["", "arn:aws:sqs:us-east-1:1:q", "http://", "mailto:a@b", "file://host/x"])
def test_what_can_be_told_nothing_is_refused(sink: str) -> None:
    with pytest.raises(Invalid):
        check_sink(sink, "success")


@pytest.mark.parametrize("address", ["s3://out/\u65e5\u672c", "s3://out/a\rx: y", "s3://out/a\n", "file:///a\x7f"])
def test_an_address_that_no_header_can_carry_is_refused(address: str) -> None:
    """The answer to a request tells it in one."""
    with pytest.raises(Invalid, match="has a character"):
        check_output(address, "output")
    check_output("s3://out/\u00e9 t", "output")
