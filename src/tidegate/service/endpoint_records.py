"""What the status documents of all endpoints are made of."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.ports.store import Saved, Tx
from tidegate.service.followed_records import FollowedRecords
from tidegate.service.record_kinds import ALARM, ENDPOINT, SCALABLE
from tidegate.service.scaling_records import Scalable
from tidegate.service.views import named_alarms


@dataclass(frozen=True)
class EndpointRecords:
    """``scalables`` in the order of their names."""

    endpoint: Endpoint
    alarms: list[Alarm]
    scalables: list[Scalable]


@dataclass
class EndpointDirectory:
    """Every look reads what was written since the last, and no endpoint by itself."""

    _endpoints: FollowedRecords[Endpoint] = field(default_factory=lambda: FollowedRecords(ENDPOINT))
    _scalables: FollowedRecords[Scalable] = field(default_factory=lambda: FollowedRecords(SCALABLE))
    _alarms: FollowedRecords[Alarm] = field(default_factory=lambda: FollowedRecords(ALARM))

    def read(self, tx: Tx) -> list[EndpointRecords]:
        """In the order of the endpoints' names."""
        scalables = defaultdict[str, list[Scalable]](list)
        for _, saved in sorted(self._scalables.read(tx).items()):
            scalables[saved.body.target.endpoint].append(saved.body)
        alarms = self._alarms.read(tx)
        return [
            EndpointRecords(saved.body, pick_alarms(alarms, saved.body), scalables.get(name, []))
            for name, saved in sorted(self._endpoints.read(tx).items())
        ]


def pick_alarms(alarms: Mapping[str, Saved[Alarm]], endpoint: Endpoint) -> list[Alarm]:
    """Those of ``named_alarms`` that are there."""
    return [alarms[name].body for name in named_alarms(endpoint) if name in alarms]
