"""The file that the runner of a job is started with, and the files that it writes next to it.

``python -m tidegate.features.batch.runner JOB.json`` reads it. In the file's folder are ``progress.json`` (a
``TransformProgress``), ``objects.json`` (what is read, listed once), ``parts/`` (outputs that are not complete yet,
each with its checkpoint) and at the end ``result.json`` (a ``TransformResult``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.domain.transform import TransformJob
from tidegate.host.atomic_write import write_atomically

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """Sizes are bytes."""

    job: TransformJob
    replicas: str
    """Folder that contains those of the job's replicas."""
    built_in: bool
    """The model is served by a runtime of this platform, whose preferred request sizes are the default."""
    file_roots: tuple[str, ...] | None = None
    """Folders that ``file://`` may lead into. None: any; empty: none."""
    s3_endpoint: str = ""
    region: str = "us-east-1"


@dataclass(frozen=True)
class TransformResult:
    """How the job ended; ``reason`` is empty if it is complete. ``attempt``: how often it had been resumed."""

    reason: str = ""
    attempt: int = 0


def read(path: Path) -> JobFile:
    """Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(JobFile))
    except (OSError, msgspec.DecodeError) as error:
        raise StartupError(f"{path} cannot be read as a job: {error}") from None


def load(path: Path, kind: type[T]) -> T | None:
    """None if there is no such file, or it was not written whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(kind))
    except (OSError, ValueError, RecursionError):
        return None


def save(path: Path, document: Any, *, sync: bool = True) -> None:
    """Readers see the old document or the new one, also after a crash."""
    write_atomically(path, msgspec.json.encode(document), mode=0o666, durable=sync)
