"""What an answer says is the same in every form, and there is one for every row."""

import asyncio
import json
import math
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from bench.exact.bodies import answers
from tidegate.domain.errors import Invalid
from tidegate.serving.contract.answer_counts import row_by_row, split_answers
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome
from tidegate.serving.formats import arrow_io, tensors
from tidegate.serving.formats.content_types import JSON_LINES
from tidegate.serving.formats.dataframes import SchemaColumn, Signature, Tensor
from tidegate.serving.formats.dataframes import write as write_frame
from tidegate.serving.formats.row_decoder import CSV, JSON, NPY, Features, write
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.scoring.batching import Batcher

FORMS = [JSON, CSV, NPY, JSON_LINES, arrow_io.PARQUET, arrow_io.STREAM, arrow_io.FILE]
ODD = [0.5, math.nan, math.inf, -math.inf, -0.0]


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("values", [ODD, [ODD, ODD[::-1]]], ids=["one", "several"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_number_survives_every_form(kind: str, values: Any, dtype: Any) -> None:
    predictions = np.array(values, dtype)
    np.testing.assert_array_equal(answers(write(predictions, kind).body, kind), predictions)


def test_infinity_has_a_name_in_json_and_nan_is_null() -> None:
    said = write(np.array(ODD), JSON).body
    assert said == b'{"predictions":[0.5,null,"Infinity","-Infinity",-0.0]}'
    assert write(np.array(ODD), CSV).body == b"0.5\nnan\ninf\n-inf\n-0.0\n"
    many = np.full(2000, 0.5)
    many[7] = np.inf
    np.testing.assert_array_equal(answers(write(many, CSV).body, CSV), many)


def test_mlflow_and_tensors_name_infinity_too() -> None:
    frame = pd.DataFrame({"score": [math.inf, math.nan], "name": ["null", None]})
    rows = json.loads(write_frame(frame).body)["predictions"]
    assert rows == [{"score": "Infinity", "name": "null"}, {"score": None, "name": None}]
    assert json.loads(write_frame(np.array([math.inf])).body) == {"predictions": ["Infinity"]}
    handler = tensors.Tensors(lambda rows: {"x": rows / 0, "y": rows}, [tensors.TensorInput("rows")], None)
    with np.errstate(divide="ignore"):
        answer = handler.answer(Call(b"[1, -2]", {}))
    assert json.loads(answer.body) == {"predictions": {"x": ["Infinity", "-Infinity"], "y": [1, -2]}}


def test_a_label_that_a_csv_line_cannot_hold_is_refused() -> None:
    labels = np.array(["a\nb", "c"])
    assert json.loads(write(labels, JSON).body) == {"predictions": ["a\nb", "c"]}
    with pytest.raises(ModelFailed, match="A label has an end of line"):
        write(labels, CSV)
    with pytest.raises(ModelFailed, match="a table for each row, which CSV cannot hold"):
        write(np.zeros((2, 2, 2)), CSV)


# --- one for every row ---


def outcomes(table: TabularScorer, *bodies: bytes) -> list[Outcome]:
    async def main() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        batcher = Batcher(table, loop)
        futures = [loop.create_future() for _ in bodies]
        for body, future in zip(bodies, futures, strict=True):
            batcher.submit(Call(body, {b"content-type": b"text/csv"}), future.set_result)
        found = list(await asyncio.gather(*futures))
        await batcher.close()
        return found

    return asyncio.run(main())


@pytest.mark.parametrize(
    "change", [lambda found: found[:-1], lambda found: np.repeat(found, 2), lambda found: found[:0]]
)
def test_nobody_gets_answers_that_are_too_few_or_too_many(change: Any) -> None:
    table = TabularScorer(lambda rows: change(rows[:, 0]), Features(1), None)
    for outcome in outcomes(table, b"1\n2\n", b"3\n", b"4\n5\n6\n"):
        assert isinstance(outcome, ModelFailed) and outcome.status == 500
        assert "none is passed on" in outcome.message


def test_a_model_that_fails_in_a_batch_alone_still_answers_each_request() -> None:
    table = TabularScorer(lambda rows: rows[:1, 0] if len(rows) > 1 else rows[:, 0], Features(1), None)
    first, second = outcomes(table, b"1\n", b"2\n")
    assert isinstance(first, Answer) and isinstance(second, Answer)
    assert (first.body, second.body) == (b"1.0\n", b"2.0\n")


def test_answers_are_parted_as_requests_came() -> None:
    assert [one.tolist() for one in split_answers(np.arange(4), [1, 3])] == [[0], [1, 2, 3]]
    with pytest.raises(ModelFailed):
        split_answers(np.arange(3), [1, 3])


def test_a_model_may_say_that_it_answers_otherwise() -> None:
    assert row_by_row({}) and not row_by_row({"ANSWER_ROWS": "any"})
    with pytest.raises(Invalid, match="ANSWER_ROWS"):
        row_by_row({"ANSWER_ROWS": "some"})


# --- requests of MLflow and of tensors ---

SIGNED = Signature(
    (SchemaColumn("amount", "double"), SchemaColumn("land", "string"), SchemaColumn("n", "long", required=False)),
    (),
)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"instances": [[1, "x", 2]], "inputs": [[1, "x", 2]]}', JSON, "exactly one of"),
        (b'{"instances": [[1, "x", 2]], "instances": [[3, "x", 2]]}', JSON, "The key 'instances' is given twice"),
        (
            b'{"dataframe_records": [{"amount": 1, "land": "x", "amount": 2}]}',
            JSON,
            "The key 'amount' is given twice",
        ),
        (
            b'{"dataframe_split": {"columns": ["amount", "land", "amount"], "data": [[1, "x", 2]]}}',
            JSON,
            "The column 'amount' is given twice",
        ),
        (b"amount,land,amount\n1,x,2\n", CSV, "The column 'amount' is given twice"),
        (b'1,"x\n2,y",3\n', CSV, "Row 1, column 2: a quote stands where none may"),
        (b"1,x,3\n\n2,y,4\n", CSV, "Row 2 has 1 columns"),
        (b"1,x,3\r2,y,4\r", CSV, "a carriage return stands alone"),
        (b"1,x,1_000\n", CSV, 'expected a whole number, got "1_000"'),
    ],
)
def test_what_mlflow_would_read_half_is_refused(body: bytes, kind: str, said: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        SIGNED.read(body, kind)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        "1.5,a\u2028b,3\n",
        "\ufeff1.5,a\u2028b,3\r\n",
        "land,amount,n\na\u2028b,1.5,3\n",
        '"1.5","a\u2028b","3"\n',
    ],
)
def test_mlflow_reads_csv_as_all_others_do(body: str) -> None:
    frame, _ = SIGNED.read(body.encode(), CSV)
    assert frame.to_dict("records") == [{"amount": 1.5, "land": "a\u2028b", "n": 3}]


def test_a_csv_for_a_model_that_does_not_say_what_it_takes_loses_no_row() -> None:
    unsigned = Signature((), ())
    assert unsigned.read(b"a,b\n1,2\n3,4\n", CSV)[0].to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert unsigned.read(b"1,2\n3,4\n", CSV, records=True)[0].to_numpy().tolist() == [[1, 2], [3, 4]]
    for body in (b"a,b\n1,2,3\n4,5,6\n", b"a\n1\n\n2\n", b"a\n1\r2\n"):
        with pytest.raises(ModelFailed):
            unsigned.read(body, CSV)


def test_a_line_with_some_names_of_columns_of_text_is_no_row() -> None:
    texts = Signature((SchemaColumn("land", "string"), SchemaColumn("town", "string")), ())
    for line in (b"land, town", b"land,city", b" town,x"):
        with pytest.raises(ModelFailed, match="may be a header or a row"):
            texts.read(line + b"\nDE,Ulm\n", CSV)
    assert len(texts.read(b"land,city\nDE,Ulm\n", "text/csv; header=absent")[0]) == 2
    assert texts.read(b"town,land\nUlm,DE\n", CSV)[0].to_dict("records") == [{"land": "DE", "town": "Ulm"}]
    assert len(texts.read(b"FR,Nice\nDE,Ulm\n", CSV)[0]) == 2


def test_two_columns_of_one_name_are_refused_where_pandas_would_name_one_anew() -> None:
    with pytest.raises(ModelFailed, match="The column 'a' is given twice"):
        Signature((), ()).read(b"a,a\n1,2\n", CSV)


@pytest.mark.parametrize("numbers", [[2**53 + 1, 1.0], [1.0, -(2**53) - 1], [2**63 - 1, 2.0]])
def test_a_large_whole_number_beside_a_fraction_is_exact(numbers: list[float]) -> None:
    body = json.dumps({"inputs": {"x": numbers, "y": [1, 2]}}).encode()
    pair = Signature((), (Tensor("x", np.dtype("int64"), (-1,)), Tensor("y", np.dtype("float32"), (-1,))))
    assert pair.read(body, JSON)[0]["x"].tolist() == numbers
    found = given(json.dumps([numbers]).encode(), tensors.TensorInput("x", "int64", (None, None)))
    assert found.tolist() == [numbers]


@pytest.mark.parametrize("second", ['{"x": 2, "y": 3}', '{"y": 3}', "{}"])
def test_rows_of_tensors_with_different_names_are_refused(second: str) -> None:
    with pytest.raises(ModelFailed, match="Row 2 has other names than row 1"):
        Signature((), ()).read(b'{"inputs": [{"x": 1}, %b]}' % second.encode(), JSON)


@pytest.mark.parametrize("numbers", ["[9007199254740993, 1.5]", "[9007199254740993, null]", "[1e300, 1.0]"])
def test_what_is_no_whole_number_is_refused_beside_a_large_one(numbers: str) -> None:
    with pytest.raises(ModelFailed):
        given(numbers.encode(), tensors.TensorInput("x", "int64", (None,)))


def test_a_text_of_a_csv_that_does_not_begin_an_object_keeps_its_first_character() -> None:
    signed, body = Signature((SchemaColumn("land", "string"),), ()), "\ufeffa\n".encode()
    for signature in (signed, Signature((), ())):
        kept = signature.read(body, CSV, records=True, begins=False)[0]
        assert kept.iloc[0, 0] == "\ufeffa"
        assert signature.read(body, CSV, records=True)[0].iloc[0, 0] == "a"


def given(body: bytes, one: tensors.TensorInput, kind: str = JSON) -> Any:
    """What the model gets."""
    seen: list[Any] = []

    def run(rows: Any) -> Any:
        seen.append(rows)
        return rows

    tensors.Tensors(run, [one], None).answer(Call(body, {b"content-type": kind.encode()}))
    return seen[0]


@pytest.mark.parametrize(
    ("body", "dtype", "said"),
    [
        (b'{"inputs": [1], "instances": [2]}', None, "both 'inputs' and 'instances'"),
        (b'{"inputs": [1], "inputs": [2]}', None, "The key 'inputs' is given twice"),
        (b"[1.5]", "int64", r"rows\[0\]: 1.5 is not a whole number of the type int64"),
        (b"[[1],[300]]", "int8", r"rows\[1\]\[0\]: 300 is not a whole number of the type int8"),
        (b"[-1]", "uint8", "-1 is not a whole number"),
        (b"[9223372036854775808]", "int64", "is not a whole number"),
        (b"[null]", "int64", "is not a whole number"),
        (b"[1e39]", None, "is not a number of the type float32"),
        (b"[true]", None, "must be lists of numbers"),
        (b'["1"]', None, "must be lists of numbers"),
        (b"[2]", "bool", "2 is not true or false"),
        (b"[[1],[2,3]]", None, "must be lists of numbers of one length each"),
    ],
)
def test_a_tensor_is_what_was_sent_or_refused(body: bytes, dtype: str | None, said: str) -> None:
    with pytest.raises(ModelFailed, match=said):
        given(body, tensors.TensorInput("rows", dtype))


def test_tensors_of_every_type_are_exact() -> None:
    assert given(b"[9007199254740993]", tensors.TensorInput("rows", "int64")).tolist() == [9007199254740993]
    assert given(b"[1.0, 2e0]", tensors.TensorInput("rows", "int32")).tolist() == [1, 2]
    assert given(b"[true, false]", tensors.TensorInput("rows", "bool")).tolist() == [True, False]
    assert given(b"[1, 0]", tensors.TensorInput("rows", "bool")).tolist() == [True, False]
    assert given(b"\xef\xbb\xbf[0.1, null]", tensors.TensorInput("rows", "float64"))[0] == 0.1
    sent = write(np.array([1, 2**40]), NPY).body
    assert given(sent, tensors.TensorInput("rows", "int64"), NPY).tolist() == [1, 2**40]
    with pytest.raises(ModelFailed, match="is not a whole number of the type int32"):
        given(sent, tensors.TensorInput("rows", "int32"), NPY)
    with pytest.raises(ModelFailed, match="is not a whole number of the type int64"):
        given(write(np.array([1.5]), NPY).body, tensors.TensorInput("rows", "int64"), NPY)


def test_answers_of_the_quick_json_writer_are_msgspecs() -> None:
    values = np.random.default_rng(1).normal(size=50).astype(np.float32)
    assert write(values, JSON).body == msgspec.json.encode({"predictions": values.tolist()})
