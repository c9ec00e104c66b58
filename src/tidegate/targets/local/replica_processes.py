"""How a replica comes and goes on this machine: its start file and process, and what is left of it at the end."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil

from tidegate.domain.fleet import FleetSpec, ReplicaState
from tidegate.targets.local import fork_server, recommenders, runners
from tidegate.targets.local import replica as files
from tidegate.targets.local.on_demand import Waking
from tidegate.targets.local.paths import Folders, write_whole
from tidegate.targets.local.process import NOTE, WORKER, Identity, Process
from tidegate.targets.local.replica import Member
from tidegate.targets.local.supervision import Surroundings

log = logging.getLogger(__name__)

HOPELESS_FOR = 10.0
"""Seconds that a replica which hangs is kept for another to take over what it has in hand."""
KILL_GRACE = 5.0
"""Seconds past the drain timeout before a worker that was told to stop is killed."""
FORMER_MODULES = {
    "tidegate.worker",
    "tidegate.worker.nursery",
    "tidegate.worker.transforming",
    "tidegate.recommend",
}
"""Names that these modules had up to version 0.1; processes that such a version started may still run."""
WORKING = {WORKER, fork_server.MODULE, runners.MODULE, recommenders.MODULE, *FORMER_MODULES}
"""Modules of processes that each have a folder to work in. A worker that was forked has the nursery's line."""


def start(around: Surroundings, spec: FleetSpec, replica: str, waking: Waking | None, now: float) -> Member:
    """A replica that is starting. Raises OSError, with nothing left, and TidegateError where it cannot be had."""
    folders = around.folders
    folder, socket = folders.replica(spec.id, replica), folders.socket(replica)
    log_file, file = folders.log(spec.id, replica), folder / files.START
    try:
        write_whole(file, around.describe(spec, replica, waking))
        process = _fork(around, spec, file, log_file) or Process.start(
            file, log_file, around.environment, mark=folders.installation.python
        )
    except OSError:
        files.clear(folder, socket)
        raise
    return Member(replica, process, ReplicaState.STARTING, now, folder, socket, log_file)


def _fork(around: Surroundings, spec: FleetSpec, file: Path, log_file: Path) -> Process | None:
    """Where somebody waits for the start: of a serverless fleet, or of a job."""
    hurried = spec.variant.serverless is not None or spec.detached is not None
    return around.nursery.fork(file, log_file) if hurried and around.nursery is not None else None


def fits(around: Surroundings, spec: FleetSpec, member: Member) -> bool:
    """Whether an adopted replica may go on under the settings of now."""
    if spec.detached is not None:
        return True  # it checks no signatures: its socket is for this user alone
    try:
        return around.fits((member.folder / files.START).read_bytes())
    except (OSError, msgspec.DecodeError):
        return False


def drain(member: Member, in_flight: int, enough: bool, timeout: float, now: float) -> None:
    """The next step of a replica that is to go. ``in_flight``: requests that the router waits for; ``enough``: others
    serve in its place; ``timeout``: seconds for what is in hand."""
    waited = now - member.since
    if member.hopeless:
        # What it has in hand is broken off, and given to another replica by the router.
        if enough or waited > HOPELESS_FOR:
            member.process.kill()
    elif member.terminated is None:
        if in_flight == 0 or waited > timeout:
            member.process.terminate()
            member.terminated = now
    elif now - member.terminated > timeout + KILL_GRACE:
        log.warning("replica %s did not stop when asked; killing it (log: %s)", member.id, member.log)
        member.process.kill()


def orphans(folders: Folders, known: Collection[int]) -> list[Process]:
    """Workers and processes of jobs of this installation that nobody follows, since the folder that they work in is
    gone or has become another's. ``known``: pids of replicas that are followed."""
    found = []
    for one in psutil.process_iter(["cmdline"]):
        line = one.info["cmdline"] or ()
        if one.pid in known or not folders.installation.owns(line) or not _works(line):
            continue
        try:
            folder, identity = Path(one.cwd()), Identity.of(one.pid)
        except psutil.Error:
            continue
        if folder.is_relative_to(folders.state) and identity is not None and not _is_of(folder, identity):
            found.append(Process(identity))
    return found


def _works(line: Sequence[str]) -> bool:
    return any(option == "-m" and word in WORKING for option, word in pairwise(line))


def _is_of(folder: Path, identity: Identity) -> bool:
    """Whether a folder is that of a process, as far as it says whose it is."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=Identity) == identity
    except (OSError, msgspec.DecodeError):
        return folder.is_dir()


async def end(processes: Collection[Process], patience: float) -> None:
    """Gently, and by force where that does not help."""
    for process in processes:
        process.terminate()
    deadline = asyncio.get_running_loop().time() + patience
    while any(process.alive for process in processes) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.1)
    for process in processes:
        process.kill()


def clear(around: Surroundings, spec: FleetSpec, replica: str, socket: Path) -> None:
    """Takes the last counts of a replica that has ended, then removes what it left."""
    folder = around.folders.replica(spec.id, replica)
    if spec.detached is None:
        with contextlib.suppress(OSError):
            around.harvest(spec, replica, (folder / "stats.json").read_bytes())
    files.clear(folder, socket if around.folders.holds(socket) else None)
