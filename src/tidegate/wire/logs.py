"""Read-only CloudWatch Logs: the groups of endpoints and transform jobs, their streams and lines."""

from typing import TypeVar

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, NotFound
from tidegate.ports.logs import Logs, LogStream
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params
from tidegate.wire.validation import Violation

T = TypeVar("T")
MAX_STREAMS, MOST_EVENTS = 50, 10_000


def require_logs(call: OperationCall) -> Logs:
    if call.ctx.logs is None:
        raise NotFound("The specified log group does not exist.")
    return call.ctx.logs


async def describe_log_groups(call: OperationCall, params: Params) -> Params:
    """Groups of this account only, all of the standard class."""
    for member in ("accountIdentifiers", "includeLinkedAccounts"):
        if params.get(member):
            raise Invalid(f"{member}: other accounts are not supported; leave it out.")
    prefix, pattern = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "")
    if prefix and pattern:
        raise Invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    wanted = {one.rpartition(":log-group:")[2].removesuffix(":*") for one in params.get("logGroupIdentifiers", [])}
    names = [
        name
        for name in await require_logs(call).groups()
        if name.startswith(prefix)
        and pattern.lower() in name.lower()
        and (not wanted or name in wanted)
        and params.get("logGroupClass", "STANDARD") == "STANDARD"
    ]
    page, token = _take_page(names, params)
    return {"logGroups": [_render_group(call, name) for name in page], "nextToken": token}


def _render_group(call: OperationCall, name: str) -> Params:
    arn = call.arn(f"log-group:{name}", "logs")
    return {"logGroupName": name, "arn": f"{arn}:*", "logGroupArn": arn, "storedBytes": 0, "metricFilterCount": 0}


async def describe_log_streams(call: OperationCall, params: Params) -> Params:
    group = parse_group_name(params)
    streams = list(await require_logs(call).streams(group))
    if not streams:
        raise NotFound("The specified log group does not exist.")
    found = [stream for stream in streams if stream.name.startswith(params.get("logStreamNamePrefix", ""))]
    if params.get("orderBy") == "LastEventTime":
        if params.get("logStreamNamePrefix"):
            raise Invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        found.sort(key=lambda stream: stream.written)
    if params.get("descending"):
        found.reverse()
    page, token = _take_page(found, params)
    return {"logStreams": [_render_stream(call, group, stream) for stream in page], "nextToken": token}


def _render_stream(call: OperationCall, group: str, stream: LogStream) -> Params:
    return {
        "logStreamName": stream.name,
        "creationTime": to_milliseconds(stream.created),
        "firstEventTimestamp": to_milliseconds(stream.created),
        "lastEventTimestamp": to_milliseconds(stream.created),
        "lastIngestionTime": to_milliseconds(stream.written),
        "arn": call.arn(f"log-group:{group}:log-stream:{stream.name}", "logs"),
        "storedBytes": stream.size,
    }


async def get_log_events(call: OperationCall, params: Params) -> Params:
    """Tokens are offsets: ``f/N`` continues from there, ``b/0`` is the beginning. Lines that were already returned
    are not repeated."""
    token, limit = params.get("nextToken"), params.get("limit", MOST_EVENTS)
    offset = _decode_token(token) if token else 0 if params.get("startFromHead") else None
    found = await require_logs(call).read(parse_group_name(params), params["logStreamName"], offset, limit)
    if found is None:
        raise NotFound("The specified log stream does not exist.")
    at = to_milliseconds(found.stream.created)
    within = params.get("startTime", 0) <= at and (params.get("endTime") is None or at < params["endTime"])
    events = [{"timestamp": at, "ingestionTime": at, "message": line or " "} for line in found.lines]
    return {
        "events": events if within else [],
        "nextForwardToken": f"f/{found.next}",
        "nextBackwardToken": "b/0",
    }


def _decode_token(token: str) -> int:
    way, _, number = token.partition("/")
    if way not in ("f", "b") or not number.isdecimal() or len(number) > 18:
        raise Invalid("The specified nextToken is invalid.")
    return int(number)


def parse_group_name(params: Params) -> str:
    named = params.get("logGroupName") or params.get("logGroupIdentifier", "").rpartition(":log-group:")[2]
    if not named:
        raise Violation("Either logGroupName or logGroupIdentifier must be given.")
    return str(named)


def _take_page(found: list[T], params: Params) -> tuple[list[T], str | None]:
    begin = int(token) if (token := params.get("nextToken", "0")).isdecimal() else 0
    end = begin + params.get("limit", MAX_STREAMS)
    return found[begin:end], str(end) if end < len(found) else None


def to_milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


OPERATIONS: Operations = {
    "DescribeLogGroups": AsyncOperation(describe_log_groups, Access.READ),
    "DescribeLogStreams": AsyncOperation(describe_log_streams, Access.READ),
    "GetLogEvents": AsyncOperation(get_log_events, Access.READ),
}
