"""When a HAProxy that does not answer is given up, and when it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.proxy.silence import BUSY_LIMIT, IDLE_LIMIT, MAX_PROBE_TIME, PROBE_TIMEOUT, Silence, SilenceProbe

IDLE, BUSY = SilenceProbe(True, PROBE_TIMEOUT, idle=True), SilenceProbe(True, PROBE_TIMEOUT)
ANSWER = SilenceProbe(False, 0.001, pid=1)


def after(*probes: SilenceProbe) -> Silence:
    found = Silence()
    for one in probes:
        found = found.after(one)
    return found


@pytest.mark.parametrize("one, limit", [(IDLE, IDLE_LIMIT), (BUSY, BUSY_LIMIT)])
def test_silence_has_a_limit_which_is_longer_for_one_that_is_at_work(one: SilenceProbe, limit: float) -> None:
    needed = round(limit / PROBE_TIMEOUT)
    assert after(*[one] * (needed - 1)).reason is None
    assert "has answered no command" in (after(*[one] * needed).reason or "")


def test_answer_resets_the_silence() -> None:
    assert after(IDLE, IDLE, ANSWER) == Silence()
    assert after(IDLE, IDLE, ANSWER, IDLE, IDLE).reason is None


def test_only_an_unbroken_rest_counts_as_doing_nothing() -> None:
    assert after(IDLE, IDLE, BUSY, IDLE, IDLE).reason is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=1 + int(IDLE_LIMIT / MAX_PROBE_TIME)))
def test_pause_of_this_process_does_not_count_as_silence(found: list[tuple[bool, float]]) -> None:
    """However long a probe took: it counts for a moment only."""
    silence = after(*(SilenceProbe(True, seconds, idle=idle) for idle, seconds in found))
    if len(found) * MAX_PROBE_TIME < IDLE_LIMIT:
        assert silence.reason is None
