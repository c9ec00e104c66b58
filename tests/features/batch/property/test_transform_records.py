"""What goes into a transform comes out once and in order, however the bytes arrive."""

import os
import struct
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import ArtifactError
from tidegate.domain.transform import SplitType
from tidegate.features.batch.runner import line_ranges
from tidegate.features.batch.runner.line_ranges import cut_ranges, range_size
from tidegate.storage.files import tag_of
from tidegate.transform.splitting import (
    RECORD_IO_MAGIC,
    Batch,
    Oversized,
    Unsplittable,
    batches,
    count_lines,
    cut_records,
)

RECORDS = st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b".")), max_size=30)


def record_io(data: bytes) -> bytes:
    return struct.pack("<II", RECORD_IO_MAGIC, len(data)) + data + bytes(-len(data) % 4)


def tf_record(data: bytes) -> bytes:
    return struct.pack("<QI", len(data), 7) + data + b"crc!"


FRAMES = {
    SplitType.LINE: lambda data: data + b"\n",
    SplitType.RECORD_IO: record_io,
    SplitType.TF_RECORD: tf_record,
}
SPLITS = st.sampled_from(sorted(FRAMES))


def cut(body: bytes, sizes: list[int]) -> list[bytes]:
    """The body in parts of these sizes, again and again."""
    parts = []
    while body:
        for size in sizes:
            parts.append(body[:size])
            body = body[size:]
    return parts


def whole(split: SplitType, body: bytes, sizes: list[int], limit: int, single: bool) -> list[Batch]:
    return list(batches(cut(body, sizes), split, limit=limit, single=single))


@given(SPLITS, RECORDS, st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(30, 90))
def test_every_record_comes_once_in_order_within_the_limit(
    split: SplitType, records: list[bytes], sizes: list[int], limit: int
) -> None:
    framed = [FRAMES[split](record) for record in records]
    found = whole(split, b"".join(framed), sizes, limit, single=False)
    assert [record for batch in found for record in cut_records(batch.body, split)] == framed
    assert all(len(batch.body) <= limit for batch in found)
    assert [batch.first for batch in found] == [1 + sum(b.count for b in found[:n]) for n in range(len(found))]
    assert [batch.end for batch in found] == [sum(len(b.body) for b in found[: n + 1]) for n in range(len(found))]
    assert sum(batch.count for batch in found) == len(framed)
    for one, after in pairwise(found):
        assert len(one.body) + len(cut_records(after.body, split)[0]) > limit, "a batch takes what fits"


@given(SPLITS, RECORDS, st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_single_records_come_without_their_frames(
    split: SplitType, records: list[bytes], sizes: list[int]
) -> None:
    found = whole(split, b"".join(map(FRAMES[split], records)), sizes, 1000, single=True)
    sent = [record + b"\n" for record in records] if split is SplitType.LINE else records
    assert [batch.body for batch in found] == sent
    assert [batch.first for batch in found] == list(range(1, len(records) + 1))


@given(SPLITS, RECORDS, st.integers(30, 90), st.booleans(), st.data())
def test_a_job_that_goes_on_reads_the_rest(
    split: SplitType, records: list[bytes], limit: int, single: bool, data: st.DataObject
) -> None:
    body = b"".join(map(FRAMES[split], records))
    found = whole(split, body, [7], limit, single)
    done = data.draw(st.integers(0, len(found)))
    offset = found[done - 1].end if done else 0
    record = found[done - 1].first + found[done - 1].count if done else 1
    rest = batches([body[offset:]], split, limit=limit, single=single, record=record, offset=offset)
    assert list(rest) == found[done:]


@given(st.lists(st.integers(1, 9), min_size=1), st.binary(min_size=1, max_size=50))
def test_an_object_that_is_not_split_is_one_request(sizes: list[int], body: bytes) -> None:
    assert whole(SplitType.NONE, body, sizes, 50, single=False) == [Batch(body, 1, 1, len(body))]


@pytest.mark.parametrize("split", sorted(FRAMES))
@pytest.mark.parametrize("single", [False, True])
def test_a_record_above_the_limit_is_named(split: SplitType, single: bool) -> None:
    framed = [FRAMES[split](data) for data in (b"a", b"b" * 200)]
    with pytest.raises(Unsplittable, match="record 2 is larger than"):
        whole(split, b"".join(framed), [9], 100, single)


@pytest.mark.parametrize("split", [SplitType.RECORD_IO, SplitType.TF_RECORD])
def test_an_object_that_ends_within_a_record_is_named(split: SplitType) -> None:
    body = FRAMES[split](b"abcd") * 2
    with pytest.raises(Unsplittable, match="record 2: the object ends in the middle"):
        whole(split, body[:-3], [5], 100, single=False)


def test_the_last_line_need_not_be_ended() -> None:
    assert whole(SplitType.LINE, b"a\nb", [1], 100, single=False) == [Batch(b"a\nb", 1, 2, 3)]
    assert count_lines(b"") == 0


@given(st.lists(st.binary(max_size=60).map(lambda data: data.replace(b"\n", b".") + b"\n")), st.data())
def test_lines_are_packed_up_to_the_aim_and_one_alone_up_to_the_limit(
    lines: list[bytes], data: st.DataObject
) -> None:
    aim = data.draw(st.integers(1, 50))
    found = list(batches([b"".join(lines)], SplitType.LINE, limit=61, aim=aim, single=False))
    assert b"".join(batch.body for batch in found) == b"".join(lines)
    assert all(len(batch.body) <= aim or batch.count == 1 for batch in found)


FILES = st.lists(st.integers(1, 9000).map(lambda size: b"x" * (size - 1) + b"\n"), max_size=12)


@given(FILES, st.integers(1, 20_000), st.integers(0, 9_000), st.booleans(), st.data())
def test_the_pieces_of_a_file_are_its_lines(
    lines: list[bytes], aim: int, more: int, ended: bool, data: st.DataObject
) -> None:
    body, limit = b"".join(lines)[: None if ended else -1], aim + more
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        path.write_bytes(body)
        begin = sum(map(len, lines[: data.draw(st.integers(0, len(lines)))]))
        cut = cut_ranges(str(path), tag_of(os.stat(path)), min(begin, len(body)), aim, limit, lanes=1)
        try:
            found = list(cut)
        except Oversized:
            assert any(len(line) > limit for line in lines)
            return
    sent = [body[line_range.begin : line_range.end] for line_range in found]
    assert b"".join(sent) == body[begin:]
    assert all(part.endswith(b"\n") for part in sent[:-1])
    assert all(len(part) <= aim or count_lines(part) == 1 for part in sent)


def test_a_file_that_was_changed_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"1\n")
    with pytest.raises(ArtifactError, match="changed meanwhile"):
        next(cut_ranges(str(tmp_path / "rows"), "another", 0, 10, 10, 1))


@given(st.integers(1, 10**9), st.integers(1, 10))
def test_batches_become_smaller_towards_the_end(left: int, lanes: int) -> None:
    size = range_size(left, 512 * 1024, lanes)
    assert line_ranges.MIN_SIZE <= size <= 512 * 1024
    assert size == line_ranges.MIN_SIZE or size == 512 * 1024 or size * lanes * 2 <= left
