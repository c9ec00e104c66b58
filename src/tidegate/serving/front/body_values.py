"""Values in bodies: rows of requests, the first row of any body, and the numbers of an answer. Pure.

Two versions' answers to one request are compared by their numbers, by row and by output. How many rows and outputs an
answer has follows from its form and, where that leaves it open (a plain list of numbers), from how many rows were
asked for. Of large answers some are looked at, chosen by the key of the request and never by what they hold."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.domain.surrogates import replace_surrogates
from tidegate.domain.worker_stats import MOST_OUTPUTS, MOST_ROWS
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.front.compared_counts import read_prediction

LARGEST = 256 * 1024
"""Bytes of a body above which it is not parsed, as that would delay other requests; of an answer the first number is
read then."""
MOST_COLUMNS = 256
LONGEST = 64
"""Characters of a text in a first row, or of a column's name."""
DEEPEST = 8
_DEEPEST_ROW = 6
NPY = "application/x-npy"
RESULTS = ("predictions", "outputs", "output", "results", "result", "scores", "data")
"""Members of an answer that hold it; numbers next to them describe the answer."""
REQUESTED = ("instances", "inputs", "dataframe_records", "dataframe_split", "data", "rows")
DESCRIBING = frozenset(
    [
        "id",
        "request_id",
        "version",
        "model_version",
        "timestamp",
        "created",
        "latency",
        "latency_ms",
        "elapsed",
        "elapsed_ms",
        "took",
        "took_ms",
        "seed",
        "prediction_id",
        "trace_id",
    ]
)
"""Members of a row that say when, by what or how fast it was answered."""

UNREADABLE = (ValueError, RecursionError, ModelFailed)
"""Errors of bodies that are not of their content type."""

Value = float | str | None
Row = list[float | None]
"""The numbers of one row; None: NaN, infinite or null."""


@dataclass(frozen=True)
class AnswerNumbers:
    """``rows``: of how many rows the answer is; 0 with a number: unknown, as it is too large. ``numbers``:
    those that are looked at, each as row, output and value."""

    rows: int
    numbers: list[tuple[int, int, float | None]]

    @property
    def first(self) -> float | None:
        return self.numbers[0][2] if self.numbers else None


NamedRow = tuple[list[str], list[Value]]
"""Names of the columns, and values."""


def read_first_row(body: bytes, content_type: str) -> NamedRow | None:
    """Names and values; numbers are finite, and other ones texts, which have an encoding whatever was sent. None if
    there is no row that can be read."""
    return next(_read_rows(body, content_type, lambda count: [0]), None)


def read_compared_rows(body: bytes, content_type: str, answered: int, key: int) -> list[NamedRow | None]:
    """Read the rows of a request whose answers ``read_numbers`` chooses, in their order; of a request that was not
    answered, those that it would choose. ``answered``: how many rows the answer has; a CSV with one more begins
    with a header. Of any other number of rows nothing says which of them answers which: the first row is read alone
    then."""

    def choose(count: int) -> list[int]:
        header = int(answered > 0 and count == answered + 1 and _form(content_type).endswith("csv"))
        if answered and count - header != answered:
            return [0]
        return [place + header for place in _spread(count - header, MOST_ROWS, key)]

    return list(_read_rows(body, content_type, choose))


def _read_rows(
    body: bytes, content_type: str, choose: Callable[[int], Sequence[int]]
) -> Iterator[NamedRow | None]:
    """Yield the rows at the places that ``choose`` returns of their number. Yields nothing where none can be read."""
    if len(body) > LARGEST:
        return
    try:
        rows, read = _find_rows(body, _form(content_type))
        found = [read(rows[place]) for place in choose(len(rows))] if len(rows) else []
    except UNREADABLE:
        return
    yield from found


def _find_rows(body: bytes, kind: str) -> tuple[Any, Callable[[Any], NamedRow | None]]:
    """Return the rows of a body, and what reads one of them."""
    if kind == NPY:
        array = _read_array(body)
        return ([] if array.ndim == 0 else array), lambda row: _numbered(
            row.reshape(-1)[: MOST_COLUMNS + 1].tolist()
        )
    if kind.endswith("jsonlines"):
        return _lines(body), lambda line: _first_of_json(json.loads(line), _DEEPEST_ROW)
    if kind.endswith("json"):
        return _find_json_rows(json.loads(body), _DEEPEST_ROW)
    if kind.endswith("csv"):
        return _lines(body), lambda line: _numbered([_field(text) for text in line.decode().split(",")])
    return [], _numbered


def _find_json_rows(data: object, depth: int) -> tuple[Sequence[object], Callable[[Any], NamedRow | None]]:
    def read(row: object) -> NamedRow | None:
        return _first_of_json(row, depth - 1)

    if isinstance(data, Mapping):
        if isinstance(names := data.get("columns"), list) and isinstance(rows := data.get("data"), list):
            return rows, lambda row: _rename(read(row), names)
        nested = next((one for one in data.values() if isinstance(one, Mapping | list)), None)
        if nested is not None and depth:
            return _find_json_rows(nested, depth - 1)
    if isinstance(data, list) and data and isinstance(data[0], Mapping | list):
        return data, read
    return [data], read


def _rename(row: NamedRow | None, names: Sequence[object]) -> NamedRow | None:
    return None if row is None or len(row[1]) != len(names) else (_names(names), row[1])


def _first_of_json(data: object, depth: int) -> NamedRow | None:
    if not depth:
        return None
    if isinstance(data, Mapping):
        if isinstance(names := data.get("columns"), list) and isinstance(rows := data.get("data"), list):
            return _rename(_first_of_json(rows, depth - 1), names)
        nested = next((one for one in data.values() if isinstance(one, Mapping | list)), None)
        if nested is not None:
            return _first_of_json(nested, depth - 1)
        return _row(_names(data), list(data.values()))
    if isinstance(data, list) and data:
        if isinstance(data[0], Mapping | list):
            return _first_of_json(data[0], depth - 1)
        return _numbered(data)
    return None


def _numbered(values: Sequence[object]) -> NamedRow | None:
    return _row([str(number) for number in range(len(values))], values)


def _row(names: list[str], values: Sequence[object]) -> NamedRow | None:
    if not 0 < len(names) <= MOST_COLUMNS:
        return None
    return names, [_value(one) for one in values]


def _value(given: object) -> Value:
    if given is None:
        return None
    if not isinstance(given, int | float):
        return _text(given)
    try:
        number = float(given)
    except OverflowError:
        return "inf"
    return number if math.isfinite(number) else str(number)


def _names(given: Iterable[object]) -> list[str]:
    return [_text(name) for name in given]


def _text(given: object) -> str:
    return replace_surrogates(str(given)[:LONGEST])


def _field(text: str) -> object:
    text = text.strip().strip('"')
    try:
        return float(text)
    except ValueError:
        return text or None


# --- numbers of answers ---


def read_numbers(
    body: bytes, content_type: str, asked: Callable[[], int] = lambda: 0, key: int = 0
) -> AnswerNumbers:
    """``asked``: gives how many rows the request has, 0: unknown. An answer that cannot be read, or has no numbers,
    has no rows."""
    if len(body) > LARGEST:
        first = read_prediction(body[:LARGEST], True, content_type)
        return AnswerNumbers(0, [] if first is None else [(0, 0, first)])
    try:
        table = _read_table(body, _form(content_type), asked)
    except UNREADABLE:
        first = read_prediction(body, False, content_type)
        table = [] if first is None else [[first]]
    if not any(table):
        return AnswerNumbers(0, [])
    return AnswerNumbers(len(table), list(_choose(table, key)))


def count_rows(body: bytes, content_type: str) -> int:
    """How many rows a request has, as far as its form says; 0: unknown."""
    kind = _form(content_type)
    if len(body) > LARGEST:
        return 0
    try:
        if kind == NPY:
            array = _read_array(body)
            return len(array) if array.ndim else 1
        if kind.endswith(("csv", "jsonlines")):
            return len(_lines(body))
        if kind.endswith("json"):
            return _count_items(json.loads(body))
    except UNREADABLE:
        pass
    return 0


def _count_items(data: object) -> int:
    if isinstance(data, Mapping):
        held = next((data[name] for name in REQUESTED if isinstance(data.get(name), list | Mapping)), None)
        if held is not None:
            return _count_items(held)
        columns = [value for value in data.values() if isinstance(value, list)]
        return len(columns[0]) if columns and len(columns) == len(data) else 1
    if isinstance(data, list):
        return len(data) if data and isinstance(data[0], list | Mapping) else 1
    return 0


def _choose(table: Sequence[Row], key: int) -> Iterator[tuple[int, int, float | None]]:
    """The order is that of rows, and of outputs within them; the first number of all comes first."""
    for place in _spread(len(table), MOST_ROWS, key):
        row = table[place]
        for output in _rotate(len(row), MOST_OUTPUTS, key):
            yield place, output, row[output]


def _spread(count: int, most: int, key: int) -> list[int]:
    """The first, the last, and others between them, evenly from a place that the key chooses."""
    if count <= most:
        return list(range(count))
    between, wanted = count - 2, most - 2
    offset = key % between
    return [0, *sorted(1 + (offset + place * between // wanted) % between for place in range(wanted)), count - 1]


def _rotate(count: int, most: int, key: int) -> list[int]:
    """The first, and a run of the others that begins where the key says."""
    if count <= most:
        return list(range(count))
    others = count - 1
    return [0, *sorted(1 + (key + place) % others for place in range(most - 1))]


def _read_table(body: bytes, kind: str, asked: Callable[[], int]) -> list[Row]:
    if kind == NPY:
        found = _read_array(body).tolist()
        return _rows_of(found if isinstance(found, list) else [found], asked)
    if kind.endswith("jsonlines"):
        return [list(_flatten(json.loads(line), DEEPEST)) for line in _lines(body)]
    if kind.endswith("json"):
        return _rows_of(json.loads(body), asked)
    if kind.endswith("csv"):
        return _rows_of_csv([line.decode() for line in _lines(body)], asked)
    return []


def _form(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines() if line.strip()]


def _read_array(body: bytes) -> Any:
    from tidegate.serving.formats import npy  # noqa: PLC0415  # NumPy is only there where arrays are

    return npy.read(body)


def _rows_of_csv(lines: Sequence[str], asked: Callable[[], int]) -> list[Row]:
    rows = [list(_fields(line)) for line in lines]
    if len(lines) == 1:
        return _divide(rows[0], asked)
    if rows and not rows[0]:  # a header
        rows = rows[1:]
    return rows


def _fields(line: str) -> Iterator[float | None]:
    """The numbers of a line, None for missing ones; texts are none."""
    for field in line.split(","):
        text = field.strip().strip("[]").strip().strip('"')
        if not text or text.lower() in ("null", "none"):
            yield None
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        yield _number(value)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _rows_of(data: object, asked: Callable[[], int]) -> list[Row]:
    for _ in range(DEEPEST):
        if not isinstance(data, Mapping):
            break
        held = next((data[name] for name in RESULTS if isinstance(data.get(name), list | Mapping)), None)
        if held is None:
            return _rows_of_object(data)
        data = held
    if not isinstance(data, list):
        return [list(_flatten(data, DEEPEST))]
    if data and all(isinstance(one, Mapping) and isinstance(one.get("data"), list) for one in data):
        return _rows_of_tensors(data)
    if any(isinstance(one, list | Mapping) for one in data):
        return [list(_flatten(one, DEEPEST)) for one in data]
    return _divide(list(_flatten(data, DEEPEST)), asked)


def _rows_of_object(data: Mapping[str, object]) -> list[Row]:
    """Lists of equal length are outputs, and their items rows; anything else is one row."""
    lists = [one for one in data.values() if isinstance(one, list)]
    if len(lists) > 1 and len(lists) == len(data) and len({len(one) for one in lists}) == 1:
        return [[number for one in rows for number in _flatten(one, DEEPEST)] for rows in zip(*lists, strict=True)]
    return [list(_flatten(data, DEEPEST))]


def _rows_of_tensors(tensors: Sequence[Mapping[str, object]]) -> list[Row]:
    """Tensors with their shape next to them, each with as many rows as its first dimension says."""
    columns = []
    for one in tensors:
        numbers, shape = list(_flatten(one["data"], DEEPEST)), one.get("shape")
        first = shape[0] if isinstance(shape, list) and shape else len(numbers)
        usable = isinstance(first, int) and first > 0 and len(numbers) % first == 0
        columns.append(_split(numbers, first if usable else 1))
    if len({len(rows) for rows in columns}) != 1:
        return [[number for rows in columns for row in rows for number in row]]
    return [[number for row in rows for number in row] for rows in zip(*columns, strict=True)]


def _divide(numbers: Row, asked: Callable[[], int]) -> list[Row]:
    """A plain list: as many rows as were asked for, one of which may have been a header."""
    if len(numbers) < 2:
        return [numbers]
    rows = asked()
    if rows < 1:
        return _split(numbers, len(numbers))
    fits = next((count for count in (rows, rows - 1) if count > 0 and len(numbers) % count == 0), 1)
    return _split(numbers, fits)


def _split(numbers: Row, rows: int) -> list[Row]:
    width = len(numbers) // rows
    return [numbers[place * width : (place + 1) * width] for place in range(rows)]


def _flatten(data: object, depth: int) -> Iterator[float | None]:
    """Every number, in order; texts are none."""
    if data is None or isinstance(data, int | float):
        yield None if data is None else _number(data)
    elif depth and isinstance(data, list | Mapping):
        yield from _flatten_each(data, depth)


def _flatten_each(data: Iterable[object], depth: int) -> Iterator[float | None]:
    if isinstance(data, Mapping):
        for name, value in data.items():
            if not (isinstance(name, str) and name.lower() in DESCRIBING):
                yield from _flatten(value, depth - 1)
    else:
        for value in data:
            yield from _flatten(value, depth - 1)
