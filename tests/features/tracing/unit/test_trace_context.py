"""What clients send as trace context is used only if it is valid, and is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.spans import SpanContext, derive_id, shorten
from tidegate.domain.trace_context import TraceStarts, check_state, format_parent, hash_id, read_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_parent_is_read_and_written_again() -> None:
    assert read_context(VALID, "a=1, b@c=2 ,") == SpanContext(TRACE, SPAN, True, "a=1,b@c=2")
    assert read_context(VALID) is not None and format_parent(SpanContext(TRACE, SPAN)) == VALID
    quiet = read_context(f"00-{TRACE}-{SPAN}-02")
    assert quiet is not None and not quiet.sampled and format_parent(quiet).endswith("-00")


def test_a_later_version_may_have_more_fields() -> None:
    assert read_context(f"01-{TRACE}-{SPAN}-01-what-ever") == SpanContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "parent",
    [
        *(
            "",
            "00",
            VALID.upper(),
            VALID + "-more",
            VALID + "\n",
            " " + VALID,
            VALID + "," + VALID,
            "ff" + VALID[2:],
        ),
        *(
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE}-{SPAN}-0g",
            f"00-{TRACE[1:]}-{SPAN}-01",
        ),
        *(f"01-{TRACE}-{SPAN}-01-" + "x" * 300, f"00-{TRACE[:-1]}١-{SPAN}-01"),
    ],
)
def test_what_is_not_valid_counts_as_absent(parent: str) -> None:
    assert read_context(parent) is None


@pytest.mark.parametrize(
    "state",
    [
        "=",
        "a",
        "A=1",
        "a=1,a=2",
        "a=\x00",
        "a=b=c",
        "a=é",
        "a= ",
        ",".join(f"k{n}=1" for n in range(33)),
        "a=" + "1" * 600,
    ],
)
def test_a_wrong_state_is_dropped_and_the_parent_kept(state: str) -> None:
    assert read_context(VALID, state) == SpanContext(TRACE, SPAN)


@given(st.text(max_size=300), st.text(max_size=600))
def test_nothing_that_is_sent_fails_or_grows(parent: str, state: str) -> None:
    read_context(parent, state)
    found = read_context(VALID, state)
    assert found is not None and len(found.state) <= 512 and check_state(found.state) == found.state
    assert len(shorten(state)) <= 256 and shorten(state).replace("…", "").isprintable()


def test_traces_follow_their_callers_and_a_part_of_the_others() -> None:
    numbers = iter([7, 1, 2, 3, 4])
    starts = TraceStarts(0.25, lambda: next(numbers))
    assert starts.begin(None, 2**62 - 1) == f"{7:016x}{2**62 - 1:016x}"
    assert starts.begin(None, 2**62) is None
    assert starts.begin(SpanContext(TRACE, SPAN), 2**64 - 1) == TRACE
    assert starts.begin(SpanContext(TRACE, SPAN, sampled=False), 0) is None
    assert starts.begin_linked(None) is None and starts.begin_linked(SpanContext(TRACE, SPAN, False)) is None
    linked = starts.begin_linked(SpanContext(TRACE, SPAN))
    assert linked is not None and linked != TRACE and len(linked) == 32


@pytest.mark.parametrize(("ratio", "all_of_them"), [(0.0, False), (1.0, True)])
def test_the_ends_of_the_ratio_are_none_and_all(ratio: float, all_of_them: bool) -> None:
    for low in (0, 2**64 - 1):
        assert (TraceStarts(ratio, lambda: 1).begin(None, low) is not None) is all_of_them


def test_ids_follow_from_their_parts_and_an_id_of_a_client_is_hidden() -> None:
    assert derive_id(16, "a", 1) == derive_id(16, "a", 1) != derive_id(16, "a1", "")
    assert len(derive_id(32, "a")) == 32
    assert hash_id("key", b"alice") == hash_id("key", b"alice") != hash_id("other", b"alice")
    assert "alice" not in hash_id("key", b"alice")
