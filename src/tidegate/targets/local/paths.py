"""Paths of the local target's files, and their removal."""

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from tidegate.domain.fleet import FleetId
from tidegate.host.installation import Installation

ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Folders:
    """``state`` outlives restarts. ``sockets`` is short, since a unix socket's path is limited to 107 bytes."""

    state: Path
    sockets: Path
    installation: Installation
    """Whose processes may be adopted and ended."""
    former_sockets: tuple[Path, ...] = ()
    """Where replicas of an earlier version may still listen."""

    @property
    def fleets(self) -> Path:
        return self.state / "fleets"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def keys(self) -> Path:
        return self.state / "keys.json"

    @property
    def artifacts(self) -> Path:
        """Model data of versions that undo may go back to."""
        return self.state / ARTIFACTS

    def fleet(self, fleet: FleetId) -> Path:
        return self.fleets / fleet.endpoint / str(fleet.generation) / fleet.variant

    def desired_file(self, fleet: FleetId) -> Path:
        return self.fleet(fleet) / "fleet.json"

    def model(self, fleet: FleetId) -> Path:
        return self.fleet(fleet) / "model"

    def share(self, fleet: FleetId) -> Path:
        """Path of the file that says how much of the fleet's requests is copied to a shadow."""
        return self.fleet(fleet) / "share"

    def order(self, fleet: FleetId) -> Path:
        """Path of the file that says which fleet gets copies of this fleet's requests, so that their answers are
        compared."""
        return self.fleet(fleet) / "pairs.json"

    @property
    def pairs(self) -> Path:
        return self.state / "shadow"

    def kept(self, fleet: FleetId, replica: str) -> Path:
        """Pairs of answers lie outside the fleet's folder: they are read after the fleet is gone, too."""
        return self.pairs / fleet.endpoint / str(fleet.generation) / fleet.variant / f"{replica}.jsonl"

    def captured(self, fleet: FleetId, plan: str, replica: str) -> Path:
        """Captured requests until they are delivered. Any replica of the variant takes over what a dead one left,
        also one of a later version, if it captures by the same ``plan``: what was not redacted, or belongs
        elsewhere, must not be delivered by another one."""
        return self.state / "capture" / fleet.endpoint / fleet.variant / plan / replica

    def replicas(self, fleet: FleetId) -> Path:
        return self.fleet(fleet) / "replicas"

    def replica(self, fleet: FleetId, replica: str) -> Path:
        return self.replicas(fleet) / replica

    def log(self, fleet: FleetId, replica: str) -> Path:
        """Logs lie outside the fleet's folder: they matter most when the fleet is gone."""
        return self.logs / fleet.endpoint / str(fleet.generation) / fleet.variant / f"{replica}.log"

    def socket(self, replica: str) -> Path:
        return self.sockets / f"{replica}.sock"

    def holds(self, socket: Path) -> bool:
        """Whether the socket is in a folder of this installation: a copied state folder names the original's."""
        return socket.parent in (self.sockets, *self.former_sockets)

    @property
    def trash(self) -> Path:
        return self.state / "trash"

    def prepare(self) -> None:
        for folder in (self.fleets, self.logs, self.sockets, self.trash):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def discard(self, fleet: FleetId) -> None:
        """Move a fleet's folder away in one step, so that a crash never leaves part of it (such as a model) to a
        later fleet of the same name. Then remove it, and the parent folders that are now empty."""
        folder = self.fleet(fleet)
        trash = self.trash / f"{fleet.endpoint}.{fleet.generation}.{fleet.variant}"
        shutil.rmtree(trash, ignore_errors=True)
        if folder.exists():
            folder.rename(trash)
        for above in folder.parents[:2]:
            with contextlib.suppress(OSError):
                above.rmdir()
        shutil.rmtree(trash, ignore_errors=True)

    def empty_trash(self) -> None:
        for left in self.trash.iterdir() if self.trash.is_dir() else []:
            shutil.rmtree(left, ignore_errors=True)
