"""Lines as records: of transform jobs, whose every line gets an answer, and of large bodies, read in blocks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.serving.formats.test_content_types import BAD_LINES, BOM, THREE
from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats.content_types import JSON_LINES
from tidegate.serving.formats.row_decoder import CSV, ColumnType, Features, ValueKind
from tidegate.serving.formats.typed_rows import TypedInput, TypedRows
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.runtimes.typed_scorer import ColumnTable
from tidegate.serving.scoring.chunked_scoring import answer_blocks
from tidegate.serving.scoring.file_ranges import FIRST, Records

WEIGHTS = np.array([1, 10, 100])


def as_records(body: bytes, kind: str, first: bytes = b"1", features: Features = THREE) -> list[float]:
    scorer = Records(TabularScorer(lambda found: found @ WEIGHTS[: found.shape[1]], features, None))
    call = Call(body, {b"content-type": kind.encode(), FIRST: first})
    found: list[float] = scorer.score([scorer.parse(call)])[0].tolist()
    return found


def test_a_header_is_no_record() -> None:
    with pytest.raises(
        ModelFailed, match="Row 1 is a header, and every line of a job with SplitType Line is a record"
    ):
        as_records(b"a,b,c\n1,2,3\n", CSV)
    with pytest.raises(ModelFailed, match="Row 1 is a header"):
        as_records(b"0,1,2\n5,6,7\n", CSV, features=Features(3, ["0", "1", "2"]))
    assert as_records(b"0,1,2\n5,6,7\n", CSV, b"0", Features(3, ["0", "1", "2"])) == [210, 765]


def test_every_line_of_a_transform_job_is_a_record() -> None:
    assert as_records(b"1,2,3\r\n4,5,6", CSV) == [321, 654]
    assert as_records(b"[1,2,3]\n[4,5,6]\n", JSON_LINES) == [321, 654]


def test_a_model_that_gives_another_number_of_answers_gives_none(tmp_path: Path) -> None:
    scorer = TabularScorer(lambda found: found[:-1, 0], THREE, None)
    spool = Spool(tmp_path)
    spool.add(b"1,2,3\n4,5,6\n")
    call = LargeCall(spool, {b"content-type": b"text/csv"})
    with pytest.raises(ModelFailed, match=r"The model gave 1 answer\(s\) for 2 row\(s\)"):
        answer_blocks(scorer, call, spool)
    one = np.zeros((2, 3), np.float32)
    with pytest.raises(ModelFailed, match=r"The model gave 3 answer\(s\) for 4 row\(s\)"):
        scorer.score([one, one])


def test_the_first_line_of_a_block_is_no_header(tmp_path: Path) -> None:
    def outcome(body: bytes, block: int) -> Any:
        spool = Spool(tmp_path)
        spool.add(body)
        scorer = TabularScorer(lambda found: found[:, 0], Features(3, ["0", "1", "2"]), None)
        return answer_blocks(scorer, LargeCall(spool, {b"content-type": b"text/csv"}), spool, block)

    body = b"7,8,9\n" + b"0,1,2\n" * 4
    for block in range(1, len(body) + 1):
        assert outcome(body, block).body == b"7.0\n0.0\n0.0\n0.0\n0.0\n"
    body = b"0,1,2\n7,8,9\n0,1,2\n9,9,9\n"
    for block in range(1, len(body) + 1):
        assert outcome(body, block).body == b"7.0\n0.0\n9.0\n"


@pytest.mark.parametrize(("body", "said"), BAD_LINES)
def test_a_line_that_an_endpoint_refuses_a_transform_job_refuses(body: bytes, said: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        as_records(body, JSON_LINES)
    assert caught.value.message.startswith(said)


def test_a_byte_order_mark_begins_an_object_and_nothing_else() -> None:
    for body, kind in ((b"1,2,3\n", CSV), (b"[1,2,3]\n", JSON_LINES), (b'{"c":3,"b":2,"a":1}\n', JSON_LINES)):
        assert as_records(BOM + body, kind) == [321]
        with pytest.raises(ModelFailed, match="Row 1"):
            as_records(BOM + body, kind, first=b"0")


MARKED = Features(2, ["t", "n"], [ColumnType(ValueKind.CATEGORY, ("bom", "\ufeffbom")), ColumnType()])
MARKED_TYPED = TypedRows(
    [TypedInput("t", np.dtype(object), texts=frozenset({"bom", "\ufeffbom"})), TypedInput("n", np.dtype("f8"))]
)
LINE, QUOTED = BOM + b"bom,5\n", b'"' + BOM + b'bom",5\n'


def table(features: Features | TypedRows) -> TabularScorer:
    if isinstance(features, Features):
        return TabularScorer(lambda found: found[:, 0], features, None)
    return ColumnTable(lambda found: np.array([text.startswith("\ufeff") for text in found["t"]]), features, None)


@pytest.mark.parametrize("features", [MARKED, MARKED_TYPED])
def test_what_may_be_a_mark_or_a_text_is_refused_everywhere_alike(
    features: Features | TypedRows, tmp_path: Path
) -> None:
    """By endpoints (and so by asynchronous requests), of large bodies and in transform jobs."""

    def outcomes(body: bytes) -> Iterator[list[float]]:
        for scorer in (table(features), Records(table(features))):
            rows = scorer.parse(Call(body, {b"content-type": b"text/csv"}))
            yield np.asarray(scorer.score([rows])[0], float).tolist()
        spool = Spool(tmp_path)
        spool.add(body)
        answer: Any = answer_blocks(table(features), LargeCall(spool, {b"content-type": b"text/csv"}), spool, 1)
        yield [float(line in (b"1.0", b"True")) for line in answer.body.splitlines()]

    scorers = (table(features), Records(table(features)))
    for scorer in scorers:
        with pytest.raises(ModelFailed, match="may be a byte order mark or the first character of a category"):
            scorer.parse(Call(LINE, {b"content-type": b"text/csv"}))
    assert list(outcomes(QUOTED)) == [[1], [1], [1]]
    assert list(outcomes(BOM + QUOTED)) == [[1], [1], [1]]
    assert list(outcomes(BOM + b"bom,5\n".replace(b"bom", b'"bom"'))) == [[0], [0], [0]]
    assert list(outcomes(b"bom,5\n" + LINE)) == [[0, 1], [0, 1], [0, 1]]
    later = Records(table(features)).parse(Call(LINE, {b"content-type": b"text/csv", FIRST: b"0"}))
    assert np.asarray(table(features).score([later])[0], float).tolist() == [1]


def test_a_mark_goes_where_no_category_begins_with_it() -> None:
    plain = Features(2, ["t", "n"], [ColumnType(ValueKind.CATEGORY, ("bom", "x")), ColumnType()])
    for scorer in (table(plain), Records(table(plain))):
        rows = scorer.parse(Call(LINE, {b"content-type": b"text/csv"}))
        assert scorer.score([rows])[0].tolist() == [0]
