"""FilterLogEvents: lines of several streams of one group, in pages."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, NotFound
from tidegate.ports.logs import Logs, LogStream
from tidegate.wire.logs import MOST_EVENTS, parse_group_name, require_logs, to_milliseconds
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params

_WORD = re.compile(r'([?-]?)(?:"([^"]*)"|([^\s"]+))(?=\s|$)\s*')


def compile_filter(pattern: str) -> Callable[[str], bool]:
    """Compile a filter that keeps a line if it has all plain words of the pattern, none of the words marked ``-``,
    and at least one of those marked ``?``. Case-sensitive; quotes group words. Raises Invalid for other kinds of
    pattern."""
    text = pattern.strip()
    if text[:1] in ("{", "[", "%"):
        raise Invalid(f"filterPattern {pattern!r} is not supported: use a pattern of words, or leave it out")
    words: dict[str, list[str]] = {"": [], "-": [], "?": []}
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise Invalid(f"filterPattern {pattern!r} is invalid: expected words, with balanced quotes")
        words[found[1]].append(found[2] if found[2] is not None else found[3])
        at = found.end()

    def keeps(line: str) -> bool:
        return (
            all(word in line for word in words[""])
            and not any(word in line for word in words["-"])
            and (not words["?"] or any(word in line for word in words["?"]))
        )

    return keeps


MAX_READS = 64
"""Maximum number of file reads per call; a call that scans much and keeps little ends with a token."""


@dataclass
class _EventPage:
    """Lines collected by one call. ``after``: the stream and offset to continue from; None at the end."""

    logs: Logs
    group: str
    keeps: Callable[[str], bool]
    limit: int
    events: list[Params]
    reads: int = 0

    @property
    def full(self) -> bool:
        return len(self.events) >= self.limit or self.reads >= MAX_READS

    async def read(self, stream: LogStream, offset: int) -> int | None:
        """Collect lines of a stream. Returns the offset to continue from; None at the stream's end."""
        while not self.full:
            self.reads += 1
            found = await self.logs.read(self.group, stream.name, offset, self.limit - len(self.events))
            if found is None or not found.lines:
                return None
            at = offset
            for line in found.lines:
                if self.keeps(line):
                    self.events.append(_render_event(self.group, stream, at, line))
                at += len(line.encode()) + 1
            offset = found.next
        return offset


async def filter_log_events(call: OperationCall, params: Params) -> Params:
    """Streams are ordered by their start. A line has its stream's time, so a stream is inside the requested time
    range or outside it as a whole."""
    logs, group = require_logs(call), parse_group_name(params)
    streams = _select_streams(list(await logs.streams(group)), params)
    page = _EventPage(
        logs, group, compile_filter(params.get("filterPattern", "")), params.get("limit", MOST_EVENTS), []
    )
    name, offset = _decode_token(params.get("nextToken"))
    begin = next((at for at, one in enumerate(streams) if one.name == name), 0 if name is None else len(streams))
    for number, stream in enumerate(streams[begin:]):
        rest = await page.read(stream, offset if number == 0 else 0)
        if rest is not None:
            return {"events": page.events, "searchedLogStreams": [], "nextToken": _encode_token(stream.name, rest)}
    return {"events": page.events, "searchedLogStreams": []}


def _select_streams(streams: list[LogStream], params: Params) -> list[LogStream]:
    if not streams:
        raise NotFound("The specified log group does not exist.")
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names is not None and prefix is not None:
        raise Invalid("logStreamNames and logStreamNamePrefix cannot be given together.")
    missing = [name for name in names or () if name not in {stream.name for stream in streams}]
    if missing:
        raise NotFound("The specified log stream does not exist.")
    since, until = params.get("startTime", 0), params.get("endTime")
    found = [
        stream
        for stream in streams
        if (names is None or stream.name in names)
        and stream.name.startswith(prefix or "")
        and since <= to_milliseconds(stream.created)
        and (until is None or to_milliseconds(stream.created) <= until)
    ]
    return sorted(found, key=lambda stream: (stream.created, stream.name))


def _render_event(group: str, stream: LogStream, at: int, line: str) -> Params:
    moment = to_milliseconds(stream.created)
    return {
        "logStreamName": stream.name,
        "timestamp": moment,
        "ingestionTime": moment,
        "message": line or " ",
        "eventId": hashlib.sha256(f"{group} {stream.name} {at}".encode()).hexdigest()[:56],
    }


def _encode_token(stream: str, offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([stream, offset]).encode()).decode()


def _decode_token(token: str | None) -> tuple[str | None, int]:
    if token is None:
        return None, 0
    try:
        stream, offset = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        stream, offset = None, None
    if not isinstance(stream, str) or not isinstance(offset, int) or not 0 <= offset < 2**60:
        raise Invalid("The specified nextToken is invalid.")
    return stream, offset


OPERATIONS: Operations = {"FilterLogEvents": AsyncOperation(filter_log_events, Access.READ)}
