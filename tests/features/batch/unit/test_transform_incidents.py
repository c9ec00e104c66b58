"""How long trouble is waited for: by incident and by the clock, never by the life of an object."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.batch.incidents import FIRST, LONGEST, PATIENCE, Incident, is_over, next_incident, passes
from tidegate.storage import files

STEPS = st.lists(st.tuples(st.floats(0, 600), st.booleans()), max_size=40)


@given(STEPS)
def test_an_incident_begins_with_the_first_failure_after_progress(steps: list[tuple[float, bool]]) -> None:
    now, incident, since, tries = 0.0, None, 0.0, 0
    for pause, progressed in steps:
        now += pause
        if incident is None or progressed:
            since, tries = now, 0
        tries += 1
        incident = next_incident(incident, now, progressed=progressed)
        assert incident == Incident(since, tries)
        assert FIRST <= incident.pause <= LONGEST
        assert is_over(incident, now, None) is (now - since >= PATIENCE)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 1_000_000))
def test_a_deadline_counts_for_all_of_them(since: float, deadline: float, tries: int) -> None:
    incident = Incident(since, tries)
    assert is_over(incident, deadline, deadline)
    assert not is_over(incident, deadline - 1, deadline)


def test_a_minute_without_the_storage_costs_some_tries_and_no_job() -> None:
    now, incident = 0.0, None
    while now < 60:
        incident = next_incident(incident, now, progressed=False)
        assert not is_over(incident, now, None)
        now += incident.pause
    assert incident is not None
    assert incident.tries < 10


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_full_or_broken_disk_passes(code: int) -> None:
    assert code in files.TRANSIENT
    assert passes(f"it cannot be started: {os.strerror(code)} (/state)")


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG])
def test_what_is_wrong_with_a_path_does_not(code: int) -> None:
    assert code not in files.TRANSIENT
    assert not passes(os.strerror(code))
