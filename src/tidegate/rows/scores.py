"""Scores in the answers of a model. Pure."""

import csv
from typing import Any

import msgspec

from tidegate.rows.label_lines import find_rows, read_number, read_score

_UNREADABLE = (UnicodeDecodeError, msgspec.DecodeError, csv.Error, RecursionError)


def read_scores(body: bytes, content_type: str, where: str) -> list[float] | None:
    """A finite number for each row of the request, in order; None if the answer is something else.

    ``where``: the place of the score, where an answer for one row is more than one number: a column of CSV,
    ``predictions[0].score``, or ``$.rows[*].score`` for all rows."""
    try:
        text = body.decode()
        if _is_csv(content_type):
            return _read_csv(text, where)
        found = _read_json(text, content_type)
    except _UNREADABLE:
        return None
    if not where:
        return _flatten(found)
    if where.startswith("$"):
        return _extract_numbers([_unwrap(each) for each in find_rows(found, where)])
    return _extract_numbers([read_score({"endpointOutput": {"encoding": "JSON", "data": text}}, where)])


def _is_csv(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in ("text/csv", "text/plain")


def _read_json(text: str, content_type: str) -> Any:
    lines = content_type.partition(";")[0].strip().lower().endswith(("jsonlines", "ndjson"))
    return _read_lines(text) if lines else msgspec.json.decode(text)


def read_rows_of_scores(body: bytes, content_type: str) -> list[list[float]] | None:
    """Read the list of finite numbers that each row of the request is answered by, all of one length. A list of
    numbers alone is one row. None if the answer is something else."""
    try:
        text = body.decode()
        if _is_csv(content_type):
            cells: list[Any] = [line for line in csv.reader(text.splitlines(), strict=True) if line]
        else:
            cells = _find_lists(_read_json(text, content_type))
    except _UNREADABLE:
        return None
    rows = [_extract_numbers(row) for row in cells]
    found = [row for row in rows if row is not None]
    return found if found and len(found) == len(rows) and len({len(row) for row in found}) == 1 else None


def _find_lists(found: Any) -> list[list[Any]]:
    """Return the list of each row, each in as many members of its own as there may be around it."""
    found = _open_members(found)
    if not isinstance(found, list):
        return [[found]]
    rows = [_open_members(each) for each in found]
    while len(rows) == 1 and isinstance(rows[0], list) and rows[0] and isinstance(rows[0][0], list):
        rows = [_open_members(each) for each in rows[0]]
    if not any(isinstance(row, list) for row in rows):
        return [rows]
    return [row if isinstance(row, list) else [row] for row in rows]


def _open_members(found: Any) -> Any:
    while isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    return found


def _read_lines(text: str) -> list[Any]:
    return [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]


def _read_csv(text: str, where: str) -> list[float] | None:
    lines = [line for line in csv.reader(text.splitlines(), strict=True) if line]
    if where:
        place = int(where) if where.isdecimal() else -1
        if any(not 0 <= place < len(line) for line in lines):
            return None
        cells = [line[place] for line in lines]
    elif len(lines) == 1:
        cells = lines[0]  # AWS's container for XGBoost answers all rows in one line
    elif all(len(line) == 1 for line in lines):
        cells = [line[0] for line in lines]
    else:
        return None
    return _extract_numbers(cells)


def _flatten(found: Any) -> list[float] | None:
    """Numbers in a list, each in as many lists and members of its own as there may be around it."""
    found = _open_members(found)
    if isinstance(found, list):
        return _extract_numbers([_unwrap(each) for each in found])
    return _extract_numbers([found])


def _unwrap(found: Any) -> Any:
    while isinstance(found, (list, dict)) and len(found) == 1:
        found = next(iter(found.values())) if isinstance(found, dict) else found[0]
    if isinstance(found, list):
        return None
    return found


def _extract_numbers(values: list[Any]) -> list[float] | None:
    numbers = [read_number(value) for value in values]
    found = [number for number in numbers if number is not None]
    return found if found and len(found) == len(numbers) else None
