"""Makes a baseline for a drift schedule of a table or of captures."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tidegate.domain.errors import Invalid
from tidegate.features.drift.baseline import RowSample, read_baseline
from tidegate.rows.captured_rows import CapturedReader, Unusable, parse_time, read_table
from tidegate.rows.sources import read_lines
from tidegate.schedules.schedule import load_zone

SEED = 17
"""The same rows give the same baseline."""


def make_baseline(
    source: str, time_column: str, columns: Sequence[str], score: str, s3: tuple[str, str]
) -> tuple[bytes, int]:
    """The document and the number of its rows. ``source``: a table, or captures (a folder, or an address);
    ``time_column``: of a table, with the rows' times; ``columns``: of captured rows without names. Raises
    TidegateError."""
    sample = RowSample(random.Random(SEED).randrange)
    path = Path(source)
    if path.suffix == ".csv":
        _add_table(sample, path, time_column)
    else:
        _add_captures(sample, source, columns, score, s3)
    if not sample.count:
        raise Invalid(f"{source} has no row that can be used")
    return json.dumps(sample.document(), allow_nan=False, separators=(",", ":")).encode(), sample.count


def check_file(content: bytes, path: Path) -> None:
    """Raises Invalid for what is neither a baseline nor SageMaker's statistics."""
    try:
        read_baseline(content, load_zone("UTC"))
    except Invalid as error:
        raise Invalid(f"{path}: {error}") from None


def _add_table(sample: RowSample, path: Path, time_column: str) -> None:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(read_table(file), 2):
                if number == 2 and time_column and time_column not in row:
                    raise Invalid(f"{path} has no column {time_column}")
                at = _parse_moment(row.get(time_column), f"{path}: row {number}") if time_column else None
                sample.add({name: value for name, value in row.items() if name != time_column}, at)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Invalid(f"{path} is no text in UTF-8") from None


def _parse_moment(value: object, where: str) -> float:
    """Epoch seconds, or a time of ISO 8601. Raises Invalid."""
    if isinstance(value, float):
        return value
    try:
        return parse_time(str(value))
    except ValueError:
        raise Invalid(f"{where}: {value!r} is no time: expected 2026-03-01T12:00:00Z, or epoch seconds") from None


def _add_captures(sample: RowSample, source: str, columns: Sequence[str], score: str, s3: tuple[str, str]) -> None:
    reader, skipped = CapturedReader(columns, score), Counter[Unusable]()
    for _, line in read_lines(source, s3):
        found = reader.read(line)
        if isinstance(found, Unusable):
            skipped[found] += 1
            continue
        moment, rows = found
        for row in rows:
            sample.add(row, moment)
    if skipped[Unusable.OTHER_COLUMNS] and not sample.count:
        raise Invalid(f"{source}: rows have no names, or another length: give their --columns")
