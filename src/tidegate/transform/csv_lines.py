"""Lines and fields of CSV, and lines of JSON Lines: the rules of endpoints, asynchronous requests and batch jobs.

Only "\\n" and "\\r\\n" end a line: other characters that Unicode calls line ends are data. Fields are those of RFC
4180, except that a quoted field ends on its line, so that a line is a row everywhere and a file can be cut between
lines. A byte order mark may stand before the first line.
"""

import re
from contextlib import suppress

BOM = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8."""
LONE_RETURN = "a carriage return stands alone; lines end with \\n or \\r\\n"
_FIELD = re.compile(rb'[ \t]*"(?:[^"]|"")*+"[ \t]*(?=,|\Z)|[^",]*(?=,|\Z)')


class BadField(ValueError):
    """``column`` (from 0) cannot be read; the message says why."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


def without_bom(body: bytes) -> bytes:
    return body[3:] if body.startswith(BOM) else body


def split_lines(body: bytes) -> list[bytes]:
    """The lines without their ends. A last line without an end counts, unless it is empty."""
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if b"\r" in body:
        return [line[:-1] if line.endswith(b"\r") else line for line in lines]
    return lines


def split_fields(line: bytes) -> list[bytes]:
    """The fields as they are written, quotes included. Raises BadField."""
    if b'"' not in line:
        return line.split(b",")
    fields: list[bytes] = []
    at = 0
    while (found := _FIELD.match(line, at)) is not None:
        fields.append(found[0])
        at = found.end() + 1
        if at > len(line):
            return fields
    raise BadField(
        len(fields),
        'a quote stands where none may: quote the whole field, double each " within it, and end it on its line',
    )


def unquote(field: bytes) -> bytes:
    """The value of a field, without the spaces around a quoted one."""
    bare = field.strip(b" \t")
    return bare[1:-1].replace(b'""', b'"') if bare.startswith(b'"') else field


def text_fields(line: bytes) -> list[str]:
    """The values of the fields. Raises BadField."""
    if b'"' not in line and b"\r" not in line:
        with suppress(UnicodeDecodeError):
            return line.decode().split(",")
    found = []
    for column, field in enumerate(split_fields(line)):
        if b"\r" in field and b'"' not in field:
            raise BadField(column, LONE_RETURN)
        try:
            found.append(unquote(field).decode())
        except UnicodeDecodeError:
            shown = field[:40].decode("utf-8", "replace")
            raise BadField(column, f"{shown!r} is not UTF-8") from None
    return found
