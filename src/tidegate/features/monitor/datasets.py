"""Rows of a data set: tables of CSV, or objects of JSON. Pure but for the reading of its files.

A data set that is broken anywhere makes no baseline: the error names file, line and what is wrong.
"""

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.monitor.processing_records import DatasetFormat
from tidegate.features.monitor.user_files import UserFile
from tidegate.rows.captured_rows import parse_value
from tidegate.rows.captures import check_size
from tidegate.rows.profile import Row
from tidegate.rows.sources import LONGEST_LINE, split_lines


def read_rows(files: Iterable[UserFile], form: DatasetFormat) -> Iterator[Row]:
    """Raises Invalid."""
    columns: list[str] = []
    for file in files:
        try:
            if form.csv:
                yield from _read_csv(file, form.header, columns)
            elif form.lines:
                yield from _read_json_lines(file)
            else:
                yield from _read_json_list(file)
        except UnicodeDecodeError:
            raise Invalid(f"{file.path}: it is no UTF-8") from None
        except TidegateError as error:
            raise type(error)(f"{file.path}: {error}") from None


def _read_csv(file: UserFile, header: bool, columns: list[str]) -> Iterator[Row]:
    """``columns``: names, which the first file settles for all."""
    reader = csv.reader(_text_lines(file), strict=True)
    first = header
    try:
        for cells in reader:
            if not cells:
                continue
            if first:
                _settle(columns, [cell.strip() for cell in cells])
                first = False
                continue
            if not columns:
                columns += [f"_c{number}" for number in range(len(cells))]
            if len(cells) != len(columns):
                raise Invalid(
                    f"line {reader.line_num} has {len(cells)} fields, and there are {len(columns)} columns"
                )
            yield {name: parse_value(cell) for name, cell in zip(columns, cells, strict=True)}
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num}: {error}") from None


def _settle(columns: list[str], names: Sequence[str]) -> None:
    """Raises Invalid."""
    if "" in names:
        raise Invalid("its first line names no column, or not all: give dataset_format csv with header false")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise Invalid(f"its first line names a column twice: {', '.join(twice[:3])}")
    if columns and columns != list(names):
        raise Invalid("its columns are not those of the files before it")
    columns[:] = names


def _text_lines(file: UserFile) -> Iterator[str]:
    """With their ends, so that a quoted field may have several lines."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    for part in file.parts():
        *whole, rest = (rest + decoder.decode(part)).split("\n")
        yield from (f"{line}\n" for line in whole)
        if len(rest) > LONGEST_LINE:
            raise Invalid(f"a line has more than {LONGEST_LINE} characters")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _read_json_lines(file: UserFile) -> Iterator[Row]:
    for number, line in enumerate(split_lines(file.parts()), 1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise Invalid(f"object {number} is no JSON") from None
        yield _row(found, number)


def _read_json_list(file: UserFile) -> Iterator[Row]:
    parts, size = list[bytes](), 0
    for part in file.parts():
        parts.append(part)
        size += len(part)
        check_size(size)
    try:
        found = json.loads(b"".join(parts))
    except (ValueError, RecursionError):
        raise Invalid("it is no JSON") from None
    for number, one in enumerate(found if isinstance(found, list) else [found], 1):
        yield _row(one, number)


def _row(found: Any, number: int) -> Row:
    """Raises Invalid."""
    if not isinstance(found, dict):
        raise Invalid(
            f"object {number} is a {type(found).__name__}: each must be an object with columns as members"
        )
    return {str(name): parse_value(value) for name, value in found.items()}
