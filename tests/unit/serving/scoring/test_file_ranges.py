"""A worker of a transform job reads its part of a file itself, if the file is still what it was."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.unit.serving.echo_scorer import EchoScorer
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome
from tidegate.serving.scoring.file_ranges import HEADER, RECORDS, FilePart, PartBatcher, read
from tidegate.storage.files import tag_of


def part(path: Path, offset: int, length: int) -> FilePart:
    return FilePart(str(path), offset, length, tag_of(os.stat(path)))


async def answered(call: Call) -> Outcome:
    engine = PartBatcher(EchoScorer(), asyncio.get_running_loop())
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    engine.submit(call, outcome.set_result)
    found = await outcome
    await engine.close()
    return found


async def test_the_file_range_is_the_request_body(tmp_path: Path) -> None:
    (tmp_path / "räte.csv").write_bytes(b"1,2\n3,4\n5,6\n")
    told = part(tmp_path / "räte.csv", 4, 8).encode()
    found = await answered(Call(b"", {HEADER: told}))
    assert isinstance(found, Answer)
    assert found.body == b"3,4\n5,6\n"
    assert found.headers == ((RECORDS, b"2"),)


async def test_a_request_with_a_body_is_taken_as_ever() -> None:
    found = await answered(Call(b"1,2\n", {}))
    assert isinstance(found, Answer)
    assert found.body == b"1,2\n"


def test_a_file_that_was_changed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n3,4\n")
    told = part(tmp_path / "a.csv", 0, 4)
    (tmp_path / "a.csv").write_bytes(b"9,9\n3,4\n7,7\n")
    with pytest.raises(ModelFailed, match="changed meanwhile"):
        read(told)


async def test_an_impossible_file_range_is_refused(tmp_path: Path) -> None:
    found = await answered(Call(b"", {HEADER: b"{"}))
    assert isinstance(found, ModelFailed)
