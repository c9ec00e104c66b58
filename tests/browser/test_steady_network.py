"""What the browser of the tests is started with."""

import subprocess
import sys

from tests.browser import steady_network

ASK = """
import socket
socket.create_server(("127.0.0.1", 0)).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
except OSError as error:
    print(error.strerror)
"""


def test_a_program_hears_of_no_network_and_uses_the_loopback_address() -> None:
    """Without its news of networks Chromium ends no connection that a test uses."""
    command = [sys.executable, steady_network.__file__, sys.executable, "-c", ASK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "Address family not supported by protocol\n"
