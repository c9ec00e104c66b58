"""HAProxy's master process: started in a session of its own, found again by a restarted controller, ended.

It is known by its pid together with its start time, so that a reused pid is never taken for it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from tidegate.model.errors import StartupError
from tidegate.whole_files import write_whole

IDENTITY, PID, ERRORS = "process.json", "haproxy.pid", "haproxy.err"
START_TIMEOUT = 30.0
_KILL_TIMEOUT = 5.0


@dataclass(frozen=True)
class Identity:
    """``started`` is psutil's create_time, epoch seconds; ``options`` are what its configuration was made from."""

    pid: int
    started: float
    options: str


def keep(path: Path, data: bytes) -> None:
    """A file of the proxy's, whole.

    It does not wait for the disk: what a power failure loses here is asked for again by the controller, since no
    worker survives it either, and waiting would make every change of weights some ten times slower."""
    write_whole(path, data, durable=False)


@dataclass(frozen=True)
class Master:
    """The master process whose files lie in ``folder``."""

    folder: Path
    command: tuple[str, ...]

    def identity(self) -> Identity | None:
        """Of the one that runs; None when none does."""
        try:
            known = msgspec.json.decode((self.folder / IDENTITY).read_bytes(), type=Identity)
            process = psutil.Process(known.pid)
            return known if abs(process.create_time() - known.started) < 1 and _runs(process) else None
        except (OSError, msgspec.DecodeError, psutil.NoSuchProcess):
            return None

    def start(self, address: tuple[str, int], options: str) -> None:
        """Returns when HAProxy listens. Raises StartupError with the reason, nothing left running."""
        self.kill()
        check_address(*address)
        (self.folder / PID).unlink(missing_ok=True)
        errors = self.folder / ERRORS
        with errors.open("wb") as output:
            done = subprocess.run(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
                timeout=START_TIMEOUT,
                check=False,
            )
        if done.returncode != 0:
            alerts = [line for line in errors.read_text(errors="replace").splitlines() if "[ALERT]" in line]
            raise StartupError(f"haproxy does not start: {alerts[0] if alerts else f'see {errors}'}")
        self.note(options, self._pid())

    def _pid(self) -> int:
        """What HAProxy wrote of itself; its starter may come back a moment before that is in the file."""
        deadline = time.monotonic() + START_TIMEOUT
        while not (text := _text(self.folder / PID).strip()).isdecimal():
            if time.monotonic() > deadline:
                raise StartupError(f"haproxy started but left no pid in {self.folder / PID}; end it by hand")
            time.sleep(0.01)
        return int(text)

    def note(self, options: str, pid: int) -> None:
        identity = Identity(pid, psutil.Process(pid).create_time(), options)
        keep(self.folder / IDENTITY, msgspec.json.encode(identity))

    def finish(self) -> None:
        """Asks it to stop listening and to end with its last client."""
        if (known := self.identity()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(known.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """Ends every process of ours at once: the master, its workers, and workers that lost their master."""
        mine = [process for process in psutil.process_iter(["cmdline"]) if self._is_ours(process)]
        for process in mine:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        deadline = time.monotonic() + _KILL_TIMEOUT
        while any(_runs(process) for process in mine) and time.monotonic() < deadline:
            time.sleep(0.002)
        (self.folder / IDENTITY).unlink(missing_ok=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        """The folder is in the command line of every HAProxy that we start; a reload adds words at its end."""
        line = process.info["cmdline"] or []
        return len(line) > 1 and tuple(line[1 : len(self.command)]) == self.command[1:]


def _runs(process: psutil.Process) -> bool:
    """A zombie does not: it is dead and waits for a parent to notice."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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


def _text(path: Path) -> str:
    """Its content; nothing where it is not there yet."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
