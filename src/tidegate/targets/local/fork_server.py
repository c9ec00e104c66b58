"""The controller's side of the fork server: a process with every library imported, which forks workers in
milliseconds.

It lives and dies with its controller; the workers that it forked do not. While it starts, or if it died or does not
answer, ``fork`` returns None and the worker starts without it. It starts with the first serverless endpoint, or once
there are many workers, whose libraries are then in memory once.
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
from tidegate.targets.local.process import NOTE, Identity, Process, cleaned

log = logging.getLogger(__name__)

ANSWER = 2.0
"""Seconds for a fork, which takes some milliseconds."""
AGAIN = 5.0
"""Seconds between two starts."""
READY = b"ready"
MODULE = "tidegate.serving.process.fork_server"


class ForkServer:
    """Its command line, which the workers that it forks keep, names the installation."""

    def __init__(self, installation: Installation, environment: Mapping[str, str]) -> None:
        self._installation = installation
        self._state = installation.root
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready = False
        self._started = 0.0

    @property
    def wanted(self) -> bool:
        """Whether something has asked for it: workers that nobody waits for are forked as well then, since they
        share its memory."""
        return self._started > 0

    def ensure(self) -> None:
        """Start the process if it does not run; it is ready a second or two later."""
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() - self._started < AGAIN and self._started:
            return
        self.close()
        self._started = time.monotonic()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with (self._state / "nursery.log").open("wb") as output, theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *self._installation.python, "-m", MODULE, str(self._state)],
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
        return self._ready
