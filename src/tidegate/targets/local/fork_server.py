"""The controller's side of the fork servers: processes with libraries imported, which fork workers in milliseconds.

They live and die with their controller; the workers that they forked do not. While one starts, or if it died or does
not answer, ``fork`` returns None and the worker starts without it. There is one for each group of runtimes
(``contract.fork_groups``) that the endpoints of this server use. It starts with the first serverless endpoint of the
group, or once there are many workers of it, whose libraries are then in memory once.
"""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tidegate.host.atomic_write import write_private
from tidegate.host.installation import Installation
from tidegate.serving.contract.fork_groups import GROUPS, THREADS
from tidegate.serving.contract.runtime import TABLES
from tidegate.targets.local.process import NOTE, Identity, Process, cleaned

log = logging.getLogger(__name__)

ANSWER = 2.0
"""Seconds for a fork, which takes some milliseconds."""
AGAIN = 5.0
"""Seconds between two starts; twice as many after each one that never became ready."""
MOST_DOUBLINGS = 7
READY = b"ready"
MODULE = "tidegate.serving.process.fork_server"


class ForkServer:
    """Its command line, which the workers that it forks keep, names the installation."""

    def __init__(self, installation: Installation, environment: Mapping[str, str], group: str = TABLES) -> None:
        self._installation = installation
        self._group = group
        self._state = installation.root
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready = False
        self._started = 0.0
        self._unready = 0
        """Starts in a row that ended before the process was ready."""
        self._useless = False
        """A library starts a thread when it is imported, which another start would not change."""

    @property
    def wanted(self) -> bool:
        """Whether something has asked for it: workers that nobody waits for are forked as well then, since they
        share its memory."""
        return self._started > 0

    def ensure(self) -> None:
        """Start the process if it does not run; it is ready a second or two later."""
        if self._useless or (self._process is not None and self._process.poll() is None):
            return
        self._note_end()
        if self._useless or (self._started and time.monotonic() - self._started < self._pause):
            return
        self.close()
        self._started = time.monotonic()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with output_file(self._state, self._group).open("wb") as output, theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *self._installation.python, "-m", MODULE, str(self._state), self._group],
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Arrow's allocator starts a thread of its own when it is imported, unless it is told not to.
                    env={"JE_ARROW_MALLOC_CONF": "background_thread:false", **cleaned(self._environment)},
                    start_new_session=True,
                )
        except OSError as error:
            log.warning("the fork server cannot be started, workers start without it: %s", error.strerror)
            ours.close()
            return
        self._channel, self._ready = ours, False

    def fork(self, start: Path, log_file: Path) -> Process | None:
        """Fork a worker on the replica file ``start``, with its output in ``log_file``. The worker begins once its
        identity is on disk: if this process dies before that, the worker ends at once."""
        self.ensure()
        if self._channel is None or not self._is_ready(self._channel):
            return None
        gate, go = os.pipe()
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._channel.settimeout(ANSWER)
            job = msgspec.json.encode({"start": str(start), "log": str(log_file)})
            socket.send_fds(self._channel, [job], [gate])
            answer = self._channel.recv(100)
            process = Process(Identity.of(int(answer)) or Identity(int(answer), ""))
            write_private(start.with_name(NOTE), msgspec.json.encode(process.identity))
            os.write(go, b"g")
            return process
        except (OSError, ValueError) as error:
            log.warning("the fork server did not fork (%s); it is started again", error)
            self.close()
            return None
        finally:
            os.close(gate)
            os.close(go)

    def close(self) -> None:
        """End the process; what it forked goes on."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_ready(self, channel: socket.socket) -> bool:
        if not self._ready:
            channel.setblocking(False)
            with contextlib.suppress(OSError):
                self._ready = channel.recv(100) == READY
            if self._ready:
                self._unready = 0
        return self._ready

    @property
    def _pause(self) -> float:
        return float(AGAIN * 2 ** min(self._unready, MOST_DOUBLINGS))

    def _note_end(self) -> None:
        """The process has ended: note what that says of the next start."""
        if self._process is None or self._ready:
            return
        self._unready += 1
        output = output_file(self._state, self._group)
        if self._process.returncode == THREADS:
            self._useless = True
            log.warning("workers of %s start without a fork server, see %s", self._group, output)
        else:
            log.warning("the fork server of %s ended while it started, see %s", self._group, output)
        self.close()


class ForkServers:
    """Those of one controller, by group; none runs until it is asked for."""

    def __init__(self, installation: Installation, environment: Mapping[str, str]) -> None:
        self._servers = {group: ForkServer(installation, environment, group) for group in GROUPS}

    def __getitem__(self, group: str) -> ForkServer:
        return self._servers[group]

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


def output_file(state: Path, group: str) -> Path:
    return state / ("nursery.log" if group == TABLES else f"nursery-{group}.log")
