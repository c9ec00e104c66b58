"""A parquet file as lines of CSV, the first of which names the columns."""

import csv
import io
from collections.abc import Iterator
from typing import IO

import pyarrow
import pyarrow.parquet

from tidegate.domain.errors import ArtifactError

ROWS = 16_384
"""Of a batch."""


def parquet_lines(source: IO[bytes]) -> Iterator[str]:
    """Raises ArtifactError for a file that is none. Missing values are empty cells, truth values 1 and 0."""
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            yield _line(file.schema_arrow.names)
            for batch in file.iter_batches(ROWS):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield _line([_cell(value) for value in row])
    except (OSError, pyarrow.ArrowException) as error:
        raise ArtifactError(f"it cannot be read as parquet: {error}") from None


def _cell(value: object) -> object:
    if value is None:
        return ""
    return int(value) if isinstance(value, bool) else value


def _line(cells: list[object] | list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
