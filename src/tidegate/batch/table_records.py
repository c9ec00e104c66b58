"""Tables as the records of objects, and as answers: which jobs have them, and how answers become one output.

What reads and writes tables (``tables``) needs pyarrow, and is imported where it comes to that.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import IO

from tidegate.domain.errors import ArtifactError
from tidegate.domain.transform import SplitType, TransformJob
from tidegate.serving.scoring.batching import PACKED
from tidegate.transform.joining import kind

PARQUET, ARROW, STREAM = BEGINNINGS = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""What a table of each form begins with."""
_KINDS = {name.decode() for name in PACKED}


def by_rows(job: TransformJob, built_in: bool) -> bool:
    """Whether objects are tables whose rows are the records. A table that is not to be split is one request, except
    for models that are known to take rows by themselves."""
    parquet = "parquet" in kind(job.source.content_type)
    return parquet and (job.source.split is SplitType.LINE or (job.source.split is SplitType.NONE and built_in))


def tables_out(job: TransformJob) -> bool:
    """Whether answers may be tables: they are kept apart (``framed``) until there are all."""
    wished = kind(job.sink.accept)
    return kind(job.source.content_type if wished in ("", "*/*") else wished) in _KINDS


def tables() -> ModuleType:
    """The module. Raises ArtifactError."""
    if find_spec("pyarrow") is None:
        raise ArtifactError("parquet needs pyarrow, which is not installed: pip install 'tidegate[arrow]'")
    from tidegate.batch import table_io  # noqa: PLC0415  # needs pyarrow

    return table_io


def framed(answer: bytes) -> bytes:
    """So that it can be told from the next one."""
    return len(answer).to_bytes(8, "little") + answer


def assemble(answers: Path, output: Path) -> None:
    """``answers``: framed ones. Tables become one table; anything else is put together as it is. Raises
    ArtifactError."""
    with answers.open("rb") as source, output.open("wb") as sink:
        found = _unframed(source)
        first = next(found, b"")
        second = next(found, None)
        if second is None:
            sink.write(first)
        elif first.startswith(BEGINNINGS):
            tables().join(chain((first, second), found), first, sink)
        else:
            sink.writelines(chain((first, second), found))
        sink.flush()
        os.fsync(sink.fileno())


def _unframed(source: IO[bytes]) -> Iterator[bytes]:
    while head := source.read(8):
        yield source.read(int.from_bytes(head, "little"))
