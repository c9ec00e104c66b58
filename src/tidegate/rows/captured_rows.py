"""Rows of captured requests and of CSV tables. Pure."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from tidegate.rows.label_lines import read_number, read_scores
from tidegate.rows.profile import PREDICTION, Row, Value

_WRAPPERS = ("instances", "inputs", "rows", "features", "dataframe_records", "dataframe_split", "data")


class Unusable(StrEnum):
    """Why a captured line has no rows."""

    BROKEN = "broken line"
    TOO_OLD = "too old"
    TOO_NEW = "later than the window"
    UNREADABLE = "request without rows"
    OTHER_COLUMNS = "rows of another length"


def read_table(lines: Iterable[str]) -> Iterator[Row]:
    """Read the rows of a CSV file whose first line names the columns."""
    for row in csv.DictReader(lines):
        yield {str(name): parse_value(value) for name, value in row.items() if name is not None}


@dataclass(frozen=True)
class CapturedReader:
    """``columns``: of rows without names; ``where``: the place of the score in an answer; ``since`` and
    ``before``: epoch seconds between which captures are used; ``attributes``: columns that requests may have
    as custom attributes (``country=DE``) where their rows do not."""

    columns: Sequence[str]
    where: str = ""
    since: float = 0.0
    before: float = math.inf
    attributes: Sequence[str] = ()

    def read(self, line: bytes) -> tuple[float, list[Row]] | Unusable:
        """Read one captured request: when it came (epoch seconds), and its rows with their predictions."""
        try:
            document = msgspec.json.decode(line)
            about = document["eventMetadata"]
            moment = parse_time(about["inferenceTime"])
            captured = document["captureData"]
            side = captured["endpointInput"]
            data, encoding = side["data"], side["encoding"]
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, KeyError, TypeError, RecursionError):
            return Unusable.BROKEN
        if moment < self.since:
            return Unusable.TOO_OLD
        if moment >= self.before:
            return Unusable.TOO_NEW
        try:
            if encoding == "CSV":
                found = _csv_rows(data, self.columns)
            else:
                found = _json_rows(msgspec.json.decode(data), self.columns)
        except (msgspec.DecodeError, csv.Error, TypeError, RecursionError):
            return Unusable.UNREADABLE
        except ValueError:
            return Unusable.OTHER_COLUMNS
        if not found:
            return Unusable.UNREADABLE
        more = _attributes(about.get("customAttributes"), self.attributes) if self.attributes else {}
        scores = read_scores(captured, self.where, len(found))
        return moment, [
            {**more, **row} if score is None else {**more, **row, PREDICTION: score}
            for row, score in zip(found, scores, strict=True)
        ]


def parse_time(text: str) -> float:
    """Parse a time as epoch seconds; without a zone it is UTC. Raises ValueError or TypeError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _attributes(given: object, names: Sequence[str]) -> dict[str, Value]:
    """Return the attributes of the form ``name=value`` with these names."""
    texts = given if isinstance(given, list) else ()
    pairs = (text.split("=", 1) for text in texts if isinstance(text, str) and "=" in text)
    return {name: parse_value(value) for name, value in pairs if name in names}


def parse_value(value: object) -> Value:
    """A finite number, a text, or nothing: empty texts, null and what is no number."""
    if isinstance(value, bool):
        return float(value)
    number = read_number(value)
    if number is not None:
        return number
    if isinstance(value, float) or value is None:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return None if not text.strip() or _is_nothing(text) else text


def _is_nothing(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return text.strip().lower() in ("null", "none", "na")


def _csv_rows(data: str, columns: Sequence[str]) -> list[Row]:
    rows = [row for row in csv.reader(io.StringIO(data, newline=""), strict=True) if row]
    if rows and rows[0] == list(columns):
        rows = rows[1:]
    return [_name_values(row, columns) for row in rows]


def _name_values(row: Sequence[object], columns: Sequence[str]) -> Row:
    """Name the values of a row by its columns. Raises ValueError for a row of another length."""
    return {name: parse_value(value) for name, value in zip(columns, row, strict=True)}


def _json_rows(found: Any, columns: Sequence[str]) -> list[Row]:
    """Return the rows of an object, of a list of objects or of rows, also within ``instances`` and the like, or of a
    table in two parts. Raises ValueError for a row of another length."""
    if isinstance(found, dict):
        if isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
            return [_name_values(row, [str(name) for name in found["columns"]]) for row in found["data"]]
        for name in _WRAPPERS:
            if isinstance(found.get(name), (list, dict)):
                return _json_rows(found[name], columns)
        return [{name: parse_value(value) for name, value in found.items()}]
    if not isinstance(found, list) or not found:
        return []
    if all(isinstance(one, dict) for one in found):
        return [row for one in found for row in _json_rows(one, columns)]
    if all(isinstance(one, list) for one in found):
        return [_name_values(one, columns) for one in found]
    return [_name_values(found, columns)]
