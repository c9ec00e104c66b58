"""Lines of captures and of ground truth: each is an entry or a named problem."""

import json
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.rows.label_lines import Label, LineProblem, Prediction, check_place, read_label, read_prediction

TIME = "2026-03-01T12:00:00Z"
AT = 1_772_366_400.0


def captured(data: str, encoding: str = "CSV", **about: Any) -> bytes:
    metadata = {"eventId": "e1", "inferenceTime": TIME, **about}
    output = {"observedContentType": "text/csv", "mode": "OUTPUT", "data": data, "encoding": encoding}
    document = {"captureData": {"endpointOutput": output}, "eventMetadata": metadata, "eventVersion": "0"}
    return json.dumps(document).encode()


def truth(data: Any, **about: Any) -> bytes:
    metadata = {"eventId": "e1", **about}
    return json.dumps(
        {"groundTruthData": {"data": data, "encoding": "CSV"}, "eventMetadata": metadata, "eventVersion": "0"}
    ).encode()


@pytest.mark.parametrize(
    ("line", "where", "found"),
    [
        (captured("0.25\n"), "", Prediction("e1", AT, 0.25)),
        (captured("0.25", inferenceId="order-7"), "", Prediction("order-7", AT, 0.25)),
        (captured("0.1,0.9"), "1", Prediction("e1", AT, 0.9)),
        (captured("0.1,0.9"), "", LineProblem.NO_SCORE),
        (captured("0.1\n0.9"), "", LineProblem.NO_SCORE),
        (captured("0.1,0.9"), "2", LineProblem.NO_SCORE),
        (captured("nan"), "", LineProblem.NO_SCORE),
        (captured("1e400"), "", LineProblem.NO_SCORE),
        (captured("[0.5]", "JSON"), "", Prediction("e1", AT, 0.5)),
        (captured('{"predictions": [[0.5]]}', "JSON"), "", Prediction("e1", AT, 0.5)),
        (captured('{"predictions": [{"score": 0.5, "x": 1}]}', "JSON"), "", LineProblem.NO_SCORE),
        (captured('{"p": [{"score": 0.5, "x": 1}]}', "JSON"), "p[0].score", Prediction("e1", AT, 0.5)),
        (captured("[[1, 2], [3, 4]]", "JSON"), "[1][0]", Prediction("e1", AT, 3.0)),
        (captured('{"p": [true]}', "JSON"), "p[0]", LineProblem.NO_SCORE),
        (captured("{", "JSON"), "", LineProblem.NO_SCORE),
        (captured("AAAA", "BASE64"), "", LineProblem.NO_SCORE),
        (captured("0.5", inferenceTime="yesterday"), "", LineProblem.NO_TIME),
        (captured("0.5", eventId=""), "", LineProblem.NO_ID),
        (b'{"captureData": {}}', "", LineProblem.BROKEN),
        (b"half a li", "", LineProblem.BROKEN),
        (b"[]", "", LineProblem.BROKEN),
        (b"\xff", "", LineProblem.BROKEN),
        (
            json.dumps({"eventMetadata": {"eventId": "e", "inferenceTime": TIME}}).encode(),
            "",
            LineProblem.NO_SCORE,
        ),
    ],
)
def test_a_captured_line_is_a_prediction_or_a_problem(line: bytes, where: str, found: object) -> None:
    assert read_prediction(line, where) == found


@pytest.mark.parametrize(
    ("line", "path", "found"),
    [
        (truth("1"), "", Label("e1", 1.0, None)),
        (truth(1), "", Label("e1", 1.0, None)),
        (truth("1", labelTime=TIME), "", Label("e1", 1.0, AT)),
        (truth("1"), "labels/2026/03/01/12/00-00-000.jsonl", Label("e1", 1.0, AT)),
        (truth("1"), "labels/2026/99/01/12/00-00-000.jsonl", Label("e1", 1.0, None)),
        (truth("1", labelTime="soon"), "", LineProblem.NO_TIME),
        (truth("fraud"), "", LineProblem.NO_NUMBER),
        (truth("nan"), "", LineProblem.NO_NUMBER),
        (truth("1e100"), "", Label("e1", 1e100, None)),
        (truth("-1e200"), "", LineProblem.NO_NUMBER),
        (truth("1" + "0" * 400), "", LineProblem.NO_NUMBER),
        (truth(None), "", LineProblem.NO_NUMBER),
        (truth(True), "", LineProblem.NO_NUMBER),
        (truth("1", eventId=None), "", LineProblem.NO_ID),
        (b'{"groundTruthData": "1"}', "", LineProblem.BROKEN),
        (b'{"id": "e1", "label": 1}', "", Label("e1", 1.0, None)),
        (b'{"id": "e1", "label": "1"}', "labels/2026/03/01/12/00-00-000.jsonl", Label("e1", 1.0, AT)),
        (
            json.dumps({"id": "e", "label": 0, "at": TIME, "probability": 0.5}).encode(),
            "",
            Label("e", 0.0, AT, 0.5),
        ),
        (b'{"id": "e1", "label": 1, "at": "soon"}', "", LineProblem.NO_TIME),
        (b'{"id": 7, "label": 1}', "", LineProblem.NO_ID),
        (b'{"id": "e1", "label": "fraud"}', "", LineProblem.NO_NUMBER),
        (b'{"id": "e1", "label": 1, "score": 3}', "", LineProblem.BROKEN),
        (b"1", "", LineProblem.BROKEN),
    ],
)
def test_a_line_of_ground_truth_is_a_label_or_a_problem(line: bytes, path: str, found: object) -> None:
    assert read_label(line, path) == found


@pytest.mark.parametrize("where", ["", "1", "score", "p[0].score", "[0][1]", "a.b.c"])
def test_a_place_is_names_and_numbers(where: str) -> None:
    check_place(where)


@pytest.mark.parametrize("where", [".", "p[x]", "p[0", "a..b", "p[0]score"])
def test_what_is_no_place_is_refused(where: str) -> None:
    with pytest.raises(Invalid, match="is no place of a score"):
        check_place(where)
