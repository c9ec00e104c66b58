"""Watch the files by which a later controller finds a fleet, since somebody may remove them by hand."""

import logging
import math
import os
from collections.abc import Collection
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.replica import Replica
from tidegate.targets.local.rest_watch import FILES_TURN
from tidegate.targets.local.supervisor_context import DesiredFleet, save_desired

log = logging.getLogger(__name__)


@dataclass
class FleetFiles:
    """Looked at now and then; ``now`` is the event loop's."""

    folders: Folders
    fleet: FleetId
    _looked_at: float = -math.inf
    _record: str = field(init=False)

    def __post_init__(self) -> None:
        self._record = str(self.folders.desired_file(self.fleet))

    def are_there(self, replicas: Collection[Replica], now: float) -> bool:
        """Whether nothing is missing, as far as it was time to look."""
        if now - self._looked_at < FILES_TURN:
            return True
        if not os.path.exists(self._record) or not all(replica.has_start for replica in replicas):
            return False
        self._looked_at = now
        return True

    def restore(self, desired: DesiredFleet, replicas: Collection[Replica], now: float) -> list[Replica]:
        """Write the fleet's record again if it is missing. Returns the replicas that a later controller could not
        find."""
        if now - self._looked_at < FILES_TURN:
            return []
        self._looked_at = now
        if not self.folders.desired_file(self.fleet).exists():
            log.warning("fleet %s: its folder was removed; making it anew", self.fleet)
            save_desired(self.folders, desired)
        lost = [replica for replica in replicas if not replica.has_start]
        for replica in lost:
            log.warning("fleet %s: the folder of replica %s was removed; replacing it", self.fleet, replica.id)
        return lost
