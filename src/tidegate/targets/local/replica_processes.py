"""How replicas start and end on this machine: the start file, the process, and the cleaning up."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil

from tidegate.domain.decoding import prepare_type
from tidegate.domain.fleet import FleetSpec, ReplicaState
from tidegate.host.atomic_write import write_private
from tidegate.serving.contract.replica_spec import ReplicaSpec, most_threads
from tidegate.targets.local import fork_server, recommenders, runners
from tidegate.targets.local import replica as files
from tidegate.targets.local.device_pool import devices_of, visible_devices
from tidegate.targets.local.fork_server import ForkServer
from tidegate.targets.local.on_demand import WakeUp
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.process import NOTE, WORKER, Identity, Process
from tidegate.targets.local.replica import Replica
from tidegate.targets.local.supervisor_context import SupervisorContext

log = logging.getLogger(__name__)

HOPELESS_FOR = 10.0
"""Seconds that a replica which hangs is kept while another takes its place."""
KILL_GRACE = 5.0
"""Seconds past the drain timeout until a worker that was asked to stop is killed."""
FORMER_MODULES = {
    "tidegate.worker",
    "tidegate.worker.nursery",
    "tidegate.worker.transforming",
    "tidegate.recommend",
    "tidegate.batch",
    "tidegate.advisor.recommend",
}
"""Names that these modules had in earlier versions; processes that such a version started may still run."""
WORKING = {WORKER, fork_server.MODULE, runners.MODULE, recommenders.MODULE, *FORMER_MODULES}
"""Modules of processes that each have a folder to work in. A forked worker has the fork server's command line."""


def start(context: SupervisorContext, spec: FleetSpec, replica: str, waking: WakeUp | None, now: float) -> Replica:
    """A replica that is starting. Raises OSError, with nothing left behind, and TidegateError if it cannot be
    started."""
    folders = context.folders
    folder, socket = folders.replica(spec.id, replica), folders.socket(replica)
    log_file, file = folders.log(spec.id, replica), folder / files.START
    devices = context.devices.take(spec, replica)
    try:
        start_file = context.describe(spec, replica, waking, devices)
        write_private(file, start_file)
        # One with devices is never forked: what the libraries found of devices is inherited.
        server = None if devices else _find_fork_server(context, spec, start_file)
        process = (server.fork(file, log_file) if server is not None else None) or Process.start(
            file, log_file, context.environment, mark=folders.installation.python, devices=devices
        )
    except BaseException as error:
        context.devices.release(replica)
        if isinstance(error, OSError):
            files.clear(folder, socket)
        raise
    return Replica(replica, process, ReplicaState.STARTING, now, folder, socket, log_file, devices)


def _find_fork_server(context: SupervisorContext, spec: FleetSpec, start_file: bytes) -> ForkServer | None:
    """Choose the fork server that forks the worker. It is always used if somebody waits for the start: a request to a
    serverless fleet, or a job. Else it is used if it is there anyway, and the worker's libraries need no threads of
    their own, whose number is read once, when a library is imported. None: the worker is started as a process of its
    own."""
    if context.fork_servers is None:
        return None
    server = context.fork_servers[context.fork_group(spec)]
    if spec.variant.serverless is not None or spec.detached is not None:
        return server
    single = most_threads(msgspec.json.decode(start_file, type=prepare_type(ReplicaSpec))) == 1
    return server if server.wanted and single else None


def adopt(context: SupervisorContext, spec: FleetSpec, now: float) -> list[Replica]:
    """The replicas of a fleet that an earlier controller left running; what others left behind is removed."""
    found, within = [], context.folders.replicas(spec.id)
    context.devices.forget_fleet(spec.id)
    for folder in sorted(within.iterdir()) if within.is_dir() else []:
        replica = Replica.adopt(spec.id, folder, context.folders, now)
        if replica is None:
            _end_remains(folder)
            socket = files.written_socket(folder) or context.folders.socket(folder.name)
            clear(context, spec, folder.name, socket)
        else:
            found.append(replica)
            if not context.devices.adopt(spec.id, replica.id, replica.devices):
                log.warning("fleet %s: replica %s has a device that another one has", spec.id, replica.id)
    return found


def _end_remains(folder: Path) -> None:
    """Kill what a worker that ended unseen left running on its devices, such as children of its program: another
    replica gets them next. Those alone: its session's number may be somebody else's by now."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        noted = msgspec.json.decode((folder / NOTE).read_bytes(), type=prepare_type(Identity))
        devices = set(devices_of(folder, noted.pid))
        if not devices or Process(noted).alive:
            return
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if os.getsid(pid) == noted.pid and devices & set(visible_devices(pid)):
                    os.kill(pid, signal.SIGKILL)


def fits(context: SupervisorContext, spec: FleetSpec, replica: Replica) -> bool:
    """Whether an adopted replica may go on under the present settings."""
    if not context.devices.keeps(replica.id, replica.devices):
        return False
    if spec.detached is not None:
        return True  # it checks no signatures: its socket is for this user alone
    try:
        return context.fits((replica.folder / files.START).read_bytes())
    except (OSError, msgspec.DecodeError):
        return False


def drain(replica: Replica, in_flight: int, enough: bool, timeout: float, now: float) -> None:
    """The next step in draining a replica. ``in_flight``: requests that the router waits for; ``enough``: others
    serve in its place; ``timeout``: seconds that its requests have to finish."""
    waited = now - replica.since
    if replica.hopeless:
        # Its requests break off, and the router gives them to another replica.
        if enough or waited > HOPELESS_FOR:
            replica.process.kill()
    elif replica.terminated is None:
        if in_flight == 0 or waited > timeout:
            replica.process.terminate()
            replica.terminated = now
    elif now - replica.terminated > timeout + KILL_GRACE:
        log.warning("replica %s did not stop when asked; killing it (log: %s)", replica.id, replica.log)
        replica.process.kill()


def orphans(folders: Folders, known: Collection[int]) -> list[Process]:
    """Workers and job processes of this installation that no supervisor follows, because their working folder is gone
    or belongs to another process. ``known``: pids that are followed."""
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
    """Whether the folder names this process as its own."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=prepare_type(Identity)) == identity
    except (OSError, msgspec.DecodeError):
        return folder.is_dir()


async def end(processes: Collection[Process], patience: float) -> None:
    """Terminate them; kill those that are still alive after ``patience`` seconds."""
    for process in processes:
        process.terminate()
    deadline = asyncio.get_running_loop().time() + patience
    while any(process.alive for process in processes) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.1)
    for process in processes:
        process.kill()


def clear(context: SupervisorContext, spec: FleetSpec, replica: str, socket: Path) -> None:
    """Take the last counts of a replica that has ended, then remove what it left."""
    folder = context.folders.replica(spec.id, replica)
    if spec.detached is None:
        with contextlib.suppress(OSError):
            context.harvest(spec, replica, (folder / "stats.json").read_bytes())
    files.clear(folder, socket if context.folders.holds(socket) else None)
    context.devices.release(replica)
