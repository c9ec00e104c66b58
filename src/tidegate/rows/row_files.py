"""Requests from files of rows: CSV, JSON Lines, captures. Pure."""

import base64
import binascii
import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.rows.captured_rows import CapturedReader, Unusable, parse_time, parse_value
from tidegate.rows.label_lines import LARGEST_NUMBER, read_number
from tidegate.rows.profile import PREDICTION, Row, Value

CSV, JSON = "text/csv", "application/json"
MOST_ROWS = 200_000
MOST_BROKEN = 0.1
"""Part of the captures that may be broken."""


@dataclass(frozen=True)
class RowRequest:
    """One request. ``rows``: its rows by column, those that the model does not get included; None: not known, as in a
    captured request that is no table. ``label``: of its only row; ``other_labels``: those of the further outputs."""

    body: bytes
    content_type: str
    rows: tuple[Row, ...] | None = None
    label: float | None = None
    other_labels: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class RowTerms:
    """``label``: column of the label, and ``other_labels`` those of further outputs, which the model does not get;
    neither does it get those of ``leave_out``. ``columns``: names of captured rows without names."""

    label: str = ""
    leave_out: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()
    other_labels: tuple[str, ...] = ()

    @property
    def kept_back(self) -> frozenset[str]:
        return self.leave_out | ({self.label} if self.label else set()) | set(self.other_labels)


@dataclass
class RowSet:
    """Requests that were read from files. ``skipped``: number of captures that could not be used, by reason."""

    requests: list[RowRequest] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    drawn_from: int = 0
    """Captures that the requests were drawn from; 0: they are all."""

    @property
    def doubt(self) -> str:
        """Why captures may not be what clients sent; empty if there is no reason."""
        broken = self.skipped[Unusable.BROKEN]
        total = broken + max(self.drawn_from, len(self.requests))
        if broken <= MOST_BROKEN * total:
            return ""
        return f"{broken:,} of {total:,} captures are broken: what was in them is not known"

    def add(self, request: RowRequest) -> None:
        """Raises Invalid."""
        if len(self.requests) >= MOST_ROWS:
            raise Invalid(f"there are more than {MOST_ROWS:,} rows: compare by a sample of them")
        self.requests.append(request)
        for row in request.rows or ():
            self.columns.update(row)


def read_csv_rows(lines: Iterable[str], terms: RowTerms, source: str) -> RowSet:
    """A table whose first line names the columns; each row becomes a request. Raises Invalid."""
    found = RowSet()
    reader = csv.reader(lines, strict=True)
    try:
        names = next(reader, [])
        _check_names(names, terms, source)
        sent = [place for place, name in enumerate(names) if name not in terms.kept_back]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                raise Invalid(
                    f"{source}:{reader.line_num}: {len(cells)} values for {len(names)} columns of the first line"
                )
            row = {name: parse_value(cell) for name, cell in zip(names, cells, strict=True)}
            where = f"{source}:{reader.line_num}"
            body = _write_csv([cells[place] for place in sent])
            found.add(RowRequest(body, CSV, (row,), *_labels(row, terms, where)))
    except csv.Error as error:
        raise Invalid(f"{source}:{reader.line_num}: {error}") from None
    return found


def _check_names(names: Sequence[str], terms: RowTerms, source: str) -> None:
    if not names or len(set(names)) != len(names):
        raise Invalid(f"{source}: the first line must name the columns, each once")
    if all(read_number(name) is not None for name in names):
        raise Invalid(f"{source}: the first line must name the columns, and it is numbers")
    for name in sorted(terms.kept_back):
        if name not in names:
            raise Invalid(f"{source}: there is no column {name!r}")


def _write_csv(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def read_lines_of_rows(lines: Iterable[bytes], terms: RowTerms, source: str) -> RowSet:
    """Read JSON Lines: each line is a request's JSON, an object (its members are columns) or a list (its columns are
    0, 1, ...). Lines of captures are recognised. Raises Invalid."""
    found = RowSet()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source}:{number}"
        try:
            document = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        if isinstance(document, dict) and "captureData" in document:
            _add_captured(found, line, document, terms)
        elif document is None:
            raise Invalid(f"{where}: this line is not JSON")
        else:
            found.add(_json_request(document, terms, where))
    return found


def read_captures(lines: Iterable[bytes], terms: RowTerms) -> RowSet:
    """Read captured requests, as they were; broken ones are counted."""
    found = RowSet()
    for line in lines:
        try:
            document = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        if isinstance(document, dict):
            _add_captured(found, line, document, terms)
        else:
            found.skipped[Unusable.BROKEN] += 1
    return found


def draw_captures(lines: Iterable[bytes], terms: RowTerms, most: int, since: float, before: float) -> RowSet:
    """Read the captured requests of a window of time (epoch seconds). If there are more than ``most``, so many are
    drawn, all equally likely and the same each time (reservoir sampling: Vitter 1985)."""
    chance, found, kept, seen = Random(most), RowSet(), list[bytes](), 0
    for line in lines:
        try:
            moment = parse_time(msgspec.json.decode(line)["eventMetadata"]["inferenceTime"])
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, KeyError, TypeError, RecursionError):
            found.skipped[Unusable.BROKEN] += 1
            continue
        if not since <= moment < before:
            continue
        seen += 1
        if len(kept) < most:
            kept.append(line)
        elif (place := chance.randrange(seen)) < most:
            kept[place] = line
    read = read_captures(kept, terms)
    read.skipped.update(found.skipped)
    read.drawn_from = seen
    return read


def _json_request(document: Any, terms: RowTerms, where: str) -> RowRequest:
    if isinstance(document, dict):
        members = {str(name): value for name, value in document.items()}
    elif isinstance(document, list):
        members = {str(place): value for place, value in enumerate(document)}
    else:
        raise Invalid(f"{where}: expected an object or a list of the row's values")
    for name in sorted(terms.leave_out):
        if name not in members:
            raise Invalid(f"{where}: there is no column {name!r}")
    sent = {name: value for name, value in members.items() if name not in terms.kept_back}
    body = msgspec.json.encode(sent if isinstance(document, dict) else list(sent.values()))
    row = {name: _value(value) for name, value in members.items()}
    return RowRequest(body, JSON, (row,), *_labels(row, terms, where))


def _value(value: object) -> Value:
    return None if isinstance(value, (list, dict)) else parse_value(value)


def _labels(row: Row, terms: RowTerms, where: str) -> tuple[float | None, tuple[float | None, ...]]:
    """Return the labels of a row: that of the first output, and those of the others. Raises Invalid."""
    others = tuple(_read_label(row, name, where) for name in terms.other_labels)
    return _read_label(row, terms.label, where) if terms.label else None, others


def _read_label(row: Row, name: str, where: str) -> float | None:
    """Return a label of a row; None if it has none. Raises Invalid for a label that is not a number."""
    label = row.get(name)
    if isinstance(label, str) or abs(label or 0) > LARGEST_NUMBER:
        raise Invalid(f"{where}: the label {label!r} is no number")
    return label


def _add_captured(found: RowSet, line: bytes, document: dict[str, Any], terms: RowTerms) -> None:
    try:
        side = document["captureData"]["endpointInput"]
        data, encoding, kind = side["data"], side["encoding"], side.get("observedContentType") or ""
        body = base64.b64decode(data, validate=True) if encoding == "BASE64" else data.encode()
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error):
        found.skipped[Unusable.BROKEN] += 1
        return
    if not isinstance(kind, str) or not isinstance(encoding, str):
        found.skipped[Unusable.BROKEN] += 1
        return
    unlabelled = (None,) * len(terms.other_labels)
    read = CapturedReader(terms.columns).read(line) if encoding != "BASE64" else Unusable.UNREADABLE
    if isinstance(read, Unusable):
        found.add(RowRequest(body, kind or (CSV if encoding == "CSV" else JSON), None, None, unlabelled))
        return
    named = tuple({name: value for name, value in row.items() if name != PREDICTION} for row in read[1])
    found.add(RowRequest(body, kind or CSV, named, None, unlabelled))


def slices_of(rows: Iterable[Row], by: str) -> list[str | None]:
    """The slice of every row: the value of the column, or None where it is not known."""
    values = (row.get(by) for row in rows)
    return [f"{value:g}" if isinstance(value, float) else value for value in values]
