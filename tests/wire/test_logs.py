"""CloudWatch Logs by boto3: groups, streams, and lines that are followed by tokens."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog

GROUP = "/aws/sagemaker/TransformJobs"
LINES = ["ready", "", "drained"]


class Kept:
    """Three streams; the lines of the first."""

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return ()

    async def groups(self) -> Sequence[str]:
        return [GROUP, "/aws/sagemaker/Endpoints/fraud"]

    async def streams(self, group: str) -> Sequence[LogStream]:
        names = ["a/r-1", "a/runner", "b/r-2"] if group == GROUP else []
        return [LogStream(name, 1000.5, 1003.0 - at, 42) for at, name in enumerate(names)]

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        if stream != "a/r-1":
            return None
        begin = len(LINES) - limit if offset is None else offset
        found = tuple(LINES[begin : begin + limit])
        return LogLines(LogStream(stream, 1000.5, 1003.0, 42), found, begin + len(found))


@pytest.fixture
def logs(wire: Served) -> Any:
    wire.ctx = replace(wire.ctx, logs=Kept())
    return wire.client("logs")


def test_groups_and_streams_are_found_by_prefix_in_pages(logs: Any) -> None:
    found = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/Tr")["logGroups"]
    assert [group["logGroupName"] for group in found] == [GROUP]
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=GROUP, PaginationConfig={"PageSize": 2}
    )
    assert [stream["logStreamName"] for page in pages for stream in page["logStreams"]] == [
        *("a/r-1", "a/runner", "b/r-2")
    ]
    of_a = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="a/")["logStreams"]
    assert [stream["creationTime"] for stream in of_a] == [1000500, 1000500]
    latest = logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", limit=1)["logStreams"]
    assert [stream["logStreamName"] for stream in latest] == ["b/r-2"]


def test_groups_are_found_by_pattern_identifier_and_class(logs: Any) -> None:
    def look(**members: Any) -> list[str]:
        return [group["logGroupName"] for group in logs.describe_log_groups(**members)["logGroups"]]

    assert look(logGroupNamePattern="TRANSFORM") == [GROUP]
    assert look(logGroupIdentifiers=[f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"]) == [GROUP]
    assert look(logGroupIdentifiers=["/none"]) == []
    assert look(logGroupClass="INFREQUENT_ACCESS") == []
    for wrong in ({"includeLinkedAccounts": True}, {"logGroupNamePattern": "a", "logGroupNamePrefix": "/a"}):
        with pytest.raises(ClientError, match="InvalidParameterException"):
            logs.describe_log_groups(**wrong)


def test_lines_are_followed_by_the_token_of_the_last_answer(logs: Any) -> None:
    where = {"logGroupName": GROUP, "logStreamName": "a/r-1"}
    first = logs.get_log_events(**where, startFromHead=True, limit=2)
    assert [event["message"] for event in first["events"]] == ["ready", " "]
    assert {event["timestamp"] for event in first["events"]} == {1000500}
    second = logs.get_log_events(**where, nextToken=first["nextForwardToken"], startTime=1000500)
    assert [event["message"] for event in second["events"]] == ["drained"]
    last = logs.get_log_events(**where, nextToken=second["nextForwardToken"])
    assert (last["events"], last["nextForwardToken"]) == ([], second["nextForwardToken"])
    assert logs.get_log_events(**where, limit=1)["events"][0]["message"] == "drained"
    assert logs.get_log_events(**where, startTime=1000501, startFromHead=True)["events"] == []


def test_an_unknown_log_group_or_stream_is_not_found(logs: Any) -> None:
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*log group does not exist"):
        logs.describe_log_streams(logGroupName="/other")
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*log stream does not exist"):
        logs.get_log_events(logGroupName=GROUP, logStreamName="nobody")
    with pytest.raises(ClientError, match=r"InvalidParameterException.*nextToken"):
        logs.get_log_events(logGroupName=GROUP, logStreamName="a/r-1", nextToken="x")


# --- FilterLogEvents ---


class Streams:
    """Lines by stream; an offset is a number of lines here, and a read takes two at most."""

    lines: ClassVar = {
        "AllTraffic/r-2": ["ready", "GET /ping 200", "WARN slow"],
        "AllTraffic/r-1": ["ready", "ERROR no such file", "drained"],
        "Other/r-3": ["ready"],
    }
    begun: ClassVar = {"AllTraffic/r-2": 2000.0, "AllTraffic/r-1": 1000.0, "Other/r-3": 3000.0}

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return ()

    async def groups(self) -> Sequence[str]:
        return [GROUP]

    async def streams(self, group: str) -> Sequence[LogStream]:
        return [self._stream(name) for name in sorted(self.lines)] if group == GROUP else []

    def _stream(self, name: str) -> LogStream:
        return LogStream(name, self.begun[name], self.begun[name], 42)

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        begin = offset or 0
        found = tuple(self.lines[stream][begin : begin + min(2, limit)])
        return LogLines(self._stream(stream), found, begin + len(found))


@pytest.fixture
def filtered(wire: Served) -> Any:
    wire.ctx = replace(wire.ctx, logs=Streams())
    client = wire.client("logs")

    def look(**members: Any) -> list[tuple[str, str]]:
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=GROUP, **members)
        events = [event for page in pages for event in page["events"]]
        assert len({event["eventId"] for event in events}) == len(events)
        return [(event["logStreamName"], event["message"]) for event in events]

    look.client = client  # type: ignore[attr-defined]
    return look


ALL = [(name, line) for name in ("AllTraffic/r-1", "AllTraffic/r-2", "Other/r-3") for line in Streams.lines[name]]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100])
def test_lines_of_all_streams_come_once_whatever_the_page(filtered: Any, limit: int) -> None:
    assert filtered(PaginationConfig={"PageSize": limit}) == ALL


def test_streams_are_chosen_by_name_prefix_and_time(filtered: Any) -> None:
    assert filtered(logStreamNamePrefix="AllTraffic/") == ALL[:6]
    assert filtered(logStreamNames=["Other/r-3", "AllTraffic/r-1"]) == [*ALL[:3], *ALL[6:]]
    assert filtered(startTime=2_000_000) == ALL[3:]
    assert filtered(endTime=2_000_000) == ALL[:6]
    assert filtered(logStreamNamePrefix="nobody") == []


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        ("", 7),
        ("ready", 3),
        ("READY", 0),
        ("ERROR file", 1),
        ('"no such"', 1),
        ('"such no"', 0),
        ("-ready", 4),
        ("?ERROR ?WARN", 2),
        ("ready -ready", 0),
        ('"GET /ping" 200', 1),
    ],
)
def test_a_pattern_of_words_keeps_lines(filtered: Any, pattern: str, lines: int) -> None:
    assert len(filtered(filterPattern=pattern)) == lines


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"filterPattern": "{ $.a = 1 }"}, "InvalidParameterException.*not supported"),
        ({"filterPattern": '"half'}, "InvalidParameterException.*is invalid"),
        ({"nextToken": "x"}, "InvalidParameterException.*nextToken is invalid"),
        ({"nextToken": "WyJhIiwgLTFd"}, "InvalidParameterException.*nextToken is invalid"),
        ({"logStreamNames": ["gone"]}, "ResourceNotFoundException.*log stream does not exist"),
        ({"logStreamNames": ["Other/r-3"], "logStreamNamePrefix": "O"}, "InvalidParameterException.*together"),
        ({"logGroupName": "/none"}, "ResourceNotFoundException.*log group does not exist"),
    ],
)
def test_unsupported_filter_patterns_are_refused(filtered: Any, members: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError, match=says):
        filtered.client.filter_log_events(**{"logGroupName": GROUP, **members})
