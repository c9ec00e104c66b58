"""Python classes and functions as models."""

import sys
from pathlib import Path

import pytest

from tests.unit.serving.runtimes.user_code_harness import TRUSTED, call, failure, folder, own_process, said
from tidegate.domain.errors import ArtifactError, Invalid, TidegateError
from tidegate.serving.runtimes import python
from tidegate.serving.scoring.thread_engine import AnswerStream

__all__ = ["own_process"]

pytestmark = pytest.mark.usefixtures("own_process")

CODE = """
import os
from dataclasses import dataclass

class Scorer:
    def __init__(self, model_dir):
        self.model_dir = model_dir

    def predict(self, data):
        return {"sum": sum(data["values"]), "home": self.model_dir == os.environ["SM_MODEL_DIR"]}

class Plain:
    def __call__(self, data):
        return [data, None]

def double(data):
    return 2 * data

def length(body: bytes) -> int:
    return len(body)

def shout(text: str) -> str:
    return text.upper()

def raw(body: bytes) -> bytes:
    return body[::-1]

def image(data):
    return b"GIF", "image/gif"

def pair(data):
    return 1, 2

def arrays(data):
    import numpy
    return {"a": numpy.arange(3), "b": numpy.float32(0.5)}

def words(text: str):
    for word in text.split():
        yield word + " "

@dataclass
class Client:
    amount: float
    country: str = "NO"

def typed(client: Client):
    return [client.amount, client.country]

def fails(data):
    raise ValueError("no")

def odd(data):
    return object()

async def later(data):
    return data

def broken(data: "NotThere"):
    return data

def nothing():
    return 1

ready = Plain()
number = 3
"""
JSON, TEXT, BYTES = "application/json", "text/plain; charset=utf-8", "application/octet-stream"


def load(tmp_path: Path, name: str) -> python.Python:
    return python.load(folder(tmp_path, scoring=CODE), {**TRUSTED, "MODEL_HANDLER": f"scoring:{name}"})


@pytest.mark.parametrize(
    ("name", "body", "answer", "kind"),
    [
        ("Scorer", b'{"values": [1, 2]}', b'{"sum":3,"home":true}', JSON),
        ("Plain", b'{"a": 1}', b'[{"a":1},null]', JSON),
        ("ready", b"1", b"[1,null]", JSON),
        ("double", b'"ab"', b"abab", TEXT),
        ("double", b"[1]", b"[1,1]", JSON),
        ("length", b"\xff\x00", b"2", JSON),
        ("shout", "grüße".encode(), "GRÜSSE".encode(), TEXT),
        ("raw", b"abc", b"cba", BYTES),
        ("image", b"1", b"GIF", "image/gif"),
        ("pair", b"1", b"[1,2]", JSON),
        ("arrays", b"1", b'{"a":[0,1,2],"b":0.5}', JSON),
        ("typed", b'{"amount": 3}', b'[3.0,"NO"]', JSON),
    ],
)
def test_handler_gets_the_request_and_returns_the_response(
    tmp_path: Path, name: str, body: bytes, answer: bytes, kind: str
) -> None:
    assert said(load(tmp_path, name).answer(call(body))) == (answer, kind)


def test_a_generator_is_a_stream(tmp_path: Path) -> None:
    answer = load(tmp_path, "words").answer(call(b"the quick fox"))
    assert isinstance(answer, AnswerStream)
    assert list(answer.parts) == [b"the ", b"quick ", b"fox "]


@pytest.mark.parametrize(
    ("name", "body", "kind", "status", "message"),
    [
        ("double", b"{", "", 400, "The JSON is cut off: "),
        ("double", b"1", "text/csv", 415, "Content type 'text/csv' is not supported; send application/json."),
        ("typed", b'{"amount": "x"}', "", 400, "The JSON cannot be used: 'amount' is a text"),
        ("shout", b"\xff", "", 400, "The body is not UTF-8: "),
        ("fails", b"1", "", 500, "ValueError: no"),
        ("odd", b"1", "", 500, "TypeError: a object cannot be written as JSON"),
    ],
)
def test_a_failed_request_has_the_status_of_its_error(
    tmp_path: Path, name: str, body: bytes, kind: str, status: int, message: str
) -> None:
    loaded = load(tmp_path, name)
    with pytest.raises(Exception) as caught:
        loaded.answer(call(body, kind))
    told = failure(caught.value)
    assert told[0] == status
    assert told[1].startswith(message)


@pytest.mark.parametrize(
    ("where", "kind", "message"),
    [
        ("", Invalid, "MODEL_HANDLER must name a class or function as package.module:Name, not ''"),
        ("scoring", Invalid, "not 'scoring'"),
        ("scoring:a.b", Invalid, "not 'scoring:a.b'"),
        ("scoring:Missing", ArtifactError, "the module scoring has no Missing"),
        ("missing:Name", ArtifactError, "missing:Name needs the module missing, which is not installed"),
        ("scoring:number", ArtifactError, "scoring:number has neither predict nor __call__"),
        ("scoring:later", ArtifactError, "scoring:later is async"),
        ("scoring:broken", ArtifactError, "scoring:broken must take one argument, with an annotation"),
        ("scoring:nothing", ArtifactError, "scoring:nothing must take one argument"),
        ("bad:Name", ArtifactError, "bad:Name cannot be read: code/bad.py, line 1: "),
        ("fails:Name", ArtifactError, "fails:Name failed (code/fails.py, line 3): OSError: no weights"),
        ("opens:Name", ArtifactError, "opens:Name called sys.exit(3) (code/opens.py, line 3)"),
    ],
)
def test_an_unusable_handler_is_named(tmp_path: Path, where: str, kind: type[TidegateError], message: str) -> None:
    model = folder(
        tmp_path,
        scoring=CODE,
        bad="def f(:",
        fails="class Name:\n    def __init__(self, d):\n        raise OSError('no weights')",
        opens="import sys\nclass Name:\n    def __init__(self): sys.exit(3)",
    )
    with pytest.raises(kind) as caught:
        python.load(model, {**TRUSTED, "MODEL_HANDLER": where})
    assert message in caught.value.message


def test_an_installed_package_needs_no_folder(tmp_path: Path) -> None:
    loaded = python.load(tmp_path, {**TRUSTED, "MODEL_HANDLER": "html:escape"})
    assert said(loaded.answer(call(b'"a<b"'))) == (b"a&lt;b", TEXT)


def test_without_trust_nothing_is_imported(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="start the server with TIDEGATE_TRUST=code"):
        python.load(
            folder(tmp_path, scoring=CODE), {"MODEL_HANDLER": "scoring:double", "TIDEGATE_TRUST": "pickle"}
        )
    assert "scoring" not in sys.modules


def test_classes_in_modules_of_one_name_are_each_models_own(tmp_path: Path) -> None:
    text = (
        "from parts import Name\n\ndef predict(data: Name) -> str:\n    return type(data).__qualname__ + data.said"
    )
    parts = "from dataclasses import dataclass\n@dataclass\nclass Name:\n    said: str = "
    environment = {**TRUSTED, "MODEL_HANDLER": "scoring:predict"}
    loaded = [
        python.load(folder(tmp_path / name, scoring=text, parts=parts + repr(name)), environment) for name in "ab"
    ]
    assert [said(each.answer(call(b"{}")))[0] for each in loaded] == [b"Namea", b"Nameb"]
