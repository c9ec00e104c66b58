"""Scripts behave as under sagemaker-inference-toolkit. The table was checked against the toolkit itself (1.10.1)."""

import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.unit.serving.runtimes.user_code_harness import TRUSTED, call, failure, folder, own_process, said
from tidegate.domain.errors import ArtifactError, Invalid, Transient
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.runtimes import script, script_arrays
from tidegate.serving.scoring.thread_engine import AnswerStream

__all__ = ["own_process"]

pytestmark = pytest.mark.usefixtures("own_process")

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
DOUBLES = """
def model_fn(model_dir):
    return 2

def predict_fn(data, model):
    return data * model
"""
SHOWS = """
import json

def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    return json.dumps([type(data).__name__, content_type, accept])
"""


def npy(*values: float) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values, dtype=np.float64))
    return stream.getvalue()


class Case(NamedTuple):
    """A request to a script, and the answer."""

    script: str
    body: bytes
    content_type: str
    accept: str
    answer: bytes
    answer_type: str
    environment: Mapping[str, str] = MappingProxyType({})


SAME = {
    "json to json": Case(DOUBLES, b"[1, 2.5]", JSON, JSON, b"[2.0, 5.0]", JSON),
    "integers stay integers": Case(DOUBLES, b"[1, 2]", JSON, JSON, b"[2, 4]", JSON),
    "a number": Case(DOUBLES, b"21", JSON, JSON, b"42", JSON),
    "no accept is json": Case(DOUBLES, b"[[1, 2]]", JSON, "", b"[[2, 4]]", JSON),
    "any accept is json": Case(DOUBLES, b"[[1, 2]]", JSON, "*/*", b"[[2, 4]]", JSON),
    "the default accept can be set": Case(
        DOUBLES, b"[1, 2]", JSON, "", b"2\n4\n", CSV, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": CSV}
    ),
    "csv to json": Case(DOUBLES, b"1,2\n3,4\n", CSV, JSON, b"[[2, 4], [6, 8]]", JSON),
    "one line of csv is one dimension": Case(DOUBLES, b"1.0,2.5", CSV, JSON, b"[2.0, 5.0]", JSON),
    "json to csv": Case(DOUBLES, b"[[1, 2], [3, 4]]", JSON, CSV, b"2,4\n6,8\n", CSV),
    "npy to json": Case(DOUBLES, npy(1, 2), NPY, JSON, b"[2.0, 4.0]", JSON),
    "json to npy": Case(DOUBLES, b"[1.0, 2.0]", JSON, NPY, npy(2, 4), NPY),
    "the first accept that there is": Case(DOUBLES, b"[1]", JSON, "image/png, text/csv", b"2\n", CSV),
    "json comes as text": Case(SHOWS, b"{}", JSON, JSON, b'["str", "application/json", "application/json"]', JSON),
    "csv comes as text": Case(SHOWS, b"1", CSV, "a/b", b'["str", "text/csv", "a/b"]', "a/b"),
    "text with a charset comes as bytes": Case(
        SHOWS, b"1", "text/csv; charset=utf-8", "a/b", b'["bytes", "text/csv; charset=utf-8", "a/b"]', "a/b"
    ),
    "anything else comes as bytes": Case(SHOWS, b"1", "text/x", "", b'["bytes", "text/x", "application/json"]', JSON),
    "no content type is None": Case(SHOWS, b"1", "", "", b'["bytes", null, "application/json"]', JSON),
    "body and content type": Case(
        "def model_fn(d): return 0\ndef transform_fn(m, data, c, a): return b'hi', 'image/gif'",
        b"1", JSON, JSON, b"hi", "image/gif",
    ),
    "output_fn gives body and content type": Case(
        DOUBLES + "\ndef output_fn(p, accept): return str(p.tolist()), 'text/x'", b"[1]", JSON, JSON, b"[2]", "text/x"
    ),
    "own input, default output": Case(
        DOUBLES + "\ndef input_fn(data, content_type): return len(data)", b"12345", "x/y", JSON, b"10", JSON
    ),
    "warm-up comes last and sees the model": Case(
        "seen = []\n"
        "def pre_model_fn(d): seen.append('pre')\n"
        "def model_fn(d): seen.append('model'); return 7\n"
        "def model_warmup_fn(d, m): seen.append(m)\n"
        "def predict_fn(data, model): return seen",
        b"1", JSON, JSON, b'["pre", "model", 7]', JSON,
    ),
    "every function may take a context": Case(
        "def pre_model_fn(d, context): pass\n"
        "def model_fn(d, context): return context is not None\n"
        "def model_warmup_fn(d, m, context): pass\n"
        "def input_fn(data, kind, context): return context is not None\n"
        "def predict_fn(data, model, context): return [data, model, context is not None]\n"
        "def output_fn(p, accept, context): return str([*p, context is not None])",
        b"1", JSON, JSON, b"[True, True, True, True]", JSON,
    ),
    "transform_fn may take a context": Case(
        "def model_fn(d): return 1\ndef transform_fn(m, data, c, a, context): return str(context is not None)",
        b"1", JSON, JSON, b"True", JSON,
    ),
    "another program": Case(
        "def model_fn(d): return 1\ndef predict_fn(data, model): return 'other'",
        b"1", JSON, JSON, b'"other"', JSON, {"SAGEMAKER_PROGRAM": "serve.py"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME.values(), ids=SAME)
def test_the_same_as_in_the_toolkit(tmp_path: Path, case: Case) -> None:
    name = case.environment.get("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py")
    loaded = script.load(folder(tmp_path, **{name: case.script}), {**TRUSTED, **case.environment})
    answer = loaded.answer(call(case.body, case.content_type, case.accept))
    assert said(answer) == (case.answer, case.answer_type)


BAD = {
    "a client's JSON": (b"[1,", JSON, JSON, 400, "The body cannot be read as application/json: "),
    "ragged rows": (b"1,2\n3\n", CSV, JSON, 400, "The body cannot be read as text/csv: "),
    "no rows": (b" \n", CSV, JSON, 400, "The body cannot be read as text/csv: it has no rows."),
    "not utf-8": (b"\xff", JSON, JSON, 400, "The body is application/json, but not UTF-8: "),
    "no npy": (b"abc", NPY, JSON, 400, "The body cannot be read as application/x-npy: "),
    "an unknown form": (b"1", "image/png", JSON, 415, "Content type 'image/png' is not supported; send "),
    "an unknown answer": (b"1", JSON, "image/png", 406, "Cannot answer as 'image/png'; accept one of "),
}  # the toolkit answers all of them with 500


@pytest.mark.parametrize(("body", "kind", "accept", "status", "message"), BAD.values(), ids=BAD)
def test_client_errors_have_their_status(
    tmp_path: Path, body: bytes, kind: str, accept: str, status: int, message: str
) -> None:
    loaded = script.load(folder(tmp_path, inference=DOUBLES), TRUSTED)
    with pytest.raises(Exception) as caught:
        loaded.answer(call(body, kind, accept))
    told = failure(caught.value)
    assert told[0] == status
    assert told[1].startswith(message)
    assert "\n" not in told[1]


def test_a_pickled_array_is_not_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    loaded = script.load(folder(tmp_path, inference=DOUBLES), TRUSTED)
    with pytest.raises(Exception, match="allow_pickle") as caught:
        loaded.answer(call(stream.getvalue(), NPY))
    assert failure(caught.value)[0] == 400


RAISES = """
class Refused(Exception):
    status_code = 422
    def __init__(self, message):
        self.message = message

class Odd(Exception):
    status_code = 200

def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return data

def predict_fn(data, model):
    raise {"value": ValueError("two\\nlines"), "refused": Refused("no such client"), "odd": Odd("x")}[data]
"""


@pytest.mark.parametrize(
    ("what", "status", "message"),
    [
        (b"value", 500, "ValueError: two\nlines"),
        (b"refused", 422, "no such client"),
        (b"odd", 500, "Odd: x"),
        (b"none", 500, "KeyError: 'none'"),
    ],
)
def test_an_exception_keeps_the_status_of_its_class(
    tmp_path: Path, what: bytes, status: int, message: str
) -> None:
    loaded = script.load(folder(tmp_path, inference=RAISES), TRUSTED)
    with pytest.raises(Exception) as caught:
        loaded.answer(call(what, JSON))
    assert failure(caught.value) == (status, message)


@pytest.mark.parametrize("result", ["[1, 2]", "None", "{}"])
def test_an_answer_that_is_no_body_is_an_error(tmp_path: Path, result: str) -> None:
    text = f"def model_fn(d): return 0\ndef transform_fn(m, d, c, a): return {result}"
    loaded = script.load(folder(tmp_path, inference=text), TRUSTED)
    with pytest.raises(TypeError, match="expected bytes or str"):
        loaded.answer(call(b"1", JSON))


@pytest.mark.parametrize(
    ("lines", "kind", "parts"),
    [
        ("def output_fn(p, accept):\n    yield 'one '\n    yield b'two'", JSON, [b"one ", b"two"]),
        ("def output_fn(p, accept):\n    return (c for c in 'ab'), 'text/x'", "text/x", [b"a", b"b"]),
        ("def predict_fn(data, model):\n    yield 'a'\n    yield b'b'", "application/jsonlines", [b"a", b"b"]),
        (
            "import numpy\ndef predict_fn(data, model):\n    yield {'t': 1}\n    yield numpy.array([2])",
            "application/jsonlines",
            [b'{"t":1}\n', b"[2]\n"],
        ),
    ],
)
def test_a_generator_is_a_stream(tmp_path: Path, lines: str, kind: str, parts: list[bytes]) -> None:
    loaded = script.load(folder(tmp_path, inference=f"{DOUBLES}\n{lines}"), TRUSTED)
    answer = loaded.answer(call(b"1", JSON))
    assert isinstance(answer, AnswerStream)
    assert (answer.content_type, list(answer.parts)) == (kind, parts)


def test_a_stream_that_is_closed_closes_the_generator(tmp_path: Path) -> None:
    text = (
        "closed = []\ndef model_fn(d): return 0\n"
        "def transform_fn(m, d, c, a):\n    try:\n        yield 'a'\n        yield 'b'\n    finally:\n"
        "        closed.append(1)\n"
        "def pre_model_fn(d):\n    import builtins\n"
    )
    loaded = script.load(folder(tmp_path, inference=text), TRUSTED)
    answer = loaded.answer(call(b"1", JSON))
    assert isinstance(answer, AnswerStream)
    assert next(answer.parts) == b"a"
    answer.parts.close()  # type: ignore[attr-defined]
    assert loaded._functions._functions["transform_fn"][0].__globals__["closed"] == [1]


def test_the_context_tells_of_the_request(tmp_path: Path) -> None:
    text = (
        "import json\ndef model_fn(d, context): return context.get_all_request_header(0)\n"
        "def transform_fn(model, data, kind, accept, context):\n"
        "    told = [model, context.system_properties['model_dir'] == context.model_dir]\n"
        "    return json.dumps([*told, context.get_request_header(0, 'X-Amzn-SageMaker-Custom-Attributes')])"
    )
    loaded = script.load(folder(tmp_path, inference=text), TRUSTED)
    answer = loaded.answer(call(b"1", **{"x-amzn-sagemaker-custom-attributes": "trace=1"}))
    assert json.loads(said(answer)[0]) == [{}, True, "trace=1"]


CANNOT = {
    "no code": ({}, {}, "the model data has no code/inference.py; found in code/: nothing"),
    "another name": ({"serve": ""}, {}, "has no code/inference.py; found in code/: serve.py"),
    "transform and the three": (
        {"inference": "def model_fn(d): pass\ndef transform_fn(m, d, c, a): pass\ndef output_fn(p, a): pass"},
        {},
        "code/inference.py has transform_fn and output_fn; use transform_fn alone",
    ),
    "no model_fn": ({"inference": "def predict_fn(d, m): pass"}, {}, "code/inference.py has no function model_fn"),
    "no predict_fn": ({"inference": "def model_fn(d): pass"}, {}, "code/inference.py has no function predict_fn"),
    "too many arguments": (
        {"inference": "def model_fn(d): pass\ndef predict_fn(a, b, c, d): pass"},
        {},
        "predict_fn of code/inference.py takes 4 arguments; expected 2, or 3 with a context",
    ),
    "async": (
        {"inference": "def model_fn(d): pass\nasync def predict_fn(a, b): pass"},
        {},
        "predict_fn of code/inference.py is async",
    ),
    "not a function": ({"inference": "model_fn = 3"}, {}, "model_fn of code/inference.py is a int, not a function"),
    "syntax": ({"inference": "a = 1\nb = (\n"}, {}, "code/inference.py cannot be read: code/inference.py, line 2: "),
    "a module that is not there": (
        {"inference": "import json\nimport not_there.at_all"},
        {},
        "code/inference.py needs the module not_there, which is not installed (code/inference.py, line 2)",
    ),
    "syntax of its helper": (
        {"inference": "import parts", "parts": "def f(:\n"},
        {},
        "code/inference.py cannot be read: code/parts.py, line 1: ",
    ),
    "an error at import": (
        {"inference": "x = 1\n1 / 0"},
        {},
        "code/inference.py failed (code/inference.py, line 2): ZeroDivisionError: division by zero",
    ),
    "sys.exit at import": (
        {"inference": "import sys\nsys.exit(4)"},
        {},
        "code/inference.py called sys.exit(4) (code/inference.py, line 2)",
    ),
    "an error in model_fn": (
        {"inference": "from parts import read\ndef model_fn(d): return read(d)\ndef predict_fn(d, m): pass",
         "parts": "def read(d):\n    return open(d + '/weights.bin')"},
        {},
        "model_fn of code/inference.py failed (code/parts.py, line 2): FileNotFoundError: ",
    ),
    "sys.exit in model_fn": (
        {"inference": "import sys\ndef model_fn(d): sys.exit('no')\ndef predict_fn(d, m): pass"},
        {},
        "model_fn of code/inference.py called sys.exit('no') (code/inference.py, line 2)",
    ),
    "an error in warm-up": (
        {"inference": f"{DOUBLES}\ndef model_warmup_fn(d, m): raise RuntimeError"},
        {},
        "model_warmup_fn of code/inference.py failed (code/inference.py, line 8): RuntimeError",
    ),
    "a folder outside": (
        {},
        {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/sourcedir.tar.gz"},
        "has no code/inference.py (SAGEMAKER_SUBMIT_DIRECTORY is 's3://bucket/sourcedir.tar.gz'; code has to lie",
    ),
    "a program outside": ({}, {"SAGEMAKER_PROGRAM": "../../x.py"}, "has no code/../../x.py"),
    "without trust": ({"inference": DOUBLES}, {"TIDEGATE_TRUST": ""}, "start the server with TIDEGATE_TRUST=code"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "environment", "message"), CANNOT.values(), ids=CANNOT)
def test_a_script_that_cannot_be_used_says_why_and_where(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], message: str
) -> None:
    (tmp_path / "x.py").write_text(DOUBLES)
    with pytest.raises(ArtifactError) as caught:
        script.load(folder(tmp_path, **files), {**TRUSTED, **environment})
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_without_trust_nothing_is_run(tmp_path: Path) -> None:
    model = folder(tmp_path, inference=f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ArtifactError):
        script.load(model, {})
    assert not (tmp_path / "ran").exists()


def test_a_connection_error_in_model_fn_is_transient(tmp_path: Path) -> None:
    text = "def model_fn(d): raise ConnectionRefusedError('feature store')\ndef predict_fn(d, m): pass"
    with pytest.raises(Transient, match=r"line 1\): ConnectionRefusedError: feature store"):
        script.load(folder(tmp_path, inference=text), TRUSTED)


@pytest.mark.parametrize("given", ["/opt/ml/model/src", "src", "file:///opt/ml/model/src"])
def test_a_submit_folder_inside_the_model_data(tmp_path: Path, given: str) -> None:
    model = folder(tmp_path)
    (model / "src").mkdir()
    (model / "src" / "inference.py").write_text(DOUBLES)
    loaded = script.load(model, {**TRUSTED, "SAGEMAKER_SUBMIT_DIRECTORY": given})
    assert said(loaded.answer(call(b"[1]", JSON)))[0] == b"[2]"


def test_the_code_finds_its_folder_its_modules_and_its_environment(tmp_path: Path) -> None:
    text = (
        "import json, os\nfrom parts.names import NAME\n"
        "def model_fn(d): return [d, os.environ['SM_MODEL_DIR'], os.environ['COLOUR'], NAME,"
        " 'TIDEGATE_TRUST' in os.environ]\n"
        "def predict_fn(data, model): return model"
    )
    model = folder(tmp_path, inference=text, parts__names="NAME = 'n'")
    loaded = script.load(model, {**TRUSTED, "COLOUR": "blue", "SAGEMAKER_PROGRAM": ""})
    answer = json.loads(said(loaded.answer(call(b"1", JSON)))[0])
    assert answer == [str(model), str(model), "blue", "n", False]
    assert not list(model.rglob("__pycache__"))


def test_classes_are_found_again_by_the_module_that_a_pickle_names(tmp_path: Path) -> None:
    text = (
        "import pickle\nclass Model: pass\ndef model_fn(d): return pickle.loads(pickle.dumps(Model()))\n"
        "def predict_fn(data, model): return type(model) is Model"
    )
    loaded = script.load(folder(tmp_path, inference=text), TRUSTED)
    assert said(loaded.answer(call(b"1", JSON)))[0] == b"true"


def test_model_server_workers_sets_the_threads_of_a_script(tmp_path: Path) -> None:
    model = folder(tmp_path, inference=DOUBLES)
    assert script.load(model, TRUSTED).threads == 1
    assert script.load(model, {**TRUSTED, "SAGEMAKER_MODEL_SERVER_WORKERS": "4"}).threads == 4
    with pytest.raises(Invalid, match="from 1 to 256"):
        script.load(model, {**TRUSTED, "SAGEMAKER_MODEL_SERVER_WORKERS": "many"})


# --- several containers with code in one process ---


def test_two_scripts_live_beside_each_other(tmp_path: Path) -> None:
    one = script.load(folder(tmp_path / "a", inference=DOUBLES), TRUSTED)
    two = script.load(folder(tmp_path / "b", inference=DOUBLES.replace("2", "3")), TRUSTED)
    assert [said(loaded.answer(call(b"1", JSON)))[0] for loaded in (one, two)] == [b"2", b"3"]


def test_a_folder_that_is_loaded_again_is_read_again(tmp_path: Path) -> None:
    text = "from parts import N\ndef model_fn(d): return N\ndef predict_fn(data, model): return model"
    script.load(folder(tmp_path, inference=text, parts="N = 1"), TRUSTED)
    again = script.load(folder(tmp_path, inference=text, parts="N = 2222"), TRUSTED)
    assert said(again.answer(call(b"1", JSON)))[0] == b"2222"


LAYERS = """
import pickle
from dataclasses import dataclass
import parts
from parts import NAME as AT_THE_TOP
from kit.inner import NAME as INNER
import bare.leaf

@dataclass
class Model:
    name: str

def model_fn(model_dir):
    return pickle.loads(pickle.dumps(Model(parts.NAME)))

def predict_fn(data, model):
    from parts import NAME as in_a_function
    import late
    import kit.later
    from bare import other
    assert type(model) is Model
    found = [model.name, AT_THE_TOP, in_a_function, INNER, late.NAME, kit.later.NAME, bare.leaf.NAME, other.NAME]
    return "".join(found)
"""


def layers(name: str) -> dict[str, str]:
    """A script with modules beside it, a package with relative imports and a folder without ``__init__``."""
    says = f"NAME = {name!r}"
    package = {"kit____init__": "", "kit__inner": "from .base import NAME", "kit__base": says}
    package |= {"kit__later": "from . import far\nNAME = far.NAME", "kit__far": says}
    return {"inference": LAYERS, "parts": says, "late": says, "bare__leaf": says, "bare__other": says, **package}


def test_modules_of_one_name_are_each_models_own(tmp_path: Path) -> None:
    """Also those that are imported by the first request only, when all are loaded."""
    loaded = [script.load(folder(tmp_path / name, **layers(name)), TRUSTED) for name in "abc"]
    for _ in range(2):
        answers = [json.loads(said(each.answer(call(b"1", JSON)))[0]) for each in loaded]
        assert answers == ["a" * 8, "b" * 8, "c" * 8]


def test_a_model_that_is_alone_has_its_modules_under_their_names(tmp_path: Path) -> None:
    text = (
        "import sys, parts\ndef model_fn(d): return 1\ndef predict_fn(data, model): return sys.modules['parts'].N"
    )
    one = script.load(folder(tmp_path / "a", inference=text, parts="N = 'a'"), TRUSTED)
    script.load(folder(tmp_path / "b", inference=text, parts="N = 'b'"), TRUSTED)
    assert said(one.answer(call(b"1", JSON)))[0] == b'"a"'
    assert sys.modules["inference"].__file__ == str(tmp_path / "a" / "model" / "code" / "inference.py")


def test_a_model_that_fails_to_load_leaves_the_others_names(tmp_path: Path) -> None:
    text = (
        "import parts\ndef model_fn(d): return parts.N\ndef predict_fn(data, model): import parts; return parts.N"
    )
    one = script.load(folder(tmp_path / "a", inference=text, parts="N = 'a'"), TRUSTED)
    with pytest.raises(ArtifactError, match="ZeroDivisionError"):
        script.load(folder(tmp_path / "b", inference=text, parts="1 / 0"), TRUSTED)
    assert sys.modules["parts"].N == "a"
    assert said(one.answer(call(b"1", JSON)))[0] == b'"a"'


def test_a_module_that_is_missing_is_missing_for_its_model_alone(tmp_path: Path) -> None:
    text = "import parts\ndef model_fn(d): return 1\ndef predict_fn(data, model): import kit.none"
    loaded = script.load(folder(tmp_path, inference=text, parts="", kit____init__=""), TRUSTED)
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'kit\.none'"):
        loaded.answer(call(b"1", JSON))


def test_variables_that_differ_in_two_containers_are_refused(tmp_path: Path) -> None:
    script.load(folder(tmp_path / "a", inference=DOUBLES), {**TRUSTED, "COLOUR": "blue"})
    with pytest.raises(ArtifactError, match="set COLOUR to different values"):
        script.load(folder(tmp_path / "b", inference=DOUBLES), {**TRUSTED, "COLOUR": "red"})
    assert os.environ["COLOUR"] == "blue"


ODD = """
import numpy as np

def model_fn(model_dir): return 1
def predict_fn(data, model): return np.array([0.5, np.nan, np.inf, -np.inf])
"""


def test_what_is_no_number_is_answered_as_by_all_runtimes(tmp_path: Path) -> None:
    loaded = script.load(folder(tmp_path, inference=ODD), TRUSTED)
    assert said(loaded.answer(call(b"1", JSON)))[0] == b'[0.5,null,"Infinity","-Infinity"]'


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("\ufeff1,2\r\n3,4", [[1, 2], [3, 4]]),
        ("a#1,b\nc,d#2\n", [["a#1", "b"], ["c", "d#2"]]),
        ("x\u2028y,z\nc,d\n", [["x\u2028y", "z"], ["c", "d"]]),
    ],
)
def test_every_line_of_a_csv_is_a_row_of_the_array(body: str, found: list[list[Any]]) -> None:
    assert script_arrays.decode(body, "text/csv").tolist() == found


@pytest.mark.parametrize("body", ["1,,3\n4,5,6\n", "1, ,3\r\n4,5,6\r\n", "1,nan,3\n4,5,6\n"])
def test_a_missing_whole_number_of_a_csv_is_no_number(body: str) -> None:
    found = script_arrays.decode(body, "text/csv")
    np.testing.assert_array_equal(np.array(found.tolist()), [[1, np.nan, 3], [4, 5, 6]])


@pytest.mark.parametrize("body", ["1_000,2\n", "0x10,2\n", "2,\uff11\n", "1j,2\n", "1,x\n,y\n", "true,a\n,b\n"])
def test_a_number_of_a_csv_that_no_other_runtime_reads_is_refused(body: str) -> None:
    with pytest.raises(ModelFailed, match=r"line [12], column [12]"):
        script_arrays.decode(body, "text/csv")


def test_texts_of_a_csv_may_have_any_characters_and_be_empty() -> None:
    found = script_arrays.decode("x_1,2\n,3\n", "text/csv")
    assert found.tolist() == [("x_1", 2), ("", 3)]


def test_an_empty_line_of_a_csv_is_refused() -> None:
    with pytest.raises(ModelFailed, match="line 2 is empty"):
        script_arrays.decode("1,2\n\n3,4\n", "text/csv")


FAMILY = "def model_fn(model_dir):\n    import {library}\n    {body}\n"
BOOSTER = FAMILY.format(
    library="xgboost",
    body="booster = xgboost.Booster(); booster.load_model(f'{model_dir}/m.ubj'); return booster",
)


def boosted(where: Path) -> Any:
    """A model of three named features, its rows and predictions."""
    xgboost = pytest.importorskip("xgboost")
    random = np.random.default_rng(4)
    rows = random.normal(size=(200, 3))
    rows[random.random(rows.shape) < 0.2] = np.nan
    matrix = xgboost.DMatrix(rows, np.nansum(rows, axis=1) > 0, feature_names=["a", "b", "c"])
    booster = xgboost.train({"nthread": 1, "objective": "binary:logistic"}, matrix, 8)
    booster.save_model(folder(where, inference=BOOSTER) / "m.ubj")
    return rows[:5], booster.predict(matrix)[:5]


@pytest.mark.parametrize("kind", ["text/libsvm", "text/x-libsvm", "text/csv", "text/csv; charset=utf-8"])
def test_the_default_functions_of_xgboosts_image(tmp_path: Path, kind: str) -> None:
    rows, expected = boosted(tmp_path)
    lines = []
    for row in rows:
        pairs = [(at, value) for at, value in enumerate(row.tolist(), 1) if value == value]
        sparse = " ".join(f"{at}:{value}" for at, value in pairs)
        lines.append(sparse if "libsvm" in kind else ";".join(str(dict(pairs).get(at, "")) for at in (1, 2, 3)))
    loaded = script.load(tmp_path / "model", TRUSTED, family="xgboost")
    body, answered = said(loaded.answer(call("\n".join(lines).encode(), kind, CSV)))
    assert answered == CSV
    np.testing.assert_allclose([float(line) for line in body.split()], expected, atol=1e-6)
    with pytest.raises(ModelFailed, match="index 4 is beyond"):
        loaded.answer(call(b"4:1", "text/libsvm"))


def test_sparse_rows_need_a_model_whose_columns_are_known(tmp_path: Path) -> None:
    model = folder(tmp_path, inference="def model_fn(d): return 1\ndef predict_fn(data, model): return 0")
    loaded = script.load(model, TRUSTED, family="xgboost")
    with pytest.raises(ModelFailed) as caught:
        loaded.answer(call(b"1:1", "text/libsvm"))
    assert failure(caught.value)[0] == 415
    assert "write an input_fn" in caught.value.message


def test_scikit_learns_default_input_keeps_an_arrays_type(tmp_path: Path) -> None:
    """As AWS's container has it; a time in seconds is no float32."""
    given = "def model_fn(d): return None\ndef predict_fn(data, model): return [str(data.dtype), data.tolist()]"
    loaded = script.load(folder(tmp_path, inference=given), TRUSTED, family="sklearn")
    body, _ = said(loaded.answer(call(npy(1719999999.25, 2), NPY, JSON)))
    assert json.loads(body) == ["float64", [[1719999999.25, 2]]]
    for text, rows in ((b"0.5,2", [[0.5, 2]]), (b"0.5,2\n1,3\n", [[0.5, 2], [1, 3]]), (b"1\n2\n", [[1], [2]])):
        assert json.loads(said(loaded.answer(call(text, CSV, JSON)))[0]) == ["float32", rows]


# --- code that lies beside the model ---


def submitted(where: Path, **files: str) -> dict[str, str]:
    """As a worker has brought it here."""
    code = where / "model.submitted" / "code"
    code.mkdir(parents=True)
    for name, text in files.items():
        (code / f"{name}.py").write_text(text)
    return {
        **TRUSTED,
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/sourcedir.tar.gz",
        "TIDEGATE_CODE_FOLDER": str(code),
    }


def test_code_that_was_submitted_beside_the_model(tmp_path: Path) -> None:
    environment = submitted(tmp_path, serve="from helping import twice\n" + DOUBLES, helping="twice = 2")
    loaded = script.load(folder(tmp_path), environment)
    assert said(loaded.answer(call(b"[1]", JSON)))[0] == b"[2]"
    assert os.environ["SAGEMAKER_SUBMIT_DIRECTORY"] == "s3://bucket/sourcedir.tar.gz"
    assert "TIDEGATE_CODE_FOLDER" not in os.environ


@pytest.mark.parametrize("name", ["other.py", "../model/x.py"])
def test_a_program_that_was_not_submitted(tmp_path: Path, name: str) -> None:
    model = folder(tmp_path, inference=DOUBLES)
    (model / "x.py").write_text(DOUBLES)
    environment = {**submitted(tmp_path, serve=DOUBLES), "SAGEMAKER_PROGRAM": name}
    with pytest.raises(ArtifactError) as caught:
        script.load(model, environment)
    assert caught.value.message == (
        f"SAGEMAKER_SUBMIT_DIRECTORY (s3://bucket/sourcedir.tar.gz) holds no {name}; found: serve.py"
    )


def test_an_error_of_submitted_code_names_its_file(tmp_path: Path) -> None:
    environment = submitted(tmp_path, serve="def model_fn(d):\n    return d[0.5]\ndef predict_fn(d, m): pass")
    with pytest.raises(
        ArtifactError, match=r"model_fn of code/serve.py failed \(code/serve.py, line 2\): TypeError"
    ):
        script.load(folder(tmp_path), environment)
