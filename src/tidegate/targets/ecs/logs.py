"""What tasks wrote: a ``ports.logs.Logs``. A stream is named by its service, container and task."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.ecs.options import EcsOptions, service_name
from tidegate.targets.ecs.target import EcsTarget

MOST_TAILS = 10
"""Tasks whose last lines are shown, those that wrote last."""


@dataclass(frozen=True)
class EcsLogs:
    logs: CloudLogs
    target: EcsTarget
    options: EcsOptions

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        fleets = {service_name(id): id for id in self.target.configs if id.endpoint == endpoint}
        if not fleets:
            return ()
        streams = await self.logs.streams(self.options.log_group)
        mine = [(fleets.get(stream.name.partition("/")[0]), stream.name) for stream in streams]
        found = []
        for id, name in [(id, name) for id, name in mine if id is not None][:MOST_TAILS]:
            written = await self.logs.tail(self.options.log_group, name, lines)
            found.append(ReplicaLog(id.generation, id.variant, name.rpartition("/")[2], written))
        return sorted(found, key=lambda log: log.generation)

    async def groups(self) -> Sequence[str]:
        return (self.options.log_group,) if self.target.configs else ()

    async def streams(self, group: str) -> Sequence[LogStream]:
        if group not in await self.groups():
            return ()
        return sorted(await self.logs.streams(group), key=lambda stream: stream.name)

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        if group not in await self.groups():
            return None
        return await self.logs.read(group, stream, offset, limit)
