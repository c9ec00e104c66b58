"""AWS's XGBoost images: what they take and how they answer, as their container's source has it."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.unit.serving.runtimes.user_code_harness import call
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Answer, ModelFailed, Stream
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.engines.mapped_forest import open_forest, write_forest
from tidegate.serving.formats import recordio
from tidegate.serving.formats.recordio import _field as field
from tidegate.serving.formats.recordio import _frame as framed
from tidegate.serving.front.responses import Responses
from tidegate.serving.runtimes import load
from tidegate.serving.scoring.batching import score_requests
from tidegate.serving.scoring.chunked_scoring import answer_blocks
from tidegate.serving.scoring.file_ranges import Records

AWS, OWN = RuntimeKind.SAGEMAKER_XGBOOST, RuntimeKind.XGBOOST
CSV, JSON, LINES, LIBSVM = "text/csv", "application/json", "application/jsonlines", "text/libsvm"
RECORDIO = "application/x-recordio-protobuf"
NAN = math.nan
ROWS = np.array([[0.5, NAN, -1.0], [NAN, 2.0, NAN], [1.5, 0.0, 3.0]])


def trained(
    folder: Path, objective: str = "binary:logistic", first: bool = True, classes: int = 0
) -> xgboost.Booster:
    """Of three features, all of which count; without ``first`` its first one does not."""
    random = np.random.default_rng(5)
    rows = random.normal(size=(400, 3))
    rows[random.random(rows.shape) < 0.2] = NAN
    if not first:
        rows[:, 0] = NAN
    score = np.nan_to_num(rows) @ [1.0, -2.0, 0.7]
    label: Any = np.digitize(score, [-1, 1]) if "multi" in objective else score > 0
    if objective.startswith(("reg:", "count:")):
        label = np.exp(score / 3)
    if objective == "reg:logistic":
        label = 1 / (1 + np.exp(-score))
    settings: dict[str, object] = {"objective": objective, "max_depth": 3, "nthread": 1}
    if classes:
        settings["num_class"] = classes
    booster = xgboost.train(settings, xgboost.DMatrix(rows, label), 8)
    folder.mkdir(exist_ok=True)
    booster.save_model(folder / "xgboost-model.ubj")
    (folder / "xgboost-model.ubj").rename(folder / "xgboost-model")
    return booster


def served(folder: Path, environment: Mapping[str, str] | None = None, kind: RuntimeKind = AWS) -> Any:
    return load(kind, folder, environment or {})


def ask(model: Any, body: bytes, content_type: str = CSV, accept: str = "") -> Answer:
    asked = call(body, content_type, accept)
    [scores] = score_requests(model, [model.parse(asked)])
    answer: Answer = model.render(scores, asked)
    return answer


def values(answer: Answer) -> list[float]:
    return [float(line) for line in answer.body.decode().splitlines()]


def refused(model: Any, body: bytes, content_type: str = LIBSVM, accept: str = "") -> tuple[int, str]:
    with pytest.raises(ModelFailed) as caught:
        ask(model, body, content_type, accept)
    return caught.value.status, caught.value.message


def libsvm(rows: Any, base: int = 1, label: str = "") -> bytes:
    lines = []
    for row in rows:
        pairs = [f"{at + base}:{value!r}" for at, value in enumerate(row.tolist()) if value == value]
        lines.append(" ".join([label, *pairs]).strip() or "0")
    return "\n".join(lines).encode()


def expected(booster: xgboost.Booster, rows: Any) -> list[float]:
    found: list[float] = booster.predict(xgboost.DMatrix(rows, missing=NAN)).tolist()
    return found


@pytest.fixture
def booster(tmp_path: Path) -> xgboost.Booster:
    return trained(tmp_path / "model")


@pytest.fixture
def model(booster: xgboost.Booster, tmp_path: Path) -> Any:
    return served(tmp_path / "model")


# --- libsvm ---


@pytest.mark.parametrize("kind", [LIBSVM, "text/x-libsvm", "text/libsvm; charset=utf-8", ""])
@pytest.mark.parametrize("label", ["", "1", "-0.5"])
def test_libsvm_counts_from_one_and_absent_features_are_missing(
    model: Any, booster: xgboost.Booster, kind: str, label: str
) -> None:
    answer = ask(model, libsvm(ROWS, label=label), kind)
    assert answer.content_type == CSV
    np.testing.assert_allclose(values(answer), expected(booster, ROWS), atol=1e-6)


def test_a_row_of_nothing_but_a_label_has_all_features_missing(model: Any, booster: xgboost.Booster) -> None:
    rows = np.vstack([ROWS, [[NAN, NAN, NAN]]])
    np.testing.assert_allclose(values(ask(model, libsvm(rows), LIBSVM)), expected(booster, rows), atol=1e-6)


def test_what_an_index_means_does_not_hang_on_the_other_rows(
    model: Any, booster: xgboost.Booster, tmp_path: Path
) -> None:
    """AWS's container reads indices from 0 as soon as some row of the request has an index 0."""
    assert refused(model, b"0:1 1:2\n1:3\n") == (
        400,
        "Row 1: index 0, where indices count from 1; if yours count from 0, set LIBSVM_INDEX_BASE=0 in the model's"
        " environment.",
    )
    from_zero = served(tmp_path / "model", {"LIBSVM_INDEX_BASE": "0"})
    for rows in (ROWS, ROWS[1:2], ROWS[:1]):
        answer = ask(from_zero, libsvm(rows, base=0), LIBSVM)
        np.testing.assert_allclose(values(answer), expected(booster, rows), atol=1e-6)
    assert "index 3 is beyond the model's 3 features, counted from 0" in refused(from_zero, b"3:1")[1]


def test_a_model_trained_on_a_file_that_counts_from_one(tmp_path: Path) -> None:
    """XGBoost reads such a file as it is: its first column is empty, and a request's indices are its columns. Nothing
    in the file tells that from a model that has no use for its first feature."""
    booster = trained(tmp_path / "model", first=False)
    rows = np.array([[NAN, 0.5, 2.0], [NAN, -1.0, NAN]])
    undecided = served(tmp_path / "model")
    status, message = refused(undecided, b"1:0.5 2:2.0\n1:-1\n")
    assert status == 400
    assert "index 1 may be its feature 1 or 2" in message
    assert "LIBSVM_INDEX_BASE in the model's environment" in message
    as_trained = served(tmp_path / "model", {"LIBSVM_INDEX_BASE": "0"})
    answer = ask(as_trained, b"1:0.5 2:2.0\n1:-1\n", LIBSVM)
    np.testing.assert_allclose(values(answer), expected(booster, rows), atol=1e-6)
    # Where only one of the two makes sense there is nothing to decide.
    for body in (libsvm(ROWS[:1]), libsvm(ROWS[:1], base=0)):
        np.testing.assert_allclose(values(ask(undecided, body, LIBSVM)), expected(booster, ROWS[:1]), atol=1e-6)


def test_what_indices_count_from_is_0_or_1(booster: xgboost.Booster, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="LIBSVM_INDEX_BASE must be 0 or 1, not '2'"):
        served(tmp_path / "model", {"LIBSVM_INDEX_BASE": "2"})


BAD_LINES = {
    b"1:1\n4:2\n": "Row 2: index 4 is beyond the model's 3 features, counted from 1.",
    b"1:1\n\n1:2\n": "Row 2: the line is empty; a row without features is a label alone.",
    b"1:1\n1:2\n\n": "Row 3: the line is empty; a row without features is a label alone.",
    b"1:1\n1:1 2:x\n": "Row 2: index 2: 'x' is not a number.",
    b"1:1\n1:1 2:\n": "Row 2: index 2: '' is not a number.",
    b"1:1\nx 2:1\n": "Row 2: label: 'x' is not a number.",
    b"1:1 2:1_0": "Row 1: index 2: '1_0' is not a number.",
    b"1 qid:1 2:1": "Row 1: 'qid:1' is not index:value.",
    b"1 5 2:1": "Row 1: '5' is not index:value.",
    b"-1:2": "Row 1: '-1:2' is not index:value.",
    b"1.0:2": "Row 1: '1.0:2' is not index:value.",
    b"2:1 2:3": "Row 1: index 2 is given twice.",
    b"2:inf": "Row 1: index 2: the value is infinite.",
    b"2:1e39": "Row 1, column 2: the value is infinite or beyond float32.",
    b"1:1\r2:2": "Row 1: a carriage return stands alone; lines end with \\n or \\r\\n.",
    b"1,2,3": "Row 1: label: '1,2,3' is not a number.",
    b"1:2,2:3": "Row 1: index 1: '2,2:3' is not a number.",
}


@pytest.mark.parametrize(("body", "said"), BAD_LINES.items())
def test_a_line_that_is_wrong_is_named(model: Any, body: bytes, said: str) -> None:
    assert refused(model, body) == (400, said)


def test_a_few_bytes_make_no_huge_table(tmp_path: Path) -> None:
    rows = np.zeros((20, 5000))
    rows[:10, 0] = 1
    (tmp_path / "model").mkdir()
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, rows[:, 0]), 1)
    booster.save_model(tmp_path / "model" / "m.ubj")
    found = refused(served(tmp_path / "model"), b"1\n" * 4000)
    assert found == (400, "4000 rows of 5000 features are too large a table; send fewer.")


def test_ends_of_lines_comments_and_spaces(model: Any, booster: xgboost.Booster) -> None:
    body = b"\xef\xbb\xbf1 1:0.5\t3:-1  # first\r\n 2:2 \r\n1:1.5 2:0 3:3\r\n"
    np.testing.assert_allclose(values(ask(model, body, LIBSVM)), expected(booster, ROWS), atol=1e-6)


def test_other_images_do_not_take_libsvm(booster: xgboost.Booster, tmp_path: Path) -> None:
    assert refused(served(tmp_path / "model", kind=OWN), libsvm(ROWS))[0] == 415


def test_a_large_body_in_blocks_and_a_part_of_a_job(model: Any, booster: xgboost.Booster, tmp_path: Path) -> None:
    rows = np.tile(ROWS, (50, 1))
    body = libsvm(rows)
    assert model.by_lines(call(body, LIBSVM))
    spool = Spool(tmp_path)
    spool.add(body)
    found = answer_blocks(model, LargeCall(spool, call(b"", LIBSVM).headers), spool, block=200)
    assert not isinstance(found, Stream)
    assert isinstance(found, Answer)
    np.testing.assert_allclose(values(found), expected(booster, rows), atol=1e-6)
    job = call(body, LIBSVM, **{"x-tidegate-first-record": "0"})
    records = Records(model)
    [scores] = score_requests(records, [records.parse(job)])
    np.testing.assert_allclose(scores, expected(booster, rows), atol=1e-6)


def test_a_model_that_starts_from_its_trees_alone(booster: xgboost.Booster, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_forest(AWS, folder, {})
    quick = open_forest(AWS, folder, {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label"})
    assert quick is not None
    labels = [
        json.loads(line)["predicted_label"] for line in ask(quick, libsvm(ROWS), LIBSVM, LINES).body.splitlines()
    ]
    assert labels == [int(one > 0.5) for one in expected(booster, ROWS)]
    trained(tmp_path / "other", first=False)
    write_forest(AWS, tmp_path / "other", {})
    undecided = open_forest(AWS, tmp_path / "other", {})
    assert "may be its feature 1 or 2" in refused(undecided, b"1:0.5")[1]


# --- RecordIO-protobuf ---


def tensor(kind: int, values: bytes, keys: bytes = b"", shape: bytes = b"") -> bytes:
    inner = field(1, values) + (field(2, keys) if keys else b"") + (field(3, shape) if shape else b"")
    return field(1, field(1, b"values") + field(2, field(kind, inner)))


def dense(row: Any, kind: str = "<f4") -> bytes:
    return tensor({"<f4": 2, "<f8": 3}[kind], np.asarray(row, kind).tobytes())


def sparse(row: Any, shape: int | None = 3) -> bytes:
    at = [number for number, value in enumerate(row) if value == value]
    width = bytes([shape]) if shape else b""
    return tensor(2, np.asarray(row, "<f4")[at].tobytes(), bytes(at), width)


@pytest.mark.parametrize(
    "body",
    [
        b"".join(framed(dense(row)) for row in ROWS),
        b"".join(framed(dense(row, "<f8")) for row in ROWS),
        b"".join(framed(sparse(row)) for row in ROWS),
        b"".join(framed(sparse(row, None)) for row in ROWS),
        b"".join(framed(dense(row) + field(2, b"\n\x06values\x12\x00")) for row in ROWS),
    ],
    ids=["float32", "float64", "sparse", "sparse without a width", "with a label"],
)
def test_records_are_rows(model: Any, booster: xgboost.Booster, body: bytes) -> None:
    np.testing.assert_allclose(values(ask(model, body, RECORDIO)), expected(booster, ROWS), atol=1e-6)


def test_whole_numbers_and_a_record_without_its_frame(model: Any, booster: xgboost.Booster) -> None:
    record = tensor(7, b"\x02\x00" + b"\xff" * 9 + b"\x01")
    rows = np.array([[2.0, 0.0, -1.0]])
    for body in (framed(record), record):
        np.testing.assert_allclose(values(ask(model, body, RECORDIO)), expected(booster, rows), atol=1e-6)


def test_a_sparse_record_of_nothing(model: Any, booster: xgboost.Booster) -> None:
    rows = np.full((1, 3), NAN)
    body = framed(tensor(2, b"", b"", b"\x03"))
    np.testing.assert_allclose(values(ask(model, body, RECORDIO)), expected(booster, rows), atol=1e-6)


WHOLE = framed(dense([1, 2, 3]))
BAD_RECORDS = {
    WHOLE + framed(dense([1, 2])): "Row 2: the record has 2 values; the model takes 3.",
    WHOLE + framed(b""): "Row 2: the record has 0 features 'values'; expected one.",
    framed(dense([1, 2, 3]) * 2): "Row 1: the record has 2 features 'values'; expected one.",
    WHOLE + WHOLE[:-1]: "Row 2: the body ends within a RecordIO frame.",
    WHOLE + b"\n": "Row 2: the body ends within a RecordIO frame.",
    WHOLE + b"\0" * 8: "Row 2: no whole RecordIO frame where one should begin.",
    framed(sparse([1, 2, 3], 4)): "Row 1: the record's shape is 4; the model takes 3.",
    framed(tensor(2, b"\0" * 8, b"\0\0", b"\x03")): "Row 1: a key is given twice.",
    framed(
        tensor(2, b"\0" * 8, b"\0\3", b"\x03")
    ): "Row 1: key 3 is beyond the model's 3 features, counted from 0.",
    framed(tensor(2, b"\0" * 8, b"\0", b"\x03")): "Row 1: the record has 1 keys and 2 values.",
    framed(tensor(9, b"abc")): "Row 1: the feature is no tensor of float32, float64 or int32.",
    framed(tensor(2, b"abc")): "Row 1: the protobuf message is damaged.",
    framed(field(1, b"\xff")): "Row 1: the protobuf message is cut off.",
    framed(b"\x0b"): "Row 1: the protobuf message is damaged.",
    framed(b"\xff" * 12): "Row 1: the protobuf message is damaged.",
    framed(b"\x08\x01"): "Row 1: the protobuf message is no Record.",
    framed(dense([1, NAN, math.inf])): "Row 1, column 3: the value is infinite or beyond float32.",
}


@pytest.mark.parametrize(("body", "said"), BAD_RECORDS.items())
def test_a_record_that_is_wrong_is_named(model: Any, body: bytes, said: str) -> None:
    assert refused(model, body, RECORDIO) == (400, said)


@pytest.mark.parametrize("at", range(0, len(WHOLE)))
def test_a_cut_record_is_refused(model: Any, at: int) -> None:
    if at:
        assert refused(model, WHOLE[:at], RECORDIO)[0] == 400


# --- CSV ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_delimiter_is_seen(model: Any, booster: xgboost.Booster, delimiter: str, end: str) -> None:
    rows = np.array([[0.5, 1.0, -1.0], [1.0, 2.0, 3.0]])
    body = "".join(delimiter.join(map(str, row)) + end for row in rows.tolist()).encode()
    np.testing.assert_allclose(values(ask(model, body)), expected(booster, rows), atol=1e-6)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_an_empty_field_is_missing(model: Any, booster: xgboost.Booster, delimiter: str) -> None:
    body = f"0.5{delimiter}{delimiter}-1\n".encode()
    np.testing.assert_allclose(values(ask(model, body)), expected(booster, ROWS[:1]), atol=1e-6)


def test_no_delimiter_is_guessed_where_it_could_be_another(model: Any) -> None:
    assert refused(model, b"1,5;2,5;3,5\n", CSV)[1] == "Row 1 has 4 columns; the model takes 3."
    assert refused(model, b"1;2;3\n1,2,3\n", CSV) == (
        400,
        "Some lines have commas and the first one is delimited by ';'.",
    )
    assert refused(model, b"1 2 3\n1  3\n", CSV)[1] == (
        "Row 2: two spaces stand together in fields delimited by spaces."
    )
    assert refused(model, b"1;2;3\n1;2\n", CSV)[1] == "Row 2 has 2 columns; the model takes 3."
    assert refused(model, b"1;2\n", CSV)[0] == 400


def test_other_images_take_commas_alone(booster: xgboost.Booster, tmp_path: Path) -> None:
    assert refused(served(tmp_path / "model", kind=OWN), b"1;2;3\n", CSV)[0] == 400


# --- an empty body ---


@pytest.mark.parametrize("kind", [CSV, JSON, LIBSVM, RECORDIO, ""])
def test_an_empty_body_is_answered_204(model: Any, kind: str) -> None:
    answer = ask(model, b"", kind)
    assert (answer.body, answer.status) == (b"", 204)


def test_an_empty_body_among_others(model: Any, booster: xgboost.Booster) -> None:
    bodies = [b"", libsvm(ROWS), b"", b""]
    results = score_requests(model, [model.parse(call(body, LIBSVM)) for body in bodies])
    assert [len(each) for each in results] == [0, 3, 0, 0]
    np.testing.assert_allclose(results[1], expected(booster, ROWS), atol=1e-6)
    assert [len(each) for each in score_requests(model, [model.parse(call(b"", CSV))] * 2)] == [0, 0]
    assert len(model.score_again(model.parse(call(b"", CSV)))) == 0


def test_an_empty_body_is_an_error_for_other_images(booster: xgboost.Booster, tmp_path: Path) -> None:
    assert refused(served(tmp_path / "model", kind=OWN), b"", CSV) == (400, "The request has no rows.")


@pytest.mark.parametrize(("queued", "status"), [(False, b"HTTP/1.1 204"), (True, b"HTTP/1.1 200")])
def test_a_queue_is_told_by_200(queued: bool, status: bytes) -> None:
    head = Responses(
        ReplicaSpec(
            replica="r", fleet=FleetId("e", 1, "v"), config_name="c", containers=(), socket="/s", queued=queued
        )
    ).success(Answer(b"", CSV, status=204), close=False)
    assert head.startswith(status)
    assert (b"content-length" in head) is queued


# --- answers ---


def test_scores_in_json(model: Any, booster: xgboost.Booster, tmp_path: Path) -> None:
    wanted = expected(booster, ROWS)
    body = b"0.5,,-1\n,2,\n1.5,0,3\n"
    document = json.loads(ask(model, body, CSV, JSON).body)
    assert set(document) == {"predictions"}
    np.testing.assert_allclose([row["score"] for row in document["predictions"]], wanted, atol=1e-6)
    lines = ask(model, body, CSV, LINES)
    assert lines.content_type == LINES
    np.testing.assert_allclose([json.loads(one)["score"] for one in lines.body.splitlines()], wanted, atol=1e-6)
    own = json.loads(ask(served(tmp_path / "model", kind=OWN), body, CSV, JSON).body)
    np.testing.assert_allclose(own["predictions"], wanted, atol=1e-6)


def test_scores_of_several_classes_are_lists(tmp_path: Path) -> None:
    booster = trained(tmp_path / "model", "multi:softprob", classes=3)
    found = json.loads(ask(served(tmp_path / "model"), libsvm(ROWS), LIBSVM, JSON).body)["predictions"]
    np.testing.assert_allclose([row["score"] for row in found], expected(booster, ROWS), atol=1e-6)


def test_an_unknown_content_type_names_those_of_the_image(model: Any) -> None:
    status, message = refused(model, b"x", "image/png")
    assert status == 415
    assert "text/libsvm" in message


# --- SAGEMAKER_INFERENCE_OUTPUT ---

ALL = "predicted_label,labels,probability,probabilities,raw_score,raw_scores,predicted_score"


def of_binary(value: float) -> dict[str, Any]:
    both = [1.0 - value, value]
    return {
        "predicted_label": int(value > 0.5),
        "labels": [0, 1],
        "probability": value,
        "probabilities": both,
        "raw_score": value,
        "raw_scores": both,
    }


def of_raw(value: float) -> dict[str, Any]:
    found = of_binary(value)
    return {
        "predicted_label": int(value > 0),
        **{key: found[key] for key in ("labels", "raw_score", "raw_scores")},
    }


def of_label(value: float) -> dict[str, Any]:
    return {**of_raw(value), "predicted_label": value}


def of_softmax(value: float) -> dict[str, Any]:
    return {**of_label(value), "labels": [0, 1, 2]}


def of_softprob(values: list[float]) -> dict[str, Any]:
    return {
        "predicted_label": values.index(max(values)),
        "labels": [0, 1, 2],
        **dict.fromkeys(("probability", "raw_score"), max(values)),
        **dict.fromkeys(("probabilities", "raw_scores"), values),
    }


def of_regression(value: float) -> dict[str, Any]:
    return {"predicted_score": value}


OBJECTIVES: dict[str, Any] = {
    "binary:logistic": of_binary,
    "binary:logitraw": of_raw,
    "binary:hinge": of_label,
    "multi:softmax": of_softmax,
    "multi:softprob": of_softprob,
    **dict.fromkeys(
        ("reg:squarederror", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie"), of_regression
    ),
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_selected_content_of_each_objective(tmp_path: Path, objective: str) -> None:
    booster = trained(tmp_path / "model", objective, classes=3 if "multi" in objective else 0)
    model = served(tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": ALL})
    found = json.loads(ask(model, libsvm(ROWS), LIBSVM, JSON).body)["predictions"]
    wanted = [OBJECTIVES[objective](value) for value in expected(booster, ROWS)]
    assert len(found) == len(wanted)
    for row, right in zip(found, wanted, strict=True):
        assert set(row) == set(ALL.split(","))
        for key, value in row.items():
            if key in right:
                np.testing.assert_allclose(value, right[key], atol=1e-6)
            else:
                assert value is None  # NaN
    lines = [json.loads(line) for line in ask(model, libsvm(ROWS), LIBSVM, LINES).body.splitlines()]
    assert lines == found


def test_selected_content_in_csv_has_the_order_that_was_given(tmp_path: Path) -> None:
    booster = trained(tmp_path / "model")
    model = served(
        tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": "Probabilities, predicted_label ,predicted_score"}
    )
    [first, *_] = ask(model, b"0.5,,-1\n", CSV, CSV).body.decode().splitlines()
    [value] = expected(booster, ROWS[:1])
    lists, _, rest = first.removeprefix('"').partition('"')
    np.testing.assert_allclose(json.loads(lists), [1 - value, value], atol=1e-6)
    assert rest == f",{int(value > 0.5)},nan"


def test_selected_content_as_records(tmp_path: Path) -> None:
    booster = trained(tmp_path / "model")
    model = served(tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": "probability,labels"})
    answer = ask(model, libsvm(ROWS), LIBSVM, RECORDIO)
    assert answer.content_type == RECORDIO
    records = list(recordio._records(answer.body))
    assert len(records) == 3
    for record, value in zip(records, expected(booster, ROWS), strict=True):
        assert struct.pack("<f", 0) + struct.pack("<f", 1) in record  # the labels
        number = record.index(b"probability") + len("probability") + 6
        assert abs(struct.unpack_from("<f", record, number)[0] - value) < 1e-6


@pytest.mark.parametrize("accept", ["application/x-npy", "image/png"])
def test_selected_content_has_no_other_form(booster: xgboost.Booster, tmp_path: Path, accept: str) -> None:
    model = served(tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": "probability"})
    assert refused(model, b"1,2,3", CSV, accept)[0] == 406


@pytest.mark.parametrize("said", ["probabilty", "probability,", "label"])
def test_a_key_that_is_none_fails_the_start(booster: xgboost.Booster, tmp_path: Path, said: str) -> None:
    with pytest.raises(Invalid, match="SAGEMAKER_INFERENCE_OUTPUT is a list of predicted_label, "):
        served(tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": said})


def test_an_objective_that_has_none_fails_the_start(tmp_path: Path) -> None:
    trained(tmp_path / "model", "count:poisson")
    with pytest.raises(ArtifactError, match="does not go with a model of the objective count:poisson"):
        served(tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_score"})


def test_other_images_do_not_know_the_variable(booster: xgboost.Booster, tmp_path: Path) -> None:
    model = served(tmp_path / "model", {"SAGEMAKER_INFERENCE_OUTPUT": "labels"}, OWN)
    assert isinstance(json.loads(ask(model, b"1,2,3", CSV, JSON).body)["predictions"][0], float)
