"""Python code of a model's owner: permission, requirements, and reports of its errors.

Code is imported into this process, if the server was started with ``TIDEGATE_TRUST=code``. Nothing is installed for
it: ``requirements.txt`` is compared with the installed packages.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from tidegate.domain.errors import ArtifactError, Invalid, TidegateError, Transient
from tidegate.serving.artifacts.detect_runtime import HANDLER
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.contract.trust import TRUST
from tidegate.serving.runtimes.module_isolation import IsolatedModules
from tidegate.serving.runtimes.submitted_code import FOLDER

THREADS = "SAGEMAKER_MODEL_SERVER_WORKERS"
"""Requests that the code gets at a time, each in a thread; 1 by default."""
_AGAIN = (ConnectionError, TimeoutError, MemoryError)
"""Errors that may pass: the replica is restarted."""
_environment: dict[str, str] = {}
"""Variables that were set in this process for user code."""


def prepare(model_dir: Path, folder: Path, environment: Mapping[str, str]) -> IsolatedModules:
    """Make ``folder`` (of ``model_dir``, may be missing) importable and set the environment of its code. Load the
    code while the result is ``entered``.

    Raises ArtifactError for unmet requirements, and for variables that two models of a replica cannot share."""
    check_requirements(folder / "requirements.txt")
    wanted = {**environment, "SM_MODEL_DIR": str(model_dir), "MODEL_DIR": str(model_dir)}
    for name in (TRUST, FOLDER):  # the server's, not the model's
        wanted.pop(name, None)
    _share(wanted)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # replicas share the folder
    for stream in (sys.stdout, sys.stderr):
        # so that prints appear in the log at once
        getattr(stream, "reconfigure", lambda **_: None)(line_buffering=True)
    os.environ.update(wanted)
    _environment.update(wanted)
    return IsolatedModules(folder)


def _share(wanted: Mapping[str, str]) -> None:
    """Set environment variables. Models with code may share a process, so equal names need equal values."""
    for name, value in wanted.items():
        ours = name.startswith("SAGEMAKER_") or name in ("SM_MODEL_DIR", "MODEL_DIR", HANDLER)
        if not ours and _environment.get(name, value) != value:
            raise ArtifactError(
                f"two models with code in one process set {name} to different values, which they would share"
            )


def check_requirements(path: Path) -> None:
    """Raises ArtifactError with all unmet requirements of the file; options are ignored."""
    if not path.is_file():
        return
    missing: list[str] = []
    for line in path.read_text("utf-8", "replace").splitlines():
        text = line.partition(" #")[0].strip()
        if text and text[0] not in "#-":
            missing += _find_unmet(text)
    if missing:
        raise ArtifactError(
            f"requirements.txt is not met: {'; '.join(missing)}. Nothing is installed for a model: install it where"
            " tidegate runs, or change requirements.txt"
        )


def _find_unmet(text: str) -> Iterator[str]:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ArtifactError(f"requirements.txt: {text[:100]!r} is not a requirement") from None
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        yield f"{requirement} is not installed"
        return
    if not requirement.specifier.contains(found, prereleases=True):
        yield f"{requirement}, but {found} is installed"


@contextmanager
def report_code_errors(what: str, folder: Path) -> Iterator[None]:
    """Convert exceptions of code while a model is loaded to one line with their place: ArtifactError, or Transient
    for errors that may pass. The traceback goes to the log."""
    try:
        yield
    except TidegateError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        traceback.print_exception(error)
        kind = Transient if isinstance(error, _AGAIN) else ArtifactError
        raise kind(f"{what}{_message(error, folder)}") from None


def _message(error: BaseException, folder: Path) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:
        return f" cannot be read: {_display_path(error.filename, folder)}, line {error.lineno}: {error.msg}"
    where = _locate(error, folder)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f" needs the module {error.name}, which is not installed{where}"
    if isinstance(error, SystemExit):
        return f" called sys.exit({error.code!r}){where}"
    detail = f": {message}" if message else ""
    return f" failed{where}: {type(error).__name__}{detail}"


def _locate(error: BaseException, folder: Path) -> str:
    """The last line of the owner's code in the traceback."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(folder))]
    return f" ({_display_path(own[-1].filename, folder)}, line {own[-1].lineno})" if own else ""


def _display_path(filename: str, folder: Path) -> str:
    path = Path(filename)
    return path.relative_to(folder.parent).as_posix() if path.is_relative_to(folder) else path.name


def threads(environment: Mapping[str, str]) -> int:
    """Raises Invalid."""
    given = environment.get(THREADS, "1")
    if not given.isdecimal() or not 0 < int(given) <= 256:
        raise Invalid(f"{THREADS} must be a number from 1 to 256, not {given!r}")
    return int(given)


def parameters(function: Callable[..., Any], name: str) -> int | None:
    """Number of positional arguments; None if unknown. Raises ArtifactError for a coroutine function, since functions
    are called in threads."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ArtifactError(f"{name} is async; write it as a plain function (it has a thread of its own)")
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in found):
        return None
    return len(found)


def as_bytes(body: Any) -> bytes:
    """Encode a body from user code. Raises TypeError if it is neither bytes nor text."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"the answer is a {type(body).__name__}; expected bytes or str")


def parts(body: Iterator[Any]) -> Iterator[bytes]:
    """The parts of a stream. Errors keep their status, and the code's generator is closed at the end."""
    try:
        for part in body:
            yield as_bytes(part)
    except Exception as error:
        raise with_status(error) from None
    finally:
        getattr(body, "close", lambda: None)()


def with_status(error: Exception) -> Exception:
    """Keep the HTTP status (``status_code``) and message of an error whose class has one."""
    status = getattr(error, "status_code", None)
    if isinstance(error, ModelFailed) or not isinstance(status, int) or not 400 <= status < 600:
        return error
    message = getattr(error, "message", None)
    return ModelFailed(int(status), message if isinstance(message, str) else str(error))


def plain(value: Any) -> Any:
    """Convert numpy's arrays and numbers to Python's, for JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
