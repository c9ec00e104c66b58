"""A peer from its start to its end: started in a folder of its own, checked, and ended with all that it started."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from bench.peers.environments import HERE, environment
from bench.peers.peers import Peer
from bench.sides import HEADERS, Side
from tidegate.host.platform import free_port

MARK = "TIDEGATE_BENCH_PEER"
"""A variable whose value tells a peer's processes from all others, also those that left their parent."""
CHECKS = 20
LOG_LINES = 15


class Unfit(Exception):
    """The peer cannot be measured: what went wrong, and the end of its log."""


@contextlib.contextmanager
def running(peer: Peer, model: Path, probability: float) -> Iterator[Side]:
    """The peer with ``model``, once it answers with ``probability``. Unfit when it does not."""
    programs = environment(peer.name)
    folder = Path(tempfile.mkdtemp(prefix="peer-"))
    log = folder / "log"
    ports = [free_port() for _ in range(3)]
    mark = uuid.uuid4().hex
    known = places(programs, folder, ports)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(peer, known),
            cwd=folder,
            env=variables(peer, known) | {"MODEL": str(model), MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    family = Family(process, mark)
    side = Side(peer.name, f"http://127.0.0.1:{ports[0]}", peer.path, family.members, peer.body)
    try:
        wait(peer, side, process)
        check(side, probability)
        yield side
    except (Unfit, subprocess.CalledProcessError) as error:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        raise Unfit("\n    ".join([str(error), *lines])) from error
    finally:
        family.end()
        shutil.rmtree(folder, ignore_errors=True)


def places(programs: Path, folder: Path, ports: list[int]) -> dict[str, str]:
    """What stands for the names in braces of peers.py."""
    numbered = {f"port_{number}": str(port) for number, port in enumerate(ports, 1)}
    library = str(sysconfig.get_config_var("LIBDIR"))
    here = {"servers": str(HERE / "servers"), "bench": str(HERE.parent), "library": library}
    return {"bin": str(programs), "folder": str(folder), "port": str(ports[0]), **here, **numbered}


def command(peer: Peer, known: dict[str, str]) -> list[str]:
    return [word.format_map(known) for word in peer.command]


def variables(peer: Peer, known: dict[str, str]) -> dict[str, str]:
    """Our own environment without what leads to our own packages."""
    mine = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return mine | {
        "PATH": f"{known['bin']}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": known["folder"],
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DO_NOT_TRACK": "1",
        "PORT": known["port"],
        "PORT_2": known["port_2"],
        **{name: value.format_map(known) for name, value in peer.environment.items()},
    }


def wait(peer: Peer, side: Side, process: subprocess.Popen[bytes]) -> None:
    """Until it says that it is ready and answers a request at all."""
    deadline = time.monotonic() + peer.start
    said = "nothing"
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            raise Unfit(f"ended with exit code {code} before it answered")
        try:
            said = f"HTTP {httpx.get(side.url + peer.ready, timeout=5).status_code} to {peer.ready}"
            if said.startswith("HTTP 200"):
                said = f"HTTP {ask(side).status_code} to {peer.path}"
                if said.startswith("HTTP 200"):
                    time.sleep(2)  # its other workers
                    return
        except httpx.HTTPError as error:
            said = f"{type(error).__name__} {error}"
        time.sleep(0.2)
    raise Unfit(f"no answer within {peer.start:g} seconds of its start; the last: {said}")


def check(side: Side, probability: float) -> None:
    """Each of some answers, every one on a connection of its own, holds the probability that the model gives."""
    for _ in range(CHECKS):
        try:
            answer = ask(side)
        except httpx.HTTPError as error:
            raise Unfit(f"no answer: {type(error).__name__} {error}") from error
        if answer.status_code != 200 or not any(abs(n - probability) < 1e-5 for n in numbers(answer.text)):
            raise Unfit(f"answered HTTP {answer.status_code} {answer.text[:300]}, without {probability:.6f}")


def ask(side: Side) -> httpx.Response:
    return httpx.post(side.url + side.path, content=side.body, headers=HEADERS, timeout=10)


def numbers(text: str) -> Iterator[float]:
    """Every number of a JSON document."""
    try:
        left = [json.loads(text)]
    except ValueError:
        return
    while left:
        found = left.pop()
        if isinstance(found, dict):
            left += found.values()
        elif isinstance(found, list):
            left += found
        elif isinstance(found, float):
            yield found


class Family:
    """All processes of a peer: those with its mark, and their descendants (some overwrite their environment)."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        self._process, self._mark = process, mark

    def members(self) -> list[psutil.Process]:
        found: dict[psutil.Process, None] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid == self._process.pid or process.environ().get(MARK) == self._mark:
                    found[process] = None
                    found |= dict.fromkeys(process.children(recursive=True))
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]

    def end(self) -> None:
        """Asks gently, then by force until nothing is left."""
        all_of_it = self.members()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        psutil.wait_procs(all_of_it, timeout=10)
        while left := [process for process in {*all_of_it, *self.members()} if process.is_running()]:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=5)
            self._process.poll()
        self._process.wait()
