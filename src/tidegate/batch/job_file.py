"""The file that the runner of a job is started with, and what it leaves beside it.

``python -m tidegate.batch JOB.json``. In the file's folder lie ``progress.json`` (a ``Progress``),
``objects.json`` (what is read, listed once), ``parts/`` (outputs that are not whole yet, each with its checkpoint)
and at the end ``result.json`` (a ``Result``).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidegate.domain.errors import StartupError
from tidegate.domain.transform import TransformJob
from tidegate.host.atomic_write import write_atomically

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """Sizes are bytes."""

    job: TransformJob
    replicas: str
    """Folder in which the job's replicas have theirs."""
    built_in: bool
    """The model is served by a runtime of this platform: requests are sized as suits it where nobody says."""
    file_roots: tuple[str, ...] | None = None
    """Folders that ``file://`` may lead into. None: any; empty: none."""
    s3_endpoint: str = ""
    region: str = "us-east-1"


@dataclass(frozen=True)
class Result:
    """How it ended; ``reason`` is empty for a job that is complete. ``attempt``: how often it had been resumed."""

    reason: str = ""
    attempt: int = 0


def read(path: Path) -> JobFile:
    """Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobFile)
    except (OSError, msgspec.DecodeError) as error:
        raise StartupError(f"{path} cannot be read as a job: {error}") from None


def load(path: Path, kind: type[T]) -> T | None:
    """None where there is no such file, or none that was written whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


def keep(path: Path, document: Any, *, sync: bool = True) -> None:
    """A reader, or a crash, sees the old document or the new one."""
    write_atomically(path, msgspec.json.encode(document), mode=0o666, durable=sync)


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether no other process runs this job; held until the end."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
