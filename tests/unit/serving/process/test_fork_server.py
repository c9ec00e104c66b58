"""The nursery's side of the conversation with its controller; the forks are stand-ins."""

import os
import socket
from typing import NoReturn

import msgspec
import numpy as np
import pytest

from tidegate.serving.process.fork_server import ForkRequest, reseed, serve


class Became(Exception):
    """A child would go its own way here."""


def become(job: ForkRequest, gate: int) -> NoReturn:
    os.close(gate)
    raise Became(job)


def ask(ours: socket.socket) -> None:
    gate, go = os.pipe()
    socket.send_fds(ours, [msgspec.json.encode(ForkRequest("/r/replica.json", "/l/log"))], [gate])
    os.close(gate)
    os.close(go)


def test_each_job_is_answered_with_a_pid_until_the_controller_goes() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pids = iter((41, 42))
    with theirs:
        ask(ours)
        ask(ours)
        ours.shutdown(socket.SHUT_WR)
        serve(theirs, lambda: next(pids), become)
    with ours:
        assert [ours.recv(100), ours.recv(100)] == [b"41", b"42"]


def test_a_child_gets_the_job_and_not_the_channel() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ask(ours)
        with pytest.raises(Became) as became:
            serve(theirs, lambda: 0, become)
        assert became.value.args == (ForkRequest("/r/replica.json", "/l/log"),)
        assert theirs.fileno() == -1


def test_forked_workers_draw_other_random_numbers() -> None:
    np.random.seed(7)
    state = np.random.get_state()
    drawn = set()
    for _ in range(2):  # each begins with the state of the process that forks
        np.random.set_state(state)
        reseed()
        drawn.add(float(np.random.rand()))
    assert len(drawn) == 2
