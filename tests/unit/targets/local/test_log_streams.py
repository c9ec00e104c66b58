"""Log files as the groups and streams of CloudWatch Logs."""

import asyncio
from pathlib import Path

from tidegate.ports.logs import LogLines
from tidegate.targets.local.logs import TRANSFORMS, LogStreams

ENDPOINT = "/aws/sagemaker/Endpoints/fraud"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(streams: LogStreams, group: str, stream: str, offset: int | None, limit: int = 100) -> LogLines:
    found = asyncio.run(streams.read(group, stream, offset, limit))
    assert found is not None
    return found


async def test_groups_and_streams_have_the_names_of_sagemaker(tmp_path: Path) -> None:
    written(tmp_path, "fraud/1/blue/r-1.log", "one\n")
    written(tmp_path, "fraud/2/blue/r-2.log", "one\n")
    written(tmp_path, "transform.night/1/job/r-3.log", "one\n")
    written(tmp_path, "transform.night/runner.log", "one\n")
    streams = LogStreams(tmp_path)
    assert await streams.groups() == [ENDPOINT, TRANSFORMS]
    assert [one.name for one in await streams.streams(ENDPOINT)] == ["blue/r-1", "blue/r-2"]
    assert [one.name for one in await streams.streams(TRANSFORMS)] == ["night/r-3", "night/runner"]
    assert await streams.streams("/aws/sagemaker/Endpoints/../fraud") == []
    assert await streams.read(ENDPOINT, "../../secret", 0, 10) is None


def test_a_stream_is_read_on_from_where_the_last_answer_ended(tmp_path: Path) -> None:
    path = written(tmp_path, "fraud/1/blue/r-1.log", "one\ntwo\nthree\nfo")
    streams = LogStreams(tmp_path)
    first = read(streams, ENDPOINT, "blue/r-1", 0, 2)
    assert first.lines == ("one", "two")
    second = read(streams, ENDPOINT, "blue/r-1", first.next)
    assert second.lines == ("three",)
    path.write_text(path.read_text() + "ur\n")
    third = read(streams, ENDPOINT, "blue/r-1", second.next)
    assert third.lines == ("four",)
    assert read(streams, ENDPOINT, "blue/r-1", third.next).lines == ()
    assert third.stream.created == first.stream.created
    assert read(streams, ENDPOINT, "blue/r-1", None, 2).lines == ("three", "four")
    path.write_text("anew\n")
    assert read(streams, ENDPOINT, "blue/r-1", third.next).lines == ("anew",)
