"""What each scalable target is decided by: its record, its endpoint, and the alarms that its policies act on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.ports.store import Saved, Tx
from tidegate.service import scaling_observation
from tidegate.service.followed_records import FollowedRecords
from tidegate.service.record_kinds import ALARM, ENDPOINT, SCALABLE
from tidegate.service.scaling_records import Scalable

Records = tuple[Mapping[str, Saved[Scalable]], Mapping[str, Saved[Endpoint]], Mapping[str, Saved[Alarm]]]


@dataclass(frozen=True)
class Standing:
    """One target as read in one transaction."""

    saved: Saved[Scalable]
    endpoint: Endpoint | None
    alarms: dict[str, list[Alarm]]


@dataclass
class Standings:
    """Of all targets. What was not written since the last read is not read again."""

    _scalables: FollowedRecords[Scalable] = field(default_factory=lambda: FollowedRecords(SCALABLE))
    _endpoints: FollowedRecords[Endpoint] = field(default_factory=lambda: FollowedRecords(ENDPOINT))
    _alarms: FollowedRecords[Alarm] = field(default_factory=lambda: FollowedRecords(ALARM))

    _last: tuple[Records, list[Standing]] | None = None

    def read(self, tx: Tx) -> list[Standing]:
        """In the order of their names; not to be changed. Nothing else is read while nothing is scaled."""
        scalables = self._scalables.read(tx)
        if not scalables:
            return []
        records = scalables, self._endpoints.read(tx), self._alarms.read(tx)
        if self._last is None or any(one is not other for one, other in zip(records, self._last[0], strict=True)):
            self._last = records, join(*records)
        return self._last[1]


def join(
    scalables: Mapping[str, Saved[Scalable]],
    endpoints: Mapping[str, Saved[Endpoint]],
    alarms: Mapping[str, Saved[Alarm]],
) -> list[Standing]:
    by_action = scaling_observation.alarms_by_action(saved.body for saved in alarms.values())
    standings = []
    for _, saved in sorted(scalables.items()):
        record = endpoints.get(saved.body.target.endpoint)
        endpoint = record.body if record is not None else None
        standings.append(Standing(saved, endpoint, scaling_observation.alarms_by_policy(saved.body, by_action)))
    return standings
