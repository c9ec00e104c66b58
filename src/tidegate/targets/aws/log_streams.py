"""Logs of AWS's services in CloudWatch Logs: the groups of endpoints, their streams and lines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.ports.logs import LogLines, LogStream
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.errors import ResourceMissing

MOST_STREAMS = 50
"""Streams of a group that are looked at, those written last."""
MOST_PAGES = 100


@dataclass(frozen=True)
class CloudLogs:
    calls: Calls

    async def streams(self, group: str) -> list[LogStream]:
        """List the streams that were written last, the latest first; empty where there is no such group."""
        members: dict[str, object] = {
            "logGroupName": group,
            "orderBy": "LastEventTime",
            "descending": True,
            "limit": MOST_STREAMS,
        }
        try:
            page = await self.calls.call("logs", "DescribeLogStreams", members)
        except ResourceMissing:
            return []
        return [_stream(found) for found in page.get("logStreams", ())]

    async def tail(self, group: str, stream: str, lines: int) -> tuple[str, ...]:
        members: dict[str, object] = {
            "logGroupName": group,
            "logStreamName": stream,
            "limit": max(1, min(lines, 10_000)),
            "startFromHead": False,
        }
        try:
            page = await self.calls.call("logs", "GetLogEvents", members)
        except ResourceMissing:
            return ()
        return tuple(_line(event) for event in page.get("events", ()))[-lines:]

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        """Read lines as ``ports.logs.Logs.read`` does. Offsets are numbers of lines."""
        found = next((one for one in await self.streams(group) if one.name == stream), None)
        if found is None:
            return None
        lines = await self._all(group, stream)
        first = max(0, len(lines) - limit) if offset is None else offset
        shown = lines[first : first + limit]
        return LogLines(found, tuple(shown), first + len(shown))

    async def _all(self, group: str, stream: str) -> Sequence[str]:
        lines: list[str] = []
        token: dict[str, object] = {}
        for _ in range(MOST_PAGES):
            members: dict[str, object] = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
            page = await self.calls.call("logs", "GetLogEvents", {**members, **token})
            lines += [_line(event) for event in page.get("events", ())]
            following = page.get("nextForwardToken")
            if not following or following == token.get("nextToken"):
                break
            token = {"nextToken": following}
        return lines


class OwnLogs(ABC):
    """Parts of a ``ports.logs.Logs``: the streams of the groups that a target has, and of no other."""

    logs: CloudLogs

    @abstractmethod
    async def groups(self) -> Sequence[str]: ...

    async def streams(self, group: str) -> Sequence[LogStream]:
        if group not in await self.groups():
            return ()
        return sorted(await self.logs.streams(group), key=lambda stream: stream.name)

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        return await self.logs.read(group, stream, offset, limit) if group in await self.groups() else None


def _line(event: dict[str, Any]) -> str:
    return str(event.get("message", "")).rstrip("\n")


def _stream(found: dict[str, Any]) -> LogStream:
    created = float(found.get("creationTime", 0)) / 1000
    written = float(found.get("lastEventTimestamp", found.get("creationTime", 0))) / 1000
    return LogStream(str(found["logStreamName"]), created, written, int(found.get("storedBytes", 0)))
