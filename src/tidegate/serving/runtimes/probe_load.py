"""Loads a model in a process of its own first, where a damaged file can end the process that reads it.

LightGBM's reader does: an exception in one of its threads, or an index out of a damaged file, is the end of the
process, and no error can be caught. So does llama.cpp at some files, and says what is wrong with others in its log.
So the first worker of a fleet lets a child load the model and predict some rows (LightGBM's with a limit on time and
memory), while it imports the library itself. What came of it is kept in a file beside the model data, and the other
workers read that.

The child is started anew (no fork), and without the optional packages that LightGBM would bring in. A runtime's
module may have a function ``why_it_ended(names, log, code)``, for a child that gave no answer.
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import msgspec

from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.serving.runtimes.optional_imports import COMPANIONS

TIMEOUT = 120.0
"""Seconds for the start of the child, the load and the predictions."""
MEMORY = 4 * 1024**3
"""Bytes of address space that the child may take beyond ``PER_BYTE`` for each of the model's."""
PER_BYTE = 50
FRAGILE = frozenset({"lightgbm", "gguf"})
"""Runtimes whose libraries a damaged model can bring down."""
BOUNDED = frozenset({"lightgbm"})
"""Those whose models are held to the limits: what a language model takes is for its settings to say."""


class Result(msgspec.Struct):
    """``problem``: why the model cannot be used; empty: it can. ``of``: the files that were tried. ``keep``: whether
    the same files would do the same again."""

    of: list[tuple[str, int, int]]
    problem: str = ""
    keep: bool = True


@contextmanager
def tried(kind: str, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Tries the model in ``folder`` while the body runs, unless that has been done. Raises ArtifactError at the end
    for one that cannot be used. Does nothing for runtimes that are not fragile."""
    if kind not in FRAGILE:
        yield
        return
    files = _files(folder)
    marker = folder.with_name(f"{folder.name}.tried-{kind}")
    with _locked(marker.with_name(f"{marker.name}.lock")):
        result = _kept(marker, files)
        if result is not None:
            yield
        else:
            child = _begin(kind, folder, environment, sum(length for _, length, _ in files))
            try:
                yield
                result = _result(child, kind, files)
            finally:
                child.kill()
                child.communicate()
            if result.keep:
                marker.write_bytes(msgspec.json.encode(result))
    if result.problem:
        raise ArtifactError(result.problem)


def _kept(marker: Path, files: list[tuple[str, int, int]]) -> Result | None:
    try:
        result = msgspec.json.decode(marker.read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError):
        return None
    return result if result.of == files else None


def _begin(kind: str, folder: Path, environment: Mapping[str, str], size: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, kind, str(folder), str(MEMORY + PER_BYTE * size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
    )
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin as given:
        given.write(json.dumps(dict(environment)).encode())
    child.stdin = None
    return child


def _result(child: subprocess.Popen[bytes], kind: str, files: list[tuple[str, int, int]]) -> Result:
    try:
        said, log = child.communicate(timeout=TIMEOUT if kind in BOUNDED else None)
    except subprocess.TimeoutExpired:
        why = f"the model did not load and predict within {TIMEOUT:g} s, when it was tried"
        return Result(files, why, keep=False)
    try:
        result = msgspec.json.decode(said, type=Result)
    except msgspec.DecodeError:
        code, told = child.returncode, getattr(import_module(f"{__package__}.{kind}"), "why_it_ended", None)
        if told is not None:
            why = told([name for name, _, _ in files], log.decode("utf-8", "replace"), code)
            return Result(
                files, why, keep=code != -signal.SIGKILL
            )  # short of memory, the kernel may have ended it
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        names = ", ".join(name for name, _, _ in files[:3])
        why = (
            f"the process that tried to load the {kind} model ({names}) {how}: the file is damaged; save it again"
        )
        return Result(files, why)
    result.of = files
    return result


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of each file."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for path, stat in found]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def attempt(kind: str, folder: Path, environment: Mapping[str, str]) -> str:
    """In the child: why the model cannot be used, empty where it can."""
    for name in COMPANIONS if kind in BOUNDED else ():
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        model = import_module(f"tidegate.serving.runtimes.{kind}").load(folder, environment)
        model.probe()
    except TidegateError as error:
        return error.message
    except MemoryError:
        return "the model took more memory than its size accounts for, when it was tried: the file is damaged"
    return ""


def main(kind: str, folder: str, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if kind in BOUNDED:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    output = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    problem = attempt(kind, Path(folder), json.loads(sys.stdin.buffer.read()))
    os.write(output, msgspec.json.encode(Result([], problem, keep=not problem)))
    os._exit(0)  # the library's own end may be as damaged as the file


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
