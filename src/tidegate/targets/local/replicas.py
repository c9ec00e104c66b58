"""How a replica comes and goes on this machine: its start file and process, and what is left of it at the end."""

import contextlib
from pathlib import Path

import msgspec

from tidegate.model.fleet import FleetSpec, ReplicaState
from tidegate.targets.local import member as files
from tidegate.targets.local.folders import write_whole
from tidegate.targets.local.member import Member
from tidegate.targets.local.on_demand import Waking
from tidegate.targets.local.process import Process
from tidegate.targets.local.surroundings import Surroundings


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


def clear(around: Surroundings, spec: FleetSpec, replica: str, socket: Path) -> None:
    """Takes the last counts of a replica that has ended, then removes what it left."""
    folder = around.folders.replica(spec.id, replica)
    if spec.detached is None:
        with contextlib.suppress(OSError):
            around.harvest(spec, replica, (folder / "stats.json").read_bytes())
    files.clear(folder, socket if around.folders.holds(socket) else None)
