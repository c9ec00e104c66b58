"""Where the local target keeps things. Nothing here touches the disk but ``prepare`` and ``write_whole``."""

import os
from dataclasses import dataclass
from pathlib import Path

from tidegate.model.fleet import FleetId


@dataclass(frozen=True)
class Folders:
    """``state`` outlives restarts. ``sockets`` is short, since a unix socket's path is limited to 107 bytes."""

    state: Path
    sockets: Path

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
    def door(self) -> Path:
        """The controller's own socket, behind the proxy."""
        return self.sockets / "controller.sock"

    def fleet(self, fleet: FleetId) -> Path:
        return self.fleets / fleet.endpoint / str(fleet.generation) / fleet.variant

    def wish(self, fleet: FleetId) -> Path:
        return self.fleet(fleet) / "fleet.json"

    def model(self, fleet: FleetId) -> Path:
        return self.fleet(fleet) / "model"

    def replica(self, fleet: FleetId, replica: str) -> Path:
        return self.fleet(fleet) / "replicas" / replica

    def log(self, fleet: FleetId, replica: str) -> Path:
        """Logs lie apart from the fleet's folder: they are wanted most when the fleet is gone."""
        return self.logs / fleet.endpoint / str(fleet.generation) / fleet.variant / f"{replica}.log"

    def socket(self, replica: str) -> Path:
        return self.sockets / f"{replica}.sock"

    def prepare(self) -> None:
        for folder in (self.fleets, self.logs, self.sockets):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Writes a file so that a reader, or a crash, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
