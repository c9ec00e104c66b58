"""Scores in the answers of a model. Pure."""

import csv
from typing import Any

import msgspec

from tidegate.rows.label_lines import find_rows, read_number, read_score


def read_scores(body: bytes, content_type: str, where: str) -> list[float] | None:
    """A finite number for each row of the request, in order; None if the answer is something else.

    ``where``: the place of the score, where an answer for one row is more than one number: a column of CSV,
    ``predictions[0].score``, or ``$.rows[*].score`` for all rows."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode()
        if kind in ("text/csv", "text/plain"):
            return _read_csv(text, where)
        found = _read_lines(text) if kind.endswith(("jsonlines", "ndjson")) else msgspec.json.decode(text)
    except (UnicodeDecodeError, msgspec.DecodeError, csv.Error, RecursionError):
        return None
    if not where:
        return _flatten(found)
    if where.startswith("$"):
        return _extract_numbers([_unwrap(each) for each in find_rows(found, where)])
    return _extract_numbers([read_score({"endpointOutput": {"encoding": "JSON", "data": text}}, where)])


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
    while isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
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
