"""When a HAProxy that does not answer is given up, and when it is not."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.host.process_stats import ProcessStats
from tidegate.proxy import silence
from tidegate.proxy.silence import (
    BUSY_LIMIT,
    IDLE_LIMIT,
    MAX_PROBE_TIME,
    PROBE_TIMEOUT,
    Silence,
    SilenceProbe,
    probe,
)

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


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield server


@contextmanager
def answering(path: Path, goes_on: threading.Event) -> Iterator[None]:
    """One command is answered, once it may be."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            goes_on.wait(300)
            connection.sendall(b"Name: HAProxy\nPid: 77\n")

    with listening(path) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            goes_on.set()
            thread.join(30)


def test_a_prompt_answer_takes_no_look_at_what_the_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[int]()
    monkeypatch.setattr(silence, "PROMPT", 20.0)
    monkeypatch.setattr(silence, "PROBE_TIMEOUT", 30.0)
    monkeypatch.setattr(ProcessStats, "of", lambda pid: looks.append(pid))
    goes_on = threading.Event()
    goes_on.set()
    with answering(tmp_path / "s", goes_on):
        found = probe(tmp_path / "s", "show info\n", 1)
    assert (found.silent, found.pid, looks) == (False, 77, [])


def test_a_late_answer_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(silence, "PROMPT", 0.01)
    monkeypatch.setattr(silence, "PROBE_TIMEOUT", 30.0)
    monkeypatch.setattr(ProcessStats, "of", lambda pid: goes_on.set())  # it was silent for so long
    with answering(tmp_path / "s", goes_on):
        found = probe(tmp_path / "s", "show info\n", 1)
    assert (found.silent, found.pid) == (False, 77)


@pytest.mark.parametrize("full", [False, True])
def test_a_silent_process_that_does_nothing_is_seen_to_be_idle(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its queue takes no further connection."""
    monkeypatch.setattr(silence, "PROMPT", 0.01)
    monkeypatch.setattr(silence, "PROBE_TIMEOUT", 0.2)
    process = subprocess.Popen(["sleep", "60"])
    with listening(tmp_path / "s") as server, socket.socket(socket.AF_UNIX) as first:
        if full:
            server.listen(0)
            first.connect(str(tmp_path / "s"))
        try:
            found = probe(tmp_path / "s", "show info\n", process.pid)
        finally:
            process.kill()
            process.wait()
    assert found.silent
    assert found.idle


def test_a_socket_without_a_listener_is_not_silent(tmp_path: Path) -> None:
    assert not probe(tmp_path / "nobody", "show info\n", 1).silent
