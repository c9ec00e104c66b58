"""Tables as inputs and as answers: which jobs have them, and how answers become one output.

``table_io`` needs pyarrow and is imported when it is needed.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import IO

from tidegate.domain.errors import ArtifactError
from tidegate.domain.transform import SplitType, TransformJob
from tidegate.host.late_import import load_module
from tidegate.transform.joining import MAGIC, TABLE_TYPES, media_type


def splits_rows(job: TransformJob, built_in: bool) -> bool:
    """Whether objects are tables whose rows are the records. A table that is not split is one request, unless
    the model is known to score rows independently."""
    parquet = "parquet" in media_type(job.source.content_type)
    return parquet and (job.source.split is SplitType.LINE or (job.source.split is SplitType.NONE and built_in))


def may_answer_tables(job: TransformJob) -> bool:
    """Whether answers may be tables: they are framed until the last one is there."""
    wished = media_type(job.sink.accept)
    return media_type(job.source.content_type if wished in ("", "*/*") else wished) in TABLE_TYPES


def table_io() -> ModuleType:
    """The module. Raises ArtifactError without pyarrow."""
    if find_spec("pyarrow") is None:
        raise ArtifactError("parquet needs pyarrow, which is not installed: pip install 'tidegate[arrow]'")
    return load_module("tidegate.features.batch.runner.table_io")


def import_early(job: TransformJob, rows: bool) -> None:
    """Import in a thread what a job with tables needs, while its workers start. ``rows``: its objects are tables."""
    if rows or may_answer_tables(job):
        Thread(target=_try_import, daemon=True, name="tables").start()


def _try_import() -> None:
    with suppress(Exception):  # whoever needs it meets the same error, and tells
        table_io()


def frame(answer: bytes) -> bytes:
    """The answer, with its length before it."""
    return len(answer).to_bytes(8, "little") + answer


def assemble(answers: Path, output: Path) -> None:
    """``answers``: framed ones. Tables are joined into one table; the rest is concatenated. Raises ArtifactError."""
    with answers.open("rb") as source, output.open("wb") as sink:
        found = _unframe(source)
        first = next(found, b"")
        second = next(found, None)
        if second is None:
            sink.write(first)
        elif first.startswith(MAGIC):
            table_io().join(chain((first, second), found), first, sink)
        else:
            sink.writelines(chain((first, second), found))
        sink.flush()
        os.fsync(sink.fileno())


def _unframe(source: IO[bytes]) -> Iterator[bytes]:
    while head := source.read(8):
        yield source.read(int.from_bytes(head, "little"))
