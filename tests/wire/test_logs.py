"""CloudWatch Logs by boto3: groups, streams, and lines that are followed by tokens."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tidegate.ports.logs import LogLines, LogStream

GROUP = "/aws/sagemaker/TransformJobs"
LINES = ["ready", "", "drained"]


class Kept:
    """Three streams; the lines of the first."""

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


def test_what_is_not_there_is_named_so(logs: Any) -> None:
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*log group does not exist"):
        logs.describe_log_streams(logGroupName="/other")
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*log stream does not exist"):
        logs.get_log_events(logGroupName=GROUP, logStreamName="nobody")
    with pytest.raises(ClientError, match=r"InvalidParameterException.*nextToken"):
        logs.get_log_events(logGroupName=GROUP, logStreamName="a/r-1", nextToken="x")
