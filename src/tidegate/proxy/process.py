"""HAProxy's master process: started in its own session, found again by a restarted controller, stopped.

It is identified by its pid and its command line, which names the folder. A reused pid is therefore never mistaken for
it, and changes of the clock do not matter. The command line also carries the installation's mark, because a copied
folder contains the original's pid.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import psutil

from tidegate.auth.child_environment import minimal_environment
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.host.installation import Installation
from tidegate.host.process_stats import process_start
from tidegate.proxy import config

IDENTITY, PID, ERRORS = "process.json", "haproxy.pid", "haproxy.err"
START_TIMEOUT = 30.0
PID_TIMEOUT = 1.0
_KILL_TIMEOUT = 5.0
_RELEASE_TIMEOUT = 1.0
MAX_SOCKET_PATH = 97
"""Maximum length of a unix socket path in HAProxy."""


@dataclass(frozen=True)
class ProxyIdentity:
    """``started`` is psutil's create_time in epoch seconds, for people and older versions; ``options`` are those of
    its configuration."""

    pid: int
    started: float
    options: str


def master_command(
    program: Path, folder: Path, socket: Path, installation: Installation | None = None
) -> tuple[str, ...]:
    """Command line of the master; ``socket``: its command socket."""
    files = ("-C", str(folder), "-f", config.CONFIG, "-p", PID)
    mark = () if installation is None else ("-L", installation.mark)  # its peer name
    return (str(program), "-W", "-D", *files, "-S", f"{socket},mode,600,level,admin", *mark)


class Master:
    """The master process whose files are in ``folder``. ``installation`` None: any HAProxy of the folder."""

    def __init__(self, folder: Path, command: tuple[str, ...], installation: Installation | None = None) -> None:
        self.folder = folder
        self.installation = installation
        self.command = command
        self._known: ProxyIdentity | None = None
        self._seen: tuple[int, str] | None = None
        """Pid and start of the process that was found to be ours last."""

    def identity(self) -> ProxyIdentity | None:
        """Identity of the running process; None if none runs."""
        return self._known if self._known is not None and self._serves(self._known.pid) else None

    def load(self) -> ProxyIdentity | None:
        """Load the identity that an earlier controller recorded, if that process runs and belongs to us. None if the
        file is missing or damaged; ``candidates`` then finds running processes."""
        try:
            self._known = msgspec.json.decode(
                (self.folder / IDENTITY).read_bytes(), type=prepare_type(ProxyIdentity)
            )
        except (OSError, ValueError, RecursionError):
            return None
        return self.identity()

    def candidates(self) -> set[int]:
        """Pids of all our processes, including workers."""
        return {process.pid for process in self._list_processes()}

    def note(self, pid: int, options: str) -> ProxyIdentity:
        """Track this process as the running one; the caller records it. Raises StartupError if it has ended."""
        try:
            self._known = ProxyIdentity(pid, psutil.Process(pid).create_time(), options)
        except psutil.NoSuchProcess:
            raise StartupError(f"haproxy (pid {pid}) ended immediately; see {self.folder / ERRORS}") from None
        return self._known

    def renew(self, options: str) -> ProxyIdentity | None:
        """Track that the same process now has other options."""
        if self._known is not None:
            self._known = replace(self._known, options=options)
        return self._known

    def start(self, address: tuple[str, int]) -> None:
        """Start HAProxy; returns when it listens. Raises StartupError with the reason, leaving nothing running."""
        self.kill()
        _await_release(*address)
        self._run(self.command)

    def take_over(self) -> None:
        """Start a second process beside the running one, which stops listening as soon as the new one listens and
        ends with its last client. On StartupError the running one is unchanged."""
        known = self.identity()
        if known is None:
            raise StartupError("no running haproxy to take over from")
        self._run((*self.command, "-sf", str(known.pid)))

    def _run(self, command: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):
            (self.folder / PID).unlink()
        with contextlib.ExitStack() as stack:
            try:
                output = stack.enter_context((self.folder / ERRORS).open("wb"))
            except OSError:  # an unwritable disk must not prevent its start
                output = stack.enter_context(open(os.devnull, "wb"))
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self.folder,
                    env=minimal_environment(os.environ),
                    start_new_session=True,
                    timeout=START_TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise StartupError(f"haproxy did not start within {START_TIMEOUT:g} seconds") from None
        if done.returncode != 0:
            errors = self.folder / ERRORS
            alerts = [line for line in _read_text(errors).splitlines() if "[ALERT]" in line]
            raise StartupError(f"haproxy does not start: {alerts[0] if alerts else f'see {errors}'}")

    def read_pid(self) -> int | None:
        """Pid from HAProxy's pid file, which may be written a moment after its starter returns. None: the file stays
        empty on a full disk."""
        deadline = time.monotonic() + PID_TIMEOUT
        while not (text := _read_text(self.folder / PID).strip()).isdecimal():
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
        return int(text)

    def stop_listening(self) -> None:
        """Ask it to stop listening and to end with its last client."""
        if (known := self.identity()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(known.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """Kill all our processes: the master, its workers, and orphaned workers."""
        _kill_and_wait(self._list_processes())
        self._known = None

    def kill_with_workers(self, known: ProxyIdentity) -> None:
        """Kill one master and its workers, but no process that was started since."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(known.pid)
            if self._serves(known.pid):
                _kill_and_wait([process, *process.children(recursive=True)])

    def _serves(self, pid: int) -> bool:
        """Return whether a process is our HAProxy. This is checked twice a second. A process that is ours stays ours:
        only a master executes anything, itself."""
        started = process_start(pid)
        if started is None:  # it has ended, or this is not Linux
            return self._is_found(pid)
        if self._seen != (pid, started) and self._is_found(pid):
            self._seen = pid, started
        return self._seen == (pid, started)

    def _is_found(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            return _is_running(process) and self._is_ours(process.cmdline())
        except (psutil.Error, ValueError, OverflowError):
            return False

    def _list_processes(self) -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if self._is_ours(one.info["cmdline"] or ())]

    def _is_ours(self, line: Sequence[str]) -> bool:
        """Whether a command line is ours: it contains the folder and its configuration. A reload inserts words before
        them in the new worker's command line, so they may be at any position."""
        words = ["-C", str(self.folder), "-f", config.CONFIG]
        named = any(list(line[at : at + len(words)]) == words for at in range(1, len(line) - len(words) + 1))
        return named and (self.installation is None or self.installation.owns(line))


def _kill_and_wait(processes: Sequence[psutil.Process]) -> None:
    """Kill processes; returns when they have ended, or after some seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + _KILL_TIMEOUT
    while any(_is_running(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.002)


def _is_running(process: psutil.Process) -> bool:
    """Whether it runs. A zombie does not: it is dead and waits for its parent."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_sockets(*paths: Path) -> None:
    """Check the lengths of socket paths. Raises StartupError for a path that HAProxy would not accept."""
    longest = max(paths, key=lambda path: len(str(path)))
    if len(str(longest)) > MAX_SOCKET_PATH:
        raise StartupError(f"{longest} is too long for a unix socket; set TMPDIR to a folder with a shorter path")


def _await_release(host: str, port: int) -> None:
    """Wait for the port to become free: a process that is about to end has no command line any more, so it is not
    recognised as ours, but still has its sockets. Raises StartupError like ``check_address``."""
    deadline = time.monotonic() + _RELEASE_TIMEOUT
    while True:
        try:
            return check_address(host, port)
        except StartupError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def check_address(host: str, port: int) -> None:
    """Check that the port can be listened on. Raises StartupError with the port if not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise StartupError(
            f"port {port} on {host} cannot be used: {error.strerror or error}; "
            "stop the program that uses it or choose another one with --port or TIDEGATE_PORT"
        ) from None


def _read_text(path: Path) -> str:
    """Content of a file; empty if it is missing or unreadable."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
