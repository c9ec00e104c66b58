"""A Python class or function as a model: ``MODEL_HANDLER=package.module:Name`` in the model's environment.

It is in the model data's ``code/`` folder or in an installed package. A class is instantiated once, with the model
folder if it takes an argument, and its ``predict`` (or ``__call__``) gets each request's data; a function is called
directly. Bodies are JSON; a parameter annotated ``bytes`` or ``str`` gets the raw body, and one annotated with a
dataclass or another type gets JSON that was checked against it. It may return ``bytes`` or ``str``, which are sent
unchanged, (body, content type), a generator for a stream, or anything else, which is sent as JSON.
"""

import importlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.artifacts.detect_runtime import CODE_FOLDER, HANDLER
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.contract.trust import check_code_allowed
from tidegate.serving.formats.json_encoding import encode_json, unreadable
from tidegate.serving.runtimes import user_code
from tidegate.serving.scoring.thread_engine import AnswerStream

JSON = "application/json"
BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


def load(model_dir: Path, environment: Mapping[str, str]) -> "Python":
    """Raises Invalid for a malformed MODEL_HANDLER, ArtifactError with the line of the code that failed, and
    Transient if a retry may help."""
    where = environment.get(HANDLER, "")
    module, _, name = where.partition(":")
    if not module or not name.isidentifier():
        raise Invalid(f"{HANDLER} must name a class or function as package.module:Name, not {where!r}")
    check_code_allowed(environment, where)
    threads = user_code.threads(environment)
    folder = model_dir / CODE_FOLDER
    modules = user_code.prepare(model_dir, folder, environment)
    with modules.entered():
        with user_code.report_code_errors(where, folder):
            found = getattr(importlib.import_module(module), name, None)
            if found is None:
                raise ArtifactError(f"the module {module} has no {name}")
            made: Any = found
            if inspect.isclass(found):
                made = made(str(model_dir)) if user_code.parameters(made, name) else made()
        predict = getattr(made, "predict", made)
        if not callable(predict):
            raise ArtifactError(f"{where} has neither predict nor __call__")
        user_code.parameters(predict, where)
        return Python(predict, _reader(predict, where), threads)


class Python:
    """A ``thread_engine.Handler`` around one callable."""

    def __init__(self, predict: Callable[[Any], Any], read: Callable[[Call], Any], threads: int) -> None:
        self.threads = threads
        self._predict = predict
        self._read = read

    def answer(self, call: Call) -> Answer | AnswerStream:
        data = self._read(call)
        try:
            result = self._predict(data)
            body, kind = _pair(result)
            if isinstance(body, Iterator):
                return AnswerStream(kind, user_code.parts(body))
            return Answer(user_code.as_bytes(body), kind)
        except Exception as error:
            raise user_code.with_status(error) from None


def _pair(result: Any) -> tuple[Any, str]:
    match result:
        case (bytes() | str() | Iterator() as body, str(kind)):
            return body, kind
        case bytes() | bytearray() | Iterator():
            return result, BYTES
        case str():
            return result, TEXT
        case _:
            return encode_json(result, user_code.plain), JSON


def _reader(predict: Callable[..., Any], where: str) -> Callable[[Call], Any]:
    """A function from a request to its data, by the annotation of the first parameter."""
    wanted = _annotation(predict, where)
    if wanted is bytes:
        return lambda call: call.body
    if wanted is str:
        return _text
    try:
        decoder = msgspec.json.Decoder(prepare_type(wanted))
    except TypeError as error:
        raise ArtifactError(f"{where}: no JSON can be checked against {wanted}: {error}") from None

    def read(call: Call) -> Any:
        kind = call.content_type.partition(";")[0].strip().lower()
        if kind not in ("", JSON):
            raise ModelFailed(415, f"Content type {kind!r} is not supported; send {JSON}.")
        try:
            return decoder.decode(call.body)
        except msgspec.DecodeError as error:
            raise unreadable(error, call.body) from None

    return read


def _annotation(predict: Callable[..., Any], where: str) -> Any:
    function = predict if inspect.isroutine(predict) else type(predict).__call__
    try:
        hints = typing.get_type_hints(function)
        first = next(iter(inspect.signature(predict).parameters))
    except (TypeError, ValueError, StopIteration, NameError) as error:
        raise ArtifactError(
            f"{where} must take one argument, with an annotation that can be read: {error}"
        ) from None
    return hints.get(first, Any)


def _text(call: Call) -> str:
    try:
        return call.body.decode()
    except UnicodeDecodeError as error:
        raise ModelFailed(400, f"The body is not UTF-8: {error}.") from None
