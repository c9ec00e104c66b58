"""Loads a model in a child process first, if a damaged file can crash the process that reads it.

LightGBM's reader does: an exception in one of its threads, or an index from a damaged file, ends the process, and
cannot be caught. So does llama.cpp at some files, while its log names the errors of others.
So the first worker of a fleet starts a child that loads the model and predicts some rows (LightGBM's with a limit on
time and memory), while the worker imports the library itself. A file beside the model data keeps the result for the
other workers.

The child is a new process, not a fork, and hides the optional packages of a bounded runtime's library. A runtime's
module may have a function ``why_it_ended(names, log, code)``, for a child that ended without a result.
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
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.runtime import Probe
from tidegate.serving.runtimes.optional_imports import LOADER

TIMEOUT = 120.0
"""Seconds for the start of the child, the load and the predictions."""
MEMORY = 4 * 1024**3
"""Bytes of address space that the child may take beyond ``PER_BYTE`` for each of the model's."""
PER_BYTE = 50


class _ProbeResult(msgspec.Struct):
    """``problem``: why the model is unusable; empty: it is usable. ``of``: the files that were probed. ``keep``:
    whether the result applies to these files for good."""

    of: list[tuple[str, int, int]]
    problem: str = ""
    keep: bool = True


@contextmanager
def probe_in_child(kind: RuntimeKind, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Load the model in ``folder`` in a child while the body runs, unless there is a result already. Raises
    ArtifactError at the end for a model that cannot be used. Does nothing for runtimes that need no probe."""
    if kind.descriptor.probe is Probe.NONE:
        yield
        return
    files = _files(folder)
    marker = folder.with_name(f"{folder.name}.tried-{kind}")
    with _lock(marker.with_name(f"{marker.name}.lock")):
        result = _read_result(marker, files)
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


def _read_result(marker: Path, files: list[tuple[str, int, int]]) -> _ProbeResult | None:
    try:
        result = msgspec.json.decode(marker.read_bytes(), type=prepare_type(_ProbeResult))
    except (OSError, msgspec.DecodeError):
        return None
    return result if result.of == files else None


def _begin(kind: RuntimeKind, folder: Path, environment: Mapping[str, str], size: int) -> subprocess.Popen[bytes]:
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


def _result(child: subprocess.Popen[bytes], kind: RuntimeKind, files: list[tuple[str, int, int]]) -> _ProbeResult:
    try:
        output, log = child.communicate(timeout=TIMEOUT if kind.descriptor.probe is Probe.BOUNDED else None)
    except subprocess.TimeoutExpired:
        why = f"the model did not load and predict within {TIMEOUT:g} s, when it was tried"
        return _ProbeResult(files, why, keep=False)
    try:
        result = msgspec.json.decode(output, type=prepare_type(_ProbeResult))
    except msgspec.DecodeError:
        code, explain = child.returncode, getattr(LOADER.load_module(kind), "why_it_ended", None)
        if explain is not None:
            why = explain([name for name, _, _ in files], log.decode("utf-8", "replace"), code)
            return _ProbeResult(
                files, why, keep=code != -signal.SIGKILL
            )  # the kernel may have ended it for lack of memory
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        names = ", ".join(name for name, _, _ in files[:3])
        why = (
            f"the process that tried to load the {kind} model ({names}) {how}: the file is damaged; save it again"
        )
        return _ProbeResult(files, why)
    result.of = files
    return result


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of each file."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for path, stat in found]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def attempt(kind: RuntimeKind, folder: Path, environment: Mapping[str, str]) -> str:
    """In the child: why the model cannot be used, or empty if it can."""
    for name in kind.descriptor.optional_packages if kind.descriptor.probe is Probe.BOUNDED else ():
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        model = LOADER.load_module(kind).load(folder, environment)
        model.probe()
    except TidegateError as error:
        return error.message
    except MemoryError:
        return "the model took more memory than its size accounts for, when it was tried: the file is damaged"
    return ""


def main(kind: RuntimeKind, folder: str, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if kind.descriptor.probe is Probe.BOUNDED:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    output = os.dup(1)
    os.dup2(2, 1)  # output of the library is not the result
    problem = attempt(kind, Path(folder), json.loads(sys.stdin.buffer.read()))
    os.write(output, msgspec.json.encode(_ProbeResult([], problem, keep=not problem)))
    os._exit(0)  # the library's cleanup may crash as well


if __name__ == "__main__":
    main(RuntimeKind(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
