"""Whether a HAProxy that runs has fallen silent: it is alive and answers nothing, as after SIGSTOP or in a deadlock.

A probe waits for an answer in a thread of its own, on a blocking socket. An answer that came while this process was
stopped or late is still found there, so only HAProxy's own silence is counted.
"""

import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from tidegate.host.process_stats import Vitals

PROBE_TIMEOUT = 1.0
"""Seconds that a probe waits for an answer; the usual one takes a millisecond."""
IDLE_LIMIT = 3.0
"""Seconds of silence until a HAProxy that does nothing at all is replaced."""
BUSY_LIMIT = 30.0
"""The same for one that computes or waits for a processor: it may be loading a large configuration."""
MAX_PROBE_TIME = 1.5
"""Seconds that one probe counts at the most: this process may have been stopped meanwhile."""
_READ = 1 << 16
_QUEUE_PAUSE = 0.01
_PID = re.compile(rb"^Pid: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class SilenceProbe:
    """What one question to a command socket showed. ``pid``: who answered, where the answer says so."""

    silent: bool
    seconds: float
    idle: bool = False
    """Meanwhile the process neither ran nor waited for a processor. Unknown is False."""
    pid: int | None = None


@dataclass(frozen=True)
class Silence:
    """Seconds of probes without an answer, one after the other. Pure."""

    total: float = 0.0
    idle: float = 0.0
    """The last of them, during which the process did nothing."""

    def after(self, probe: SilenceProbe) -> "Silence":
        if not probe.silent:
            return Silence()
        step = min(probe.seconds, MAX_PROBE_TIME)
        return Silence(self.total + step, self.idle + step if probe.idle else 0.0)

    @property
    def reason(self) -> str | None:
        """Why HAProxy has to be replaced; None while it need not be."""
        if self.idle >= IDLE_LIMIT:
            return f"has answered no command for {self.total:.0f} s and does nothing: it is stopped, or it hangs"
        return f"has answered no command for {self.total:.0f} s" if self.total >= BUSY_LIMIT else None


def probe(path: Path, command: str, pid: int) -> SilenceProbe:
    """Asks who listens on a command socket. ``pid``: the process to look at if it does not answer. Blocks for up to
    ``PROBE_TIMEOUT``. A socket that refuses or hangs up is not silent: HAProxy has ended, or is about to serve."""
    began, before = time.monotonic(), Vitals.of(pid)
    answer = _query(path, command)
    seconds = time.monotonic() - began
    if answer is not None:
        found = _PID.search(answer)
        return SilenceProbe(silent=False, seconds=seconds, pid=int(found[1]) if found else None)
    after = Vitals.of(pid)
    idle = before is not None and after is not None and not after.progressed(before, seconds)
    return SilenceProbe(silent=True, seconds=seconds, idle=idle)


def _query(path: Path, command: str) -> bytes | None:
    """The first part of the answer, empty where nobody listens; None: no answer in time. While the queue of
    connections is full, as of many that ask at once, it tries again."""
    deadline = time.monotonic() + PROBE_TIMEOUT
    while (left := deadline - time.monotonic()) > 0:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(left)
            try:
                asked.connect(str(path))
                asked.sendall(command.encode())
                return asked.recv(_READ)
            except TimeoutError:
                return None
            except BlockingIOError:
                time.sleep(_QUEUE_PAUSE)
            except OSError:
                return b""
    return None
