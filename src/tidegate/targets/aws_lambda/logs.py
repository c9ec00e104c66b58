"""What functions wrote: a ``ports.logs.Logs``. A stream's name has the version of its environment in brackets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.aws_lambda.options import AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.target import AwsLambdaTarget

_VERSION = re.compile(r"\[(\d+)\]")
MOST_TAILS = 10
"""Environments whose last lines are shown, those that wrote last."""


@dataclass(frozen=True)
class AwsLambdaLogs:
    logs: CloudLogs
    target: AwsLambdaTarget
    options: AwsLambdaOptions

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        fleets = {version: id for id, (version, _) in self.target.configs.items() if id.endpoint == endpoint}
        if not fleets:
            return ()  # of another target, perhaps, with a name that no function can have
        group = self._group(endpoint)
        found = []
        for stream in (await self.logs.streams(group))[:MOST_TAILS]:
            version = _VERSION.search(stream.name)
            if version is not None and (id := fleets.get(version[1])) is not None:
                written = await self.logs.tail(group, stream.name, lines)
                found.append(ReplicaLog(id.generation, id.variant, stream.name, written))
        return sorted(found, key=lambda log: log.generation)

    async def groups(self) -> Sequence[str]:
        return sorted({self._group(id.endpoint) for id in self.target.configs})

    async def streams(self, group: str) -> Sequence[LogStream]:
        if group not in await self.groups():
            return ()
        return sorted(await self.logs.streams(group), key=lambda stream: stream.name)

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        if group not in await self.groups():
            return None
        return await self.logs.read(group, stream, offset, limit)

    def _group(self, endpoint: str) -> str:
        return f"/aws/lambda/{function_name(self.options, endpoint)}"
