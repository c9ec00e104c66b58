"""What a client is told whose request is not what it thought, in its own terms and with the way out; and what may be
read in two ways is not answered."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats.dataframes import SchemaColumn, Signature
from tidegate.serving.formats.row_decoder import CSV, JSON, Features
from tidegate.serving.formats.tensors import TensorInput, Tensors
from tidegate.serving.formats.typed_rows import TypedInput, TypedRows
from tidegate.serving.runtimes import load
from tidegate.serving.scoring.file_ranges import FIRST, Records

TEXT = np.dtype(object)
NUMBERS = Features(2, ["amount", "hour"])
BARE = Features(2)
TYPED = TypedRows([TypedInput(one, np.dtype(float)) for one in ("amount", "hour")])
TWO = TypedRows([TypedInput("land", TEXT, np.nan), TypedInput("note", TEXT, np.nan)])
KNOWN = TypedRows(
    [
        TypedInput("land", TEXT, np.nan, frozenset(["DE", "FR"])),
        TypedInput("size", TEXT, np.nan, frozenset(["S", "size"])),
    ]
)
ONE = TypedRows([TypedInput("text", TEXT, np.nan)])


def told(reader: Any, body: bytes, kind: str = JSON) -> str:
    with pytest.raises(ModelFailed) as caught:
        reader.read(body, kind)
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"inputs": {"amount": [1], "hour": [2]}}', "'inputs' must be a list of rows, not an object: send"),
        (b'{"instances": 5}', "'instances' must be a list of rows, not a whole number"),
        (b'{"dataframe_split": [[1, 2]]}', "The JSON cannot be used: 'dataframe_split' is a list, and must be"),
        (b'{"dataframe_split": {"data": 5}}', "The JSON cannot be used: 'dataframe_split.data' is a whole"),
        (b'"1,2"', "The JSON cannot be used: it is a text, and must be an object."),
        (b"1,2\n3,4\n", "If the body is no JSON, name its type: 'Content-Type: text/csv', for example."),
        (b"amount,hour\n3,4\n", "If the body is no JSON, name its type"),
    ],
)
def test_json_of_another_shape_is_described_in_its_own_words(body: bytes, said: str) -> None:
    message = told(NUMBERS, body)
    assert said in message
    assert "`" not in message and "$" not in message


@pytest.mark.parametrize("kind", [CSV, ""])
@pytest.mark.parametrize("reader", [NUMBERS, BARE, TypedRows([TypedInput("a", np.dtype(float))])])
def test_json_that_is_read_as_csv_is_told(reader: Any, kind: str) -> None:
    for body in (b"[[1, 2], [3, 4]]", b'{"instances": [[1, 2]]}'):
        assert "application/json" in told(reader, body, kind)


def test_json_without_a_type_is_no_row_of_texts() -> None:
    """Its fields are texts like any other; a client that means that says so."""
    assert "its body is JSON: say 'application/json', or 'text/csv'" in told(TWO, b'["a", "b"]', "")
    assert "its body is JSON" in told(TWO, b"[1,2]", "")
    assert TWO.read(b"[1,2]", CSV)["land"].tolist() == ["[1"]
    assert TWO.read(b'"[a","b]"', "")["land"].tolist() == ["[a"]


def test_a_row_of_texts_is_not_called_a_header() -> None:
    said = told(NUMBERS, b'"so,uth",x\n1,2\n', CSV)
    assert said.startswith("The first line is no row, since 'so,uth' is not a number, and no header, since it has")
    assert "(amount, hour)" in said


# --- columns beside the rows ---


@pytest.mark.parametrize("form", ["instances", "inputs"])
@pytest.mark.parametrize("reader", [NUMBERS, TYPED])
def test_columns_beside_the_rows_are_used(reader: Any, form: str) -> None:
    for rows in ("[[2, 1], [4, 3]]", "[2, 1]"):
        found = reader.read(f'{{"{form}": {rows}, "columns": ["hour", "amount"]}}'.encode(), JSON)
        values = found if isinstance(found, np.ndarray) else np.stack(list(found.values()), axis=1)
        assert values[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("reader", "body", "said"),
    [
        (NUMBERS, b'{"instances": [[1, 2]], "columns": ["hour", "size"]}', "'columns' has no 'amount';"),
        (NUMBERS, b'{"instances": [[1, 2]], "columns": ["hour"]}', "'columns' has no 'amount'"),
        (NUMBERS, b'{"instances": [[1, 2, 3]], "columns": ["hour", "amount"]}', "Row 1 has 3 columns"),
        (NUMBERS, b'{"instances": [{"hour": 1, "amount": 2}], "columns": ["hour", "amount"]}', "rows that are"),
        (
            NUMBERS,
            b'{"dataframe_records": [[1, 2]], "columns": ["hour", "amount"]}',
            "it belongs beside 'instances'",
        ),
        (
            NUMBERS,
            b'{"instances": [[1, 2]], "feature_names": ["hour", "amount"]}',
            "'feature_names', which is not",
        ),
        (NUMBERS, b'{"instances": [[1, 2]], "columns": ["a"], "columns": ["b"]}', "'columns' is given twice"),
        (BARE, b'{"instances": [[1, 2]], "columns": ["hour", "amount"]}', "the model's file names none; leave"),
    ],
)
def test_names_that_cannot_be_used_are_refused(reader: Any, body: bytes, said: str) -> None:
    assert said in told(reader, body)


def test_tensors_and_mlflow_s_tables_take_no_columns_there() -> None:
    body = b'{"instances": [[1, 2]], "columns": ["b", "a"]}'
    signature = Signature((SchemaColumn("a", "double"), SchemaColumn("b", "double")), ())
    assert "it belongs within 'dataframe_split'" in told(signature, body)
    handler = Tensors(lambda found: found, [TensorInput("x")], None)
    with pytest.raises(ModelFailed, match="the model takes tensors, which have none"):
        handler.answer(Call(body, {b"content-type": b"application/json"}))


# --- headers of texts ---

WRONG = [b"Land,Note", b"LAND,NOTE", b"land ,Note", b"land,noet", b"lnad,noet", b"Note,Land", b"the land,the note"]


@pytest.mark.parametrize("line", WRONG)
@pytest.mark.parametrize("reader", [TWO, KNOWN])
def test_a_header_that_is_nearly_right_is_no_row(reader: Any, line: bytes) -> None:
    if reader is KNOWN:
        for note, size in ((b"note", b"size"), (b"Note", b"Size"), (b"NOTE", b"SIZE"), (b"noet", b"szie")):
            line = line.replace(note, size)
    body = line + b"\nDE,S\n"
    said = told(reader, body, CSV)
    assert "header" in said
    found = reader.read(body, "text/csv; header=absent")
    assert len(found["land"]) == 2


@pytest.mark.parametrize("reader", [TWO, KNOWN])
def test_the_names_themselves_are_a_header_of_two_columns(reader: Any) -> None:
    names = ",".join(reader.names)
    assert reader.read(f"{names}\nDE,S\n".encode(), CSV)["land"].tolist() == ["DE"]
    turned = ",".join(reversed(reader.names))
    assert reader.read(f"{turned}\nS,DE\n".encode(), CSV)["land"].tolist() == ["DE"]


def test_names_that_are_known_texts_may_be_a_row() -> None:
    both = TypedRows([TypedInput(one, TEXT, np.nan, frozenset(["a", "b"])) for one in ("a", "b")])
    assert "it may be a header or a row" in told(both, b"a,b\nb,a\n", CSV)
    assert both.read(b"b,b\na,a\n", CSV)["a"].tolist() == ["b", "a"]


@pytest.mark.parametrize("body", [b"DE,good day\n", b"a,b\nc,d\n", b"notes on land,x\n", b"is,a\n"])
def test_ordinary_texts_are_rows(body: bytes) -> None:
    assert len(TWO.read(body, CSV)["land"]) == body.count(b"\n")


@pytest.mark.parametrize(("body", "rows"), [(b"texts\nmore\n", 2), (b"text\nmore\n", 1), (b"a test\n", 1)])
def test_one_column_of_texts(body: bytes, rows: int) -> None:
    assert len(ONE.read(body, CSV)["text"]) == rows


def test_a_name_of_one_column_in_another_style_is_ambiguous() -> None:
    assert "may be a header" in told(ONE, b"Text\nmore\n", CSV)


def test_strings_of_mlflow_s_are_read_alike() -> None:
    signature = Signature((SchemaColumn("land", "string"), SchemaColumn("note", "string")), ())
    for line in (b"Land,Note", b"lnad,noet", b"land,noet"):
        assert "header" in told(signature, line + b"\nDE,x\n", CSV)
    frame, _ = signature.read(b"land,note\nDE,x\n", CSV)
    assert frame["land"].tolist() == ["DE"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("texts")
    table = pd.DataFrame({"land": ["DE", "FR"] * 20, "size": ["S", "M", "L", "M"] * 10})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(table, [0, 1] * 20)
    joblib.dump(model, folder / "model.joblib")
    return load(RuntimeKind.SKLEARN, folder, {"TIDEGATE_TRUST": "pickle"})


def test_a_job_gives_no_answer_to_a_header(texts: Any) -> None:
    """Whether it is right, nearly right, or said to be one; what is said to be none is a record."""
    for line, kind in ((b"land,size", CSV), (b"Land,Size", CSV), (b"land,size", "text/csv; header=present")):
        call = Call(line + b"\nDE,S\nFR,M\n", {b"content-type": kind.encode(), FIRST: b"1"})
        with pytest.raises(ModelFailed, match="header"):
            Records(texts).parse(call)
    call = Call(b"Land,Size\nDE,S\n", {b"content-type": b"text/csv; header=absent", FIRST: b"1"})
    assert texts.size(Records(texts).parse(call)) == 2


def test_an_object_that_is_not_split_is_one_request(texts: Any) -> None:
    """Its header is one, as an endpoint has it."""
    scorer = Records(texts)
    rows = scorer.parse(Call(b"size,land\nS,DE\nM,FR\n", {b"content-type": b"text/csv"}))
    assert rows["land"].tolist() == ["DE", "FR"]


# --- text for numbers ---


@pytest.mark.parametrize(
    ("body", "kind"), [(b"a,1\n", CSV), (b'[["a", 1]]', JSON), (b'["a", 1]', "application/jsonlines")]
)
@pytest.mark.parametrize("named", [True, False])
def test_text_for_a_number_of_scikit_learn_s_names_the_setting(
    body: bytes, kind: str, named: bool, tmp_path: Path
) -> None:
    table = pd.DataFrame({"land": [1.0, 2.0], "size": [2.0, 1.0]})
    model = LinearRegression().fit(table if named else table.to_numpy(), [0, 1])
    joblib.dump(model, tmp_path / "model.joblib")
    scorer: Any = load(RuntimeKind.SKLEARN, tmp_path, {"TIDEGATE_TRUST": "pickle"})
    with pytest.raises(ModelFailed) as caught:
        scorer.parse(Call(body, {b"content-type": kind.encode()}))
    column = "land" if named else "0"
    hint = f'If the column holds text, say so in the model\'s environment: MODEL_COLUMNS={{"{column}": "text"}}.'
    assert caught.value.message.endswith(hint)
