"""``up`` and ``down``: start and stop the server on this machine."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import psutil
import typer

from tidegate.cli.client import ApiClient, ServerNotRunning
from tidegate.cli.output import AsJson, client, print_note, show, user_name
from tidegate.cli.progress import ProgressBar
from tidegate.domain.errors import StartupError, Unavailable
from tidegate.host.installation import Installation
from tidegate.settings import Settings

_CONTROLLER = "tidegate.cli.controller"
START_TIMEOUT = 60.0
CONNECT_TIMEOUT = 2.0
STANDING_BY = ": standing by: "
"""Log text of a controller that waits for another one to end (``store/lease.py``)."""
STOP_MARGIN = 30.0
"""Seconds beyond the drain timeout after which ``down`` gives up."""


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: 8471]")] = None,
    state: Annotated[
        Path | None,
        typer.Option(readable=False, help="State folder. [default: ~/.local/state/tidegate]"),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it is ready; log to STATE/tidegate.log.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the platform on this machine.

    Runs until Ctrl-C, or with --detach in the background until 'tidegate down'. In both cases it drains before it
    ends. Options take precedence over TIDEGATE_HOST, TIDEGATE_PORT and TIDEGATE_STATE.

    \b
    Examples:
      tidegate up
      tidegate up --port 9000 --state ./state --detach
    """
    settings = Settings.from_environment(os.environ, host=host, port=port, state=state)
    if not 1 <= settings.port <= 65_535:
        raise StartupError(f"port {settings.port} cannot be used: choose one from 1 to 65535")
    folder = settings.state.expanduser().absolute()
    command = [
        *(sys.executable, "-m", _CONTROLLER),
        *("--host", settings.host, "--port", str(settings.port), "--state", str(folder)),
    ]
    if not detach:
        _exec(command)
    url = local_url(settings)
    with ProgressBar("starting tidegate", quiet=as_json):
        pid, ready = _start_detached(command, folder, url, settings.standby)
    log = folder / "tidegate.log"
    document = {"url": url, "pid": pid, "state": str(folder), "log": str(log), "standby": not ready}
    word = f"is ready at {url}" if ready else "stands by until the controller that has the database ends"
    show(document, as_json, f"tidegate {word} (pid {pid}, log {log})")


def down(
    state: Annotated[
        Path | None,
        typer.Option(readable=False, help="Stop the server of this state folder, whatever its address."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Drain everything and stop the platform.

    Finishes requests in flight first. Succeeds if nothing runs.

    \b
    Examples:
      tidegate down
      TIDEGATE_URL=http://127.0.0.1:9000 tidegate down
      tidegate down --state ./state
    """
    if state is not None:
        _stop_folder(state.expanduser().absolute(), as_json)
        return
    with client() as server:
        try:
            state = Path(server.version()["state"])
        except ServerNotRunning:
            show({"status": "not running"}, as_json, f"nothing runs at {server.url}")
            return
        pid = _find_pid(state)
        server.down(user_name())
        _wait_until_gone(server, pid)
    show({"status": "stopped", "pid": pid}, as_json, f"tidegate at {server.url} has stopped")


def _stop_folder(folder: Path, as_json: bool) -> None:
    """Stop the controller of a state folder on this machine by a signal, which drains like the API."""
    process = _find_controller(folder)
    if process is None:
        if _is_serving(folder):
            raise Unavailable(
                f"no controller runs for {folder}, but processes of an earlier one still serve: start it with "
                f"'tidegate up --state {folder} --detach', then stop it"
            )
        show({"status": "not running"}, as_json, f"nothing runs for {folder}")
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    _wait_until(lambda: not _is_running(process.pid), f"tidegate of {folder}", process.pid)
    show({"status": "stopped", "pid": process.pid}, as_json, f"tidegate of {folder} has stopped")


def _find_controller(folder: Path) -> psutil.Process | None:
    """The process in the folder's pid file, if it is a controller of that folder."""
    pid = _find_pid(folder)
    try:
        process = psutil.Process(pid) if pid is not None else None
        words = process.cmdline() if process is not None else []
    except psutil.Error:
        return None
    return process if _CONTROLLER in words and str(folder.resolve()) in map(_resolve, words) else None


def _resolve(word: str) -> str:
    return str(Path(word).resolve()) if word.startswith("/") else word


def local_url(settings: Settings) -> str:
    """The server's address for this machine, even if it listens on every address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{settings.port}"


def _exec(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def _start_detached(command: list[str], folder: Path, url: str, standby: bool = False) -> tuple[int, bool]:
    """Start the server in its own session and wait until it is ready or stands by; returns its pid and whether it is
    ready."""
    probe = ApiClient({**os.environ, "TIDEGATE_URL": url})
    _require_free_port(probe, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = (folder / "tidegate.log").open("ab")
    except OSError as error:
        raise StartupError(
            f"state folder {folder} cannot be used: {error.strerror}; choose another with --state"
        ) from None
    with log, probe:
        serves = _is_serving(folder)
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
        )
        try:
            ready = _wait_until_ready(child, probe, folder, standby)
            if ready and (trouble := probe.health_trouble()):
                print_note(f"tidegate serves, but {trouble}")
        except BaseException:
            # Leaves running processes of an earlier controller alone: the next start adopts them.
            child.send_signal(signal.SIGHUP if serves else signal.SIGTERM)
            raise
    return child.pid, ready


def _require_free_port(probe: ApiClient, folder: Path) -> None:
    """Raises StartupError if another program uses the port. Processes that an earlier controller of the same folder
    left there do not count, since they are adopted."""
    parts = urlsplit(probe.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), CONNECT_TIMEOUT).close()
    except OSError:
        return
    if _is_serving(folder) and probe.serving() is None:
        return
    other = _find_listener(parts.port or 0)
    holder = ""
    if other is not None:
        pid, state = other
        holder = f" (pid {pid}, state folder {state}; 'tidegate down --state {state}' stops it)"
    raise StartupError(
        f"another program answers at {probe.url}{holder}: stop it, or choose another port with --port"
    )


def _find_listener(port: int) -> tuple[int, str] | None:
    """Pid and state folder of a controller that was started for this port."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        options = dict(itertools.pairwise(words))
        if _CONTROLLER in words and options.get("--port") == str(port) and "--state" in options:
            return process.pid, options["--state"]
    return None


def _is_serving(folder: Path) -> bool:
    """Whether a proxy or workers of this folder run, with or without controller."""
    installation = Installation.find(folder.resolve())
    if installation is None:
        return False
    others = (process for process in psutil.process_iter(["cmdline"]) if process.pid != os.getpid())
    return any(installation.owns(process.info["cmdline"] or []) for process in others)


def _wait_until_ready(child: "subprocess.Popen[bytes]", probe: ApiClient, folder: Path, standby: bool) -> bool:
    """Returns False if it stands by. A server that another ``up`` has started on the port meanwhile is not taken for
    this one."""
    log = folder / "tidegate.log"
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        code = child.poll()
        if code is not None:
            raise StartupError(f"{_last_line(log)} (exit code {code}, log {log})")
        mine = Installation.find(folder.resolve())
        if mine is not None and probe.serving() == mine.id:
            return True
        if standby and STANDING_BY in _last_line(log):
            return False
        time.sleep(0.05)
    raise StartupError(f"not ready within {START_TIMEOUT:g} s; see {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("tidegate: ") if lines else "it ended without a message"


def _find_pid(state: Path) -> int | None:
    """The server's pid, if it runs on this machine."""
    try:
        return int((state / "tidegate.pid").read_text())
    except (OSError, ValueError):
        return None


def _wait_until_gone(server: ApiClient, pid: int | None) -> None:
    """Wait until nothing answers on the port and the process has ended."""
    _wait_until(lambda: not _is_answering(server) and not _is_running(pid), server.url, pid)


def _wait_until(gone: Callable[[], bool], what: str, pid: int | None) -> None:
    """Wait as long as draining may take. Raises Unavailable."""
    drain = Settings.from_environment(os.environ).drain_timeout
    deadline = time.monotonic() + drain + STOP_MARGIN
    told = time.monotonic() + 2
    while time.monotonic() < deadline:
        if gone():
            return
        if time.monotonic() > told:
            print_note("waiting for requests in flight ...")
            told = deadline
        time.sleep(0.05)
    raise Unavailable(f"{what} has not stopped within {drain + STOP_MARGIN:g} s (pid {pid})")


def _is_answering(server: ApiClient) -> bool:
    try:
        server.version()
    except ServerNotRunning:
        return False
    except Unavailable:
        return True
    return True


def _is_running(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
