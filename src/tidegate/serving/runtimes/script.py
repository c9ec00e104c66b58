"""Scripts of the model's owner: the functions in ``code/inference.py``, as in sagemaker-inference-toolkit.

``model_fn(model_dir)`` loads the model. A request is answered by ``transform_fn(model, data, content_type, accept)``
or by ``input_fn(data, content_type)``, ``predict_fn(object, model)`` and ``output_fn(prediction, accept)``, of which
the first and the last have defaults for JSON, CSV and NPY. ``pre_model_fn(model_dir)`` and
``model_warmup_fn(model_dir, model)`` run before and after ``model_fn``. Each may take one more argument, the
``_Context``. A result may be a body or (body, content type), and a generator is a stream.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts.detect_runtime import CODE_FOLDER, PROGRAM
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.contract.trust import check_code_allowed
from tidegate.serving.runtimes import user_code
from tidegate.serving.runtimes.submitted_code import DIRECTORY, FOLDER, MOUNT
from tidegate.serving.scoring.thread_engine import AnswerStream

try:
    from tidegate.serving.runtimes import framework_defaults, script_arrays
except ImportError as missing:
    raise ArtifactError(
        f"scripts need packages that are not installed ({missing.name}): pip install 'tidegate[script]'"
    ) from None

DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
_TEXT = (script_arrays.JSON, script_arrays.CSV)
"""Content types whose body a script gets as text."""
TAKES = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "transform_fn": 4,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
}
"""Function -> number of arguments before the context."""
_Function = Callable[..., Any]


class _Context:
    """The last argument of a function, for one request or (without a call) for the load."""

    def __init__(self, model_dir: str, call: Call | None = None, model: Any = None) -> None:
        self.model_dir = model_dir
        self.model = model
        """The result of ``model_fn``; None before it."""
        self.system_properties = {"model_dir": model_dir, "gpu_id": None}
        self._call = call

    def get_all_request_header(self, idx: int = 0) -> dict[str, str]:
        """Names in lower case."""
        headers = self._call.headers.items() if self._call is not None else ()
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.get_all_request_header(idx).get(key.lower())


def load(model_dir: Path, environment: Mapping[str, str], family: str = "") -> "Script":
    """``family``: the framework of the image ("sklearn", "xgboost"), whose functions replace missing ones. Raises
    ArtifactError with the line of the code that failed, and Transient if a retry may help."""
    path = program(model_dir, environment)
    name = f"{CODE_FOLDER}/{path.name}" if FOLDER in environment else path.relative_to(model_dir).as_posix()
    check_code_allowed(environment, name)
    threads = user_code.threads(environment)
    modules = user_code.prepare(model_dir, path.parent, environment)
    context = _Context(str(model_dir))

    def run(function: str, *arguments: Any) -> Any:
        with user_code.report_code_errors(f"{function} of {name}", path.parent):
            return functions.run(function, context, *arguments)

    with modules.entered():
        with user_code.report_code_errors(name, path.parent):
            module = modules.file(path)
        functions = _Functions(module, name, family)
        if functions.has("pre_model_fn"):
            run("pre_model_fn", str(model_dir))
        model = run("model_fn", str(model_dir))
        if functions.has("model_warmup_fn"):
            run("model_warmup_fn", str(model_dir), model)
    return Script(functions, model, str(model_dir), environment.get(DEFAULT_ACCEPT, script_arrays.JSON), threads)


def program(model_dir: Path, environment: Mapping[str, str]) -> Path:
    """The file with the functions: in the submitted code, or in the model data.

    Raises ArtifactError."""
    name = environment.get(PROGRAM) or "inference.py"
    name = name if name.endswith(".py") else f"{name}.py"
    if FOLDER in environment:
        return _submitted_script(Path(environment[FOLDER]), name, environment)
    given = environment.get(DIRECTORY, "").removeprefix("file://")
    root = model_dir.resolve()
    folder = root / CODE_FOLDER
    if given and "://" not in given:
        inside = Path(given).relative_to(MOUNT) if Path(given).is_relative_to(MOUNT) else Path(given)
        if (root / inside).resolve().is_relative_to(root):
            folder = root / inside
    path = (folder / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        found = ", ".join(sorted(file.name for file in folder.glob("*"))[:10]) or "nothing"
        where = f" ({DIRECTORY} is {given!r}; code has to lie in the model data)" if given else ""
        shown = folder.relative_to(root).as_posix()
        raise ArtifactError(f"the model data has no {shown}/{name}{where}; found in {shown}/: {found}")
    return model_dir / path.relative_to(root)


def _submitted_script(folder: Path, name: str, environment: Mapping[str, str]) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        found = ", ".join(sorted(file.name for file in folder.glob("*"))[:10]) or "nothing"
        raise ArtifactError(f"{DIRECTORY} ({environment.get(DIRECTORY)}) holds no {name}; found: {found}")
    return path


class _Functions:
    """The functions of a script and the defaults of missing ones. Raises ArtifactError for an incomplete or
    contradictory set; ``name`` is the script's."""

    def __init__(self, module: ModuleType, name: str, family: str = "") -> None:
        own = {function: getattr(module, function, None) for function in TAKES}
        self._functions: dict[str, tuple[_Function, bool]] = {}
        for function, found in {
            **framework_defaults.defaults(family),
            **{k: v for k, v in own.items() if v},
        }.items():
            self._functions[function] = (found, _takes_context(found, function, name))
        parts = [part for part in ("input_fn", "predict_fn", "output_fn") if own[part]]
        if own["transform_fn"] and parts:
            raise ArtifactError(f"{name} has transform_fn and {parts[0]}; use transform_fn alone, or without it")
        needed = ["model_fn"] if own["transform_fn"] else ["model_fn", "predict_fn"]
        missing = [function for function in needed if not self.has(function)]
        if missing:
            raise ArtifactError(f"{name} has no function {missing[0]}")

    def has(self, name: str) -> bool:
        return name in self._functions

    def run(self, name: str, context: _Context, *arguments: Any) -> Any:
        function, takes_context = self._functions[name]
        return function(*arguments, context) if takes_context else function(*arguments)


def _takes_context(function: object, name: str, script: str) -> bool:
    if not callable(function):
        raise ArtifactError(f"{name} of {script} is a {type(function).__name__}, not a function")
    takes, expected = user_code.parameters(function, f"{name} of {script}"), TAKES[name]
    if takes not in (None, expected, expected + 1):
        raise ArtifactError(
            f"{name} of {script} takes {takes} arguments; expected {expected}, or {expected + 1} with a context"
        )
    return takes == expected + 1


class Script:
    """A ``thread_engine.Handler`` around the functions and the model."""

    def __init__(self, functions: _Functions, model: Any, model_dir: str, accept: str, threads: int) -> None:
        self.threads = threads
        self._functions = functions
        self._model = model
        self._model_dir = model_dir
        self._accept = accept

    def answer(self, call: Call) -> Answer | AnswerStream:
        content_type = call.content_type or None
        accept = self._accept if call.accept in ("", "*/*") else call.accept
        data: str | bytes = call.body
        if content_type in _TEXT:
            try:
                data = call.body.decode()
            except UnicodeDecodeError as error:
                raise ModelFailed(400, f"The body is {content_type}, but not UTF-8: {error}.") from None
        try:
            result = self._result(_Context(self._model_dir, call, self._model), data, content_type, accept)
        except Exception as error:
            raise user_code.with_status(error) from None
        body, kind = result if isinstance(result, tuple) else (result, accept)
        if isinstance(body, Iterator):
            return AnswerStream(kind, user_code.parts(body))
        return Answer(user_code.as_bytes(body), str(kind))

    def _result(self, context: _Context, data: str | bytes, content_type: str | None, accept: str) -> Any:
        run = self._functions.run
        if self._functions.has("transform_fn"):
            return run("transform_fn", context, self._model, data, content_type, accept)
        value = run("input_fn", context, data, content_type)
        prediction = run("predict_fn", context, value, self._model)
        return run("output_fn", context, prediction, accept)
