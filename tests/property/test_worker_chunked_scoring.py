"""A body that is scored a block of lines at a time is answered, or refused, as it is whole."""

import asyncio
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome, Stream
from tidegate.serving.formats.content_types import JSON_LINES
from tidegate.serving.formats.row_decoder import CSV, JSON, ColumnType, Features, ValueKind
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.scoring import chunked_scoring
from tidegate.serving.scoring.batching import Batcher
from tidegate.serving.scoring.chunked_scoring import answer_blocks

NAMES = ["a", "b", "c"]
ROWS = st.integers(1, 60).flatmap(
    lambda count: arrays.arrays("f4", (count, len(NAMES)), elements=st.integers(-999, 999).map(float))
)
TABLE = TabularScorer(lambda rows: rows @ np.array([1, 10, 100], "f4"), Features(len(NAMES), NAMES), None)


def csv(rows: np.ndarray, header: list[str] | None, ending: str) -> bytes:
    lines = [",".join(header)] if header else []
    order = [NAMES.index(name) for name in header or NAMES]
    lines += [",".join(str(float(row[column])) for column in order) for row in rows]
    return ending.join(lines).encode()


def in_blocks(body: bytes, headers: dict[bytes, bytes], block: int, table: TabularScorer = TABLE) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        spool.add(body)
        return answer_blocks(table, LargeCall(spool, headers), spool, block)


def whole(body: bytes, headers: dict[bytes, bytes], table: TabularScorer = TABLE) -> Answer:
    call = Call(body, headers)
    [scores] = table.score([table.parse(call)])
    return table.render(scores, call)


def same(body: bytes, headers: dict[bytes, bytes], block: int, table: TabularScorer = TABLE) -> None:
    got, wanted = in_blocks(body, headers, block, table), whole(body, headers, table)
    assert isinstance(got, Answer) and got.content_type == wanted.content_type
    assert lines(got) == lines(wanted)


def lines(answer: Answer) -> list[object]:
    """Numbers as numbers: they may be written in two ways."""
    return [None if line == b"nan" else msgspec.json.decode(line) for line in answer.body.splitlines()]


@given(
    ROWS,
    st.none() | st.permutations(NAMES),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from([CSV, JSON_LINES]),
    st.integers(1, 500),
)
def test_chunked_csv_is_answered_as_in_one_piece(
    rows: np.ndarray, header: list[str] | None, ending: str, closed: bool, accept: str, block: int
) -> None:
    body = csv(rows, header, ending) + (ending.encode() if closed else b"")
    same(body, {b"content-type": b"text/csv", b"accept": accept.encode()}, block)


@given(ROWS, st.booleans(), st.integers(1, 500))
def test_chunked_json_lines_are_answered_as_in_one_piece(rows: np.ndarray, named: bool, block: int) -> None:
    listed = [[float(value) for value in row] for row in rows]
    items = [dict(zip(NAMES, row, strict=True)) for row in listed] if named else listed
    body = b"\n".join(map(msgspec.json.encode, items))
    same(body, {b"content-type": JSON_LINES.encode()}, block)


@given(ROWS, st.integers(0, 59), st.sampled_from(["x", "1e99", "1,2"]), st.booleans(), st.integers(1, 500))
@example(np.zeros((3, 3), "f4"), 2, "x", False, 1)
def test_an_error_names_the_row_of_the_whole_body(
    rows: np.ndarray, at: int, wrong: str, header: bool, block: int
) -> None:
    lines = csv(rows, NAMES if header else None, "\n").split(b"\n")
    at = min(at, len(rows) - 1) + header
    lines[at] = lines[at].rpartition(b",")[0] + b"," + wrong.encode()
    body = b"\n".join(lines)
    headers = {b"content-type": b"text/csv"}
    with pytest.raises(ModelFailed) as wanted:
        whole(body, headers)
    with pytest.raises(ModelFailed) as got:
        in_blocks(body, headers, block)
    assert (got.value.status, got.value.message) == (wanted.value.status, wanted.value.message)
    assert f"Row {at + 1 - header}" in got.value.message


ONE = TabularScorer(lambda rows: rows[:, 0], Features(1, ["a"]), None)
COLORS = Features(1, ["color"], [ColumnType(ValueKind.CATEGORY, ("red", "color"))])
COLOR = TabularScorer(lambda rows: rows[:, 0], COLORS, None)


@pytest.mark.parametrize(
    ("table", "body"),
    [
        pytest.param(ONE, b"a\n1\n\n3\n4\n", id="a missing value at the end of a block"),
        pytest.param(TABLE, b"c,b,a\r\n1,2,3\n4,5,6\n7,8,9\n", id="a header that ends in another way"),
        pytest.param(TABLE, b"\xef\xbb\xbfc,b,a\n1,2,3\n4,5,6\n", id="a byte order mark before the header"),
        pytest.param(TABLE, b"\xef\xbb\xbf1,2,3\n4,5,6\n", id="a byte order mark before the rows"),
        pytest.param(COLOR, b"red\ncolor\nred\ncolor\n", id="a name as a value"),
    ],
)
def test_rows_at_the_edge_of_a_block_are_scored_alike(table: TabularScorer, body: bytes) -> None:
    for block in range(1, len(body) + 1):
        same(body, {b"content-type": b"text/csv"}, block, table)


@pytest.mark.parametrize("body", [b"1,2,3\n1,2,3\na,b,c\n1,2,3\n", b"1,2,3\n4,5,6\nNA,NA,NA\n"])
def test_no_line_but_the_first_is_a_header(body: bytes) -> None:
    for block in range(1, len(body) + 1):
        with pytest.raises(ModelFailed, match=r"^Row 3, column 1"):
            in_blocks(body, {b"content-type": b"text/csv"}, block)


def test_a_line_that_is_no_json_is_named() -> None:
    with pytest.raises(ModelFailed, match=r"^Row 3: NaN"):
        in_blocks(b"[1,2,3]\n[1,2,3]\n[1,2,NaN]\n", {b"content-type": JSON_LINES.encode()}, 16)


def test_an_answer_that_cannot_be_written_to_disk_fails(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    spool = Spool(tmp_path / "gone")
    spool.add(b"1,2,3\n")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ModelFailed, match="The answer cannot be kept: No such file or directory"):
        answer_blocks(TABLE, LargeCall(spool, {b"content-type": b"text/csv"}), spool)


def spooled(folder: Path, body: bytes, headers: dict[bytes, bytes]) -> LargeCall:
    spool = Spool(folder)
    spool.add(body)
    return LargeCall(spool, headers)


async def outcome(call: Call, table: TabularScorer = TABLE) -> Outcome:
    loop = asyncio.get_running_loop()
    batcher, done = Batcher(table, loop), loop.create_future()
    batcher.submit(call, done.set_result)
    try:
        found: Outcome = await done
        return found
    finally:
        await batcher.close()


async def test_the_engine_leaves_a_large_body_in_its_file_where_it_has_lines(tmp_path: Path) -> None:
    call = spooled(tmp_path, b"1,2,3\n" * 5, {b"content-type": b"text/csv"})
    answer = await outcome(call)
    assert isinstance(answer, Answer) and answer.body == b"321.0\n" * 5
    assert call.spool is not None
    document = spooled(tmp_path, b'{"instances": [[1, 2, 3]]}', {b"content-type": JSON.encode()})
    answer = await outcome(document)
    assert isinstance(answer, Answer) and msgspec.json.decode(answer.body) == {"predictions": [321.0]}
    assert document.spool is None
    bad = await outcome(spooled(tmp_path, b"1,2,3\nx,2,3\n", {b"content-type": b"text/csv"}))
    assert isinstance(bad, ModelFailed) and bad.message == "Row 2, column 1 (a): 'x' is not a number."


async def test_rows_that_belong_together_stay_together(tmp_path: Path) -> None:
    """Such as those of a model whose answers hang on all of its rows."""
    from_mean = TabularScorer(lambda rows: rows[:, 0] - rows[:, 0].mean(), Features(1), None, batches=False)

    call = spooled(tmp_path, b"1\n2\n3\n", {b"content-type": b"text/csv"})
    answer = await outcome(call, from_mean)
    assert isinstance(answer, Answer) and lines(answer) == [-1, 0, 1]
    assert call.spool is None


async def test_a_large_answer_goes_out_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_scoring, "IN_MEMORY", 1000)

    answer = await outcome(spooled(tmp_path, b"1,2,3\n" * 500, {b"content-type": b"text/csv"}))
    assert isinstance(answer, Stream) and answer.content_type == CSV
    assert b"".join([part async for part in answer.parts]) == b"321.0\n" * 500


def test_nothing_more_is_scored_for_a_client_that_left(tmp_path: Path) -> None:
    call = spooled(tmp_path, b"1,2,3\n" * 500, {b"content-type": b"text/csv"})
    call.abandon()
    assert call.spool is not None
    assert answer_blocks(TABLE, call, call.spool, 60) == Answer(b"", "")
