"""Bodies that are kept in a file: read as often as is asked, and as bytes only when somebody wants them so."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.body_spool import CHUNK, LargeCall, Spool


def spooled(folder: Path, body: bytes) -> Spool:
    spool = Spool(folder)
    for at in range(0, len(body), 1000):
        spool.add(body[at : at + 1000])
    return spool


def test_it_is_read_from_its_beginning_each_time_and_leaves_no_file(tmp_path: Path) -> None:
    body = bytes(range(250)) * (3 * CHUNK // 250)
    spool = spooled(tmp_path, body)
    assert len(spool) == len(body)
    for _ in range(2):
        assert b"".join(spool.parts()) == body
    assert spool.view() == body
    assert list(tmp_path.iterdir()) == []


def test_a_call_gives_its_file_up_once_its_body_is_asked_for(tmp_path: Path) -> None:
    call = LargeCall(spooled(tmp_path, b"a body"), {b"accept": b"text/csv"})
    assert call.spool
    assert call.accept == "text/csv"
    assert call.body == b"a body"
    assert call.spool is None  # type: ignore[comparison-overlap,unused-ignore]
    changed = LargeCall(spooled(tmp_path, b"a body"), {})
    changed.body = b"another"
    assert changed.body == b"another"
    assert changed.spool is None


@given(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.integers(1, 200)
)
def test_it_is_read_by_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int
) -> None:
    body = b"\n".join(lines)
    blocks = list(spooled(tmp_path_factory.getbasetemp(), body).lines(size))
    assert b"".join(blocks) == body
    assert all(block.endswith(b"\n") for block in blocks[:-1]) and all(blocks)
    longest = max(map(len, lines), default=0)
    assert all(len(block) <= 2 * size + longest for block in blocks)
