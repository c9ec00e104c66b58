"""HAProxy's master process: started in a session of its own, found again by a restarted controller, ended.

It is known by its pid together with its command line, which names the folder: a reused pid is never taken for it, and
it stays known when the clock is set. The command line carries the mark of the installation, too: a copied folder has
the pid of the original's in it.
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

from tidegate.auth.child_environment import bare
from tidegate.domain.errors import StartupError
from tidegate.host.installation import Installation
from tidegate.proxy import config

IDENTITY, PID, ERRORS = "process.json", "haproxy.pid", "haproxy.err"
START_TIMEOUT = 30.0
PID_TIMEOUT = 1.0
_KILL_TIMEOUT = 5.0
_RELEASE_TIMEOUT = 1.0
MAX_SOCKET_PATH = 97
"""Characters that HAProxy takes for a unix socket's path."""


@dataclass(frozen=True)
class ProxyIdentity:
    """``started`` is psutil's create_time, epoch seconds, for people and older programs; ``options`` are what its
    configuration was made from."""

    pid: int
    started: float
    options: str


def master_command(
    program: Path, folder: Path, socket: Path, installation: Installation | None = None
) -> tuple[str, ...]:
    """``socket``: where the master takes commands."""
    files = ("-C", str(folder), "-f", config.CONFIG, "-p", PID)
    mark = () if installation is None else ("-L", installation.mark)  # its name as its own peer
    return (str(program), "-W", "-D", *files, "-S", f"{socket},mode,600,level,admin", *mark)


class Master:
    """The master process whose files lie in ``folder``. ``installation`` None: any HAProxy of the folder is ours."""

    def __init__(self, folder: Path, command: tuple[str, ...], installation: Installation | None = None) -> None:
        self.folder = folder
        self.installation = installation
        self.command = command
        self._known: ProxyIdentity | None = None

    def identity(self) -> ProxyIdentity | None:
        """Of the one that runs; None when none does."""
        return self._known if self._known is not None and self._serves(self._known.pid) else None

    def load(self) -> ProxyIdentity | None:
        """The identity that an earlier controller recorded, if that process runs and is ours. None where the file is
        missing or damaged, too; ``candidates`` then says what runs."""
        try:
            self._known = msgspec.json.decode((self.folder / IDENTITY).read_bytes(), type=ProxyIdentity)
        except (OSError, ValueError, RecursionError):
            return None
        return self.identity()

    def candidates(self) -> set[int]:
        """Pids of every process of ours, workers included."""
        return {process.pid for process in self._ours()}

    def note(self, pid: int, options: str) -> ProxyIdentity:
        """Take this process for the one that runs. The caller records it. Raises StartupError if it has ended."""
        try:
            self._known = ProxyIdentity(pid, psutil.Process(pid).create_time(), options)
        except psutil.NoSuchProcess:
            raise StartupError(f"haproxy (pid {pid}) ended at once; see {self.folder / ERRORS}") from None
        return self._known

    def renew(self, options: str) -> ProxyIdentity | None:
        """The same process, with its configuration made from other options."""
        if self._known is not None:
            self._known = replace(self._known, options=options)
        return self._known

    def start(self, address: tuple[str, int]) -> None:
        """Returns when HAProxy listens. Raises StartupError with the reason, nothing left running."""
        self.kill()
        _await_release(*address)
        self._run(self.command)

    def take_over(self) -> None:
        """Starts another beside the one that runs, which stops listening once the new one does and ends with its
        last client. Raises StartupError with the one that runs as it was."""
        known = self.identity()
        if known is None:
            raise StartupError("no haproxy runs that could be taken over from")
        self._run((*self.command, "-sf", str(known.pid)))

    def _run(self, command: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):
            (self.folder / PID).unlink()
        with contextlib.ExitStack() as stack:
            try:
                output = stack.enter_context((self.folder / ERRORS).open("wb"))
            except OSError:  # a disk that takes nothing must not keep it from starting
                output = stack.enter_context(open(os.devnull, "wb"))
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self.folder,
                    env=bare(os.environ),
                    start_new_session=True,
                    timeout=START_TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise StartupError(f"haproxy does not start within {START_TIMEOUT:g} seconds") from None
        if done.returncode != 0:
            errors = self.folder / ERRORS
            alerts = [line for line in _read_text(errors).splitlines() if "[ALERT]" in line]
            raise StartupError(f"haproxy does not start: {alerts[0] if alerts else f'see {errors}'}")

    def read_pid(self) -> int | None:
        """What HAProxy wrote of itself; its starter may come back a moment before that is in the file. None: on a
        full disk the file stays empty."""
        deadline = time.monotonic() + PID_TIMEOUT
        while not (text := _read_text(self.folder / PID).strip()).isdecimal():
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
        return int(text)

    def stop_listening(self) -> None:
        """Asks it to stop listening and to end with its last client."""
        if (known := self.identity()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(known.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """Ends every process of ours at once: the master, its workers, and workers that lost their master."""
        _kill_and_wait(self._ours())
        self._known = None

    def kill_with_workers(self, known: ProxyIdentity) -> None:
        """Ends one master and its workers at once. One that was started meanwhile is left alone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(known.pid)
            if self._serves(known.pid):
                _kill_and_wait([process, *process.children(recursive=True)])

    def _serves(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            return _is_running(process) and self._is_ours(process.cmdline())
        except (psutil.Error, ValueError, OverflowError):
            return False

    def _ours(self) -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if self._is_ours(one.info["cmdline"] or ())]

    def _is_ours(self, line: Sequence[str]) -> bool:
        """The folder and its configuration are in the command line of every HAProxy that we start. A reload puts
        words before them in the new worker's, so they may stand anywhere."""
        words = ["-C", str(self.folder), "-f", config.CONFIG]
        named = any(list(line[at : at + len(words)]) == words for at in range(1, len(line) - len(words) + 1))
        return named and (self.installation is None or self.installation.owns(line))


def _kill_and_wait(processes: Sequence[psutil.Process]) -> None:
    """Returns when they have ended, or after some seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + _KILL_TIMEOUT
    while any(_is_running(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.002)


def _is_running(process: psutil.Process) -> bool:
    """A zombie does not: it is dead and waits for a parent to notice."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_sockets(*paths: Path) -> None:
    """Raises StartupError for a path that HAProxy would not take."""
    longest = max(paths, key=lambda path: len(str(path)))
    if len(str(longest)) > MAX_SOCKET_PATH:
        raise StartupError(f"{longest} is too long for a unix socket; set TMPDIR to a folder with a shorter path")


def _await_release(host: str, port: int) -> None:
    """A process that is just ending has no command line any more, so that nobody knows it for ours, and still has its
    sockets. Raises StartupError like ``check_address``."""
    deadline = time.monotonic() + _RELEASE_TIMEOUT
    while True:
        try:
            return check_address(host, port)
        except StartupError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def check_address(host: str, port: int) -> None:
    """Raises StartupError naming the port when it cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise StartupError(
            f"port {port} on {host} cannot be listened on: {error.strerror or error}; "
            "stop what uses it or choose another with --port or TIDEGATE_PORT"
        ) from None


def _read_text(path: Path) -> str:
    """Its content; nothing where it is not there yet or cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
