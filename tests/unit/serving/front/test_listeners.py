"""A listening socket that takes no new connections, and loses none that it has."""

import os
import socket
import sys

import pytest

from tidegate.serving.front.listeners import drop_new_connections


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux, and newer kernels want root"
)
def test_connections_made_before_are_accepted_and_later_ones_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as later:
        address = listening.getsockname()
        with socket.create_connection(address) as earlier:
            drop_new_connections(listening.fileno())
            later.setblocking(False)
            later.connect_ex(address)
            earlier.sendall(b"asked")
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.recv(5) == b"asked"
                accepted.sendall(b"answered")
                assert earlier.recv(8) == b"answered"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
