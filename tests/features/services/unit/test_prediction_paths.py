"""Where the prediction is in an answer: the paths, and those who read answers by them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId
from tidegate.domain.prediction_path import parse_path
from tidegate.domain.registry import Upstream
from tidegate.domain.worker_stats import PREDICTION, UNUSABLE_PREDICTION
from tidegate.features.capture.records import JSON, encode_line, format_about, make_frame
from tidegate.http1.messages import HttpReply
from tidegate.rows.captured_rows import CapturedReader
from tidegate.rows.label_lines import LineProblem, Prediction, check_place, read_prediction
from tidegate.rows.scores import read_scores
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Note
from tidegate.serving.contract.refusals import read_phrases
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.formats.prediction_cut import LARGEST, leave_whole, make_cut
from tidegate.serving.front.body_values import read_numbers
from tidegate.serving.front.compared_counts import ComparedCounts
from tidegate.serving.front.shadow_answers import AGREEMENT, CopiedRequest, ShadowAnswers
from tidegate.serving.front.shadow_log import ShadowLog, ShadowSide
from tidegate.serving.front.text_samples import TextSamples

KIND = "application/json"
ANSWER = {"took_ms": 12, "scores": [0.7, 0.3], "rows": [{"score": 1, "id": 5}, {"score": 2, "id": 6}]}


def body(data: object) -> bytes:
    return json.dumps(data).encode()


def spec(path: str) -> ReplicaSpec:
    choice = RuntimeChoice(RuntimeKind.SERVICE, upstream=Upstream(url="http://x", prediction=path))
    return ReplicaSpec(
        replica="r",
        fleet=FleetId("e", 1, "AllTraffic"),
        config_name="c",
        containers=(ContainerSpec(runtime=choice, model_dir=""),),
        socket="/nowhere",
    )


def cut(path: str, data: object) -> bytes:
    return make_cut(spec(path))(Answer(body(data), KIND)).body


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [ANSWER]),
        ("$.scores[0]", [0.7]),
        ("$['scores'][1]", [0.3]),
        ('$["scores"]', [[0.7, 0.3]]),
        ("$.rows[*].score", [1, 2]),
        ("$.rows[1].id", [6]),
        ("$.scores[2]", []),
        ("$.scores.first", []),
        ("$.none[*]", []),
        ("$[0]", []),
    ],
)
def test_a_path_leads_to_what_is_there_and_nowhere_else(path: str, found: list[object]) -> None:
    assert parse_path(path).find(ANSWER) == found


@pytest.mark.parametrize(
    "path", ["", "scores", "$scores", "$.", "$.a b", "$[x]", "$[-1]", "$..a", "$.a[", "$.a]", "$.a*"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match=r"is no path of a prediction: expected one such as \$\.scores\[0\]"):
        parse_path(path)


def test_the_prediction_is_cut_out_of_answers() -> None:
    assert cut("$.scores[0]", ANSWER) == b"0.7"
    assert cut("$.rows[*].score", ANSWER) == b"[1,2]"
    assert cut("$.rows[*].score", {"rows": []}) == b""
    assert cut("$.scores[0]", {"scores": []}) == b""
    assert make_cut(spec("")) is leave_whole
    for answer in (
        Answer(b"0.7", "text/csv"),
        Answer(b"{", KIND),
        Answer(b'{"scores": [NaN]}', KIND),
        Answer(b" " * LARGEST + b'{"scores": [1]}', KIND),
    ):
        assert make_cut(spec("$.scores[0]"))(answer).body == b""


def test_numbers_of_pairs_are_those_of_the_path() -> None:
    def numbers(path: str, data: object) -> tuple[int, list[Any]]:
        found = read_numbers(cut(path, data), KIND)
        return found.rows, found.numbers

    assert numbers("$.scores[0]", ANSWER) == (1, [(0, 0, 0.7)])
    assert numbers("$.rows[*].score", ANSWER) == (2, [(0, 0, 1.0), (1, 0, 2.0)])
    assert numbers("$.missing", ANSWER) == (0, [])


def test_an_answer_without_a_prediction_counts_as_unusable() -> None:
    noted: list[Note] = []
    counts = ComparedCounts(
        lambda at, note: noted.append(note),
        TextSamples(lambda at, text: None, read_phrases({})),
        make_cut(spec("$.scores[0]")),
    )
    for second, data in enumerate((ANSWER, {"took_ms": 12}, {"scores": ["high"]})):
        counts.offer(second * 1_000_000, Answer(body(data), KIND))
    counts.settle()
    assert noted == [Note(PREDICTION, 0.7), Note(UNUSABLE_PREDICTION, 1), Note(UNUSABLE_PREDICTION, 1)]


@pytest.mark.parametrize(
    ("shadow", "agrees"),
    [({**ANSWER, "took_ms": 99}, 1), ({**ANSWER, "scores": [0.1]}, 0), ({"took_ms": 12}, 0)],
)
async def test_a_shadow_agrees_if_its_prediction_does(shadow: object, agrees: int, tmp_path: Path) -> None:
    noted: list[Note] = []
    answers = ShadowAnswers(
        lambda at, note: noted.append(note),
        ShadowLog(tmp_path / "pairs"),
        lambda size: None,
        print,
        make_cut(spec("$.scores[0]")),
    )

    reply = HttpReply(200, {b"content-type": KIND.encode()}, body(shadow))
    answers.add(CopiedRequest(b"", "", ShadowSide(200, 1, body(ANSWER), KIND), reply, 1, 1))
    answers.settle()
    assert Note(AGREEMENT, agrees) in noted


def captured(answer: object, path: str, sent: object = ((1, 2),)) -> bytes:
    frame = make_frame((KIND, JSON), (KIND, JSON), "c", path)
    return encode_line(frame, body(sent), body(answer), b"id", format_about(0, "", ""))


def test_captures_say_where_the_prediction_is() -> None:
    line = captured(ANSWER, "$.scores[0]")
    assert msgspec.json.decode(line)["captureData"]["endpointOutput"]["predictionPath"] == "$.scores[0]"
    assert b"predictionPath" not in captured(ANSWER, "")
    found = read_prediction(line, "")
    assert isinstance(found, Prediction) and found.score == 0.7
    assert read_prediction(captured(ANSWER, ""), "") is LineProblem.NO_SCORE
    assert read_prediction(captured({"scores": []}, "$.scores[0]"), "") is LineProblem.NO_SCORE
    said = read_prediction(line, "scores[1]")
    assert isinstance(said, Prediction) and said.score == 0.3, "what a user says comes first"
    other = read_prediction(line, "$.rows[0].score")
    assert isinstance(other, Prediction) and other.score == 1
    assert read_prediction(line.replace(b"$.scores[0]", b"scores[["), "") is LineProblem.NO_SCORE


def test_drift_reads_a_prediction_for_each_row() -> None:
    reader = CapturedReader(("a", "b"))
    read = reader.read(captured(ANSWER, "$.rows[*].score", ((1, 2), (3, 4))))
    assert isinstance(read, tuple)
    assert [row["prediction"] for row in read[1]] == [1, 2]
    whole = replace(reader, where="$.scores").read(captured(ANSWER, "", ((1, 2), (3, 4))))
    assert isinstance(whole, tuple)
    assert [row["prediction"] for row in whole[1]] == [0.7, 0.3]


def test_scores_of_a_comparison_are_those_of_the_path() -> None:
    assert read_scores(body(ANSWER), KIND, "$.rows[*].score") == [1, 2]
    assert read_scores(body(ANSWER), KIND, "$.scores[0]") == [0.7]
    assert read_scores(body(ANSWER), KIND, "$.took_ms[*]") is None
    check_place("$.rows[*].score")
    with pytest.raises(Invalid, match="is no path of a prediction"):
        check_place("$rows")
