"""The logs of pods, as the cluster keeps them: of pods that are there, and as much as a node has not rotated away."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.cluster_view import ClusterView

ENDPOINTS = "/aws/sagemaker/Endpoints/"
MOST_LINES = 10_000
"""Lines of one pod that are read."""


@dataclass
class PodLogs:
    """The ``Logs`` port. A stream is a pod; its offsets are numbers of lines, and so is its size."""

    api: KubeApi
    view: ClusterView
    _sizes: dict[str, int] = field(default_factory=dict)
    """Lines of each stream when it was read last."""
    _created: dict[str, float] = field(default_factory=dict)

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return [
            ReplicaLog(fleet.generation, fleet.variant, pod, tuple(await self.api.log(pod, lines)))
            for fleet, pod in self._pods()
            if fleet.endpoint == endpoint
        ]

    async def groups(self) -> Sequence[str]:
        return sorted({ENDPOINTS + fleet.endpoint for fleet, _ in self._pods()})

    async def streams(self, group: str) -> Sequence[LogStream]:
        return sorted(
            (self._stream(fleet, pod) for fleet, pod in self._pods() if ENDPOINTS + fleet.endpoint == group),
            key=lambda stream: stream.name,
        )

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        found = next((pod for fleet, pod in self._pods() if self._is(fleet, pod, group, stream)), None)
        if found is None:
            return None
        lines = await self.api.log(found, MOST_LINES)
        self._sizes[found] = len(lines)
        begin = max(0, len(lines) - limit) if offset is None else offset if offset <= len(lines) else 0
        shown = tuple(lines[begin : begin + limit])
        shape = next(one for one in await self.streams(group) if one.name == stream)
        return LogLines(shape, shown, begin + len(shown))

    def _is(self, fleet: FleetId, pod: str, group: str, stream: str) -> bool:
        return ENDPOINTS + fleet.endpoint == group and f"{fleet.variant}/{pod}" == stream

    def _stream(self, fleet: FleetId, pod: str) -> LogStream:
        created = self._created.setdefault(pod, time.time())
        return LogStream(f"{fleet.variant}/{pod}", created, time.time(), self._sizes.get(pod, 0))

    def _pods(self) -> list[tuple[FleetId, str]]:
        """By generation, the newest last."""
        found = [(fleet, pod) for fleet, view in self.view.fleets.items() for pod in view.pods]
        return sorted(found, key=lambda one: (one[0].generation, one[1]))
