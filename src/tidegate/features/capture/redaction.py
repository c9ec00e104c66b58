"""Removes personal data from bodies and headers before they are written. What cannot be read is not written."""

import csv
import hmac
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidegate.domain.capture import Detector, Redaction, RedactionMethod
from tidegate.features.capture.records import CSV, JSON, Body
from tidegate.personal_data.detectors import LONGEST, NUMBER, is_plain, kind_of, scrub

MASK = "[redacted]"
PREFIX = "hash:"
_BYTES = 16
"""Of a hash: two of 10^18 values are equal by chance with a probability of 10^-3."""
ROOT = "$."
DEEPEST = 32
"""Levels of JSON; what is deeper is not read."""
_DIGITS = 7
"""Of a number in a field whose name says that it is personal."""
_LONGEST_TYPE = 128
_SHORT, _MOST_SEEN = 40, 2_000
"""Characters of a text that is remembered, and texts."""
_NUMBERS = re.compile(
    rf"(?:{NUMBER}(?:,{NUMBER})*+)(?:\r?\n(?:{NUMBER}(?:,{NUMBER})*+))*+(?:\r?\n)?".encode(), re.ASCII
)
_ROW_MEMBERS = frozenset({"instances", "inputs", "data", "rows", "features"})
"""Members whose list of plain values is a row, and not a field."""
_NAMING = ("name", "key", "field", "column", "feature", "label", "attribute", "Name", "Key")
_VALUES = frozenset({"value", "values", "data", "content", "val"})
"""Members that hold a value whose name is in a member beside them."""
_DELIMITERS = (";", "\t", "|")
"""Of tables that have no commas in their first line."""
_TYPE = re.compile(r"[\w.+\-]+/[\w.+\-]+(?:; ?charset=[\w\-]+)?", re.ASCII)


class Replacer:
    """A replacement for personal values, which hashes with ``key``. ``key`` None: values that should be hashed are
    masked."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    def found(self, kind: Detector, text: str) -> str:
        """Replace a value that a detector found. Sentences are always masked, because no two would have the same
        hash."""
        if kind is Detector.TEXT or self._key is None:
            return f"[{kind}]"
        return self.hash(kind, text)

    def named(self, action: RedactionMethod, kind: Detector | None, text: str) -> str | None:
        """Replace the value of a field that a rule names. None: the value is dropped."""
        if action is RedactionMethod.DROP:
            return None
        if action is RedactionMethod.HASH and self._key is not None:
            return self.hash(kind, text)
        return MASK

    def hash(self, kind: Detector | None, text: str) -> str:
        """Hash a value. Equivalent values have equal hashes: an IBAN with and without spaces, an address in
        capitals."""
        assert self._key is not None
        digest = hmac.digest(self._key, normalise(kind, text).encode("utf-8", "surrogatepass"), "sha256")
        return PREFIX + digest[:_BYTES].hex()


def normalise(kind: Detector | None, text: str) -> str:
    """The form of a value that is hashed."""
    text = unicodedata.normalize("NFKC", text).strip()
    if kind is Detector.SSN:
        return "".join(one for one in text if one.isalnum()).upper()
    if kind is Detector.IBAN:
        return "".join(one for one in text if one.isalnum()).upper()
    if kind is Detector.EMAIL:
        return text.casefold()
    if kind is Detector.PHONE:
        digits = "".join(one for one in text if one.isdigit())
        return digits.removeprefix("00") if not text.startswith("+") else digits
    if kind is Detector.NAME:
        return " ".join(text.casefold().split())
    return text


class _FieldRules:
    """``rules``: ``ssn`` or ``$.employee.bank.iban`` -> what becomes of the value. Places in lists are no part of a
    path: ``$.rows.ssn`` is in every row, and so is ``$.rows[*].ssn``."""

    def __init__(self, rules: Mapping[str, RedactionMethod]) -> None:
        self._names = {name: action for name, action in rules.items() if not name.startswith(ROOT)}
        self._paths = {
            tuple(name.removeprefix(ROOT).replace("[*]", "").split(".")): action
            for name, action in rules.items()
            if name.startswith(ROOT)
        }

    @property
    def names(self) -> frozenset[str]:
        """All names that the rules mention."""
        return frozenset(self._names) | {name for path in self._paths for name in path}

    @property
    def binding(self) -> bool:
        """Whether any of them removes something, so that it must be known where its field is."""
        actions = {*self._names.values(), *self._paths.values()}
        return bool(actions - {RedactionMethod.KEEP})

    def action(self, path: tuple[str, ...]) -> RedactionMethod | None:
        """The action for the value at this path; None: no rule is about it. A path is more than a name."""
        found = self._paths.get(path)
        return found if found is not None else self._names.get(path[-1])


class _UnreadableBody(Exception):
    """The body cannot be read, so that nothing of it may be written."""


class Redactor:
    """``key``: of the hashes; None: what detectors find is masked."""

    def __init__(self, rules: Redaction, key: bytes | None) -> None:
        self._kinds = frozenset(rules.detect)
        self._fields = _FieldRules(rules.fields)
        self._columns = list(rules.columns)
        self._declared = frozenset(rules.columns) | self._fields.names
        self._replacer = Replacer(key)
        self._seen: dict[str, str] = {}
        """Short texts as they are written: names of members and categories come again and again."""

    def redact(self, body: Body, request: bool, lines: bool = True) -> Body | None:
        """The body without what is personal; None if it is in a form that cannot be read. ``request``: it is what a
        client sent, whose columns may be known; an answer has columns of its own. ``lines``: several lines of JSON
        are documents of their own, and not one text of which each has a piece, as in streams."""
        try:
            if body.encoding == JSON:
                data = self._json(body.data, request, lines)
            elif body.encoding == CSV:
                data = self._csv(body.data, request)
            else:
                return None
        except (_UnreadableBody, msgspec.MsgspecError, ValueError, csv.Error, RecursionError):
            return None
        return Body(data, self._content_type(body.content_type), body.encoding)

    def text(self, text: str) -> str:
        """A header: an inference id, custom attributes."""
        return self._scrub(text) if text else text

    def answer(self, text: str) -> str:
        """A text of an answer; empty where it is dropped whole, as a long one is."""

        def replace(kind: Detector, found: str) -> str:
            return "" if kind is Detector.TEXT else self._replacer.found(kind, found)

        return scrub(text, self._kinds, replace)

    def _scrub(self, text: str) -> str:
        if is_plain(text):
            return text
        found = self._seen.get(text)
        if found is None:
            found = scrub(text, self._kinds, self._replacer.found)
            if len(text) <= _SHORT:
                if len(self._seen) >= _MOST_SEEN:
                    self._seen.clear()
                self._seen[text] = found
        return found

    def _name(self, name: str) -> str:
        """The name of a member or a column, which may be a person's. What the rules name is no secret."""
        return name if name in self._declared else self.text(name)

    def _content_type(self, text: str) -> str:
        found = _TYPE.match(text[:_LONGEST_TYPE])
        return self.text(found[0]) if found else ""

    # --- values ---

    def _value(self, value: Any, kind: Detector | None) -> Any:
        """One value, not in a field that a rule names. ``kind``: what the name of its field says."""
        if isinstance(value, str):
            if kind in self._kinds and kind is not None and (not is_plain(value) or _is_long(value)):
                return self._replacer.found(kind, value)
            nested = self._nested(value)
            return self._scrub(value) if nested is None else nested
        if kind in self._kinds and kind is not None and not isinstance(value, bool) and _is_long(value):
            return self._replacer.found(kind, str(value))
        return value

    def _nested(self, text: str) -> str | None:
        """A document of JSON in a text: its members have names that tell what they are. None: it is none."""
        if text.lstrip()[:1] not in ("{", "[") or len(text) > LONGEST:
            return None
        try:
            document = msgspec.json.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        found = self._walk(document, ("",) * (DEEPEST // 4), None, False)
        return text if found == document else msgspec.json.encode(found).decode()

    def _named(self, value: Any, action: RedactionMethod, kind: Detector | None) -> Any:
        if action is RedactionMethod.KEEP or value is None:
            return value
        if isinstance(value, list):
            return [self._named(one, action, kind) for one in value]
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return self._replacer.named(action, kind, text)

    # --- JSON ---

    def _json(self, data: bytes, request: bool, several: bool) -> bytes:
        try:
            return msgspec.json.encode(self._document(msgspec.json.decode(data), request))
        except msgspec.DecodeError:
            lines = [line for line in data.splitlines() if line.strip()]
            if len(lines) < 2 or not several:
                raise
            documents = [self._document(msgspec.json.decode(line), request) for line in lines]
            return b"\n".join(map(msgspec.json.encode, documents)) + b"\n"

    def _document(self, value: Any, request: bool) -> Any:
        return self._walk(value, (), None, request)

    def _walk(self, value: Any, path: tuple[str, ...], kind: Detector | None, request: bool) -> Any:
        """``path``: the names on the way to the value; places in lists are not part of it."""
        if len(path) > DEEPEST:
            raise _UnreadableBody
        if isinstance(value, dict):
            columns, told = _column_names(value), _find_name(value)
            if told is not None and self._is_personal(told):
                return self._pair(value, told, path, request)
            return {
                self._name(name): self._member(one, (*path, name), kind, request, columns)
                for name, one in value.items()
            }
        if isinstance(value, list):
            if request and (self._fields.binding or self._columns):
                if _is_rows(value):
                    return [self._row(row, self._columns, request) for row in value]
                if (not path or path[-1] in _ROW_MEMBERS) and _is_row(value):
                    return self._row(value, self._columns, request)
            return [self._walk(one, path, kind, request) for one in value]
        return self._value(value, kind)

    def _is_personal(self, name: str) -> bool:
        return self._fields.action((name,)) is not None or kind_of(name) is not None

    def _pair(self, value: dict[str, Any], told: str, path: tuple[str, ...], request: bool) -> dict[str, Any]:
        """A field whose name is a value: ``{"name": "ssn", "value": ...}``."""
        return {
            self._name(name): (
                self._name(told)
                if name in _NAMING and one == told
                else self._member(one, (*path, told if name.lower() in _VALUES else name), None, request, None)
            )
            for name, one in value.items()
        }

    def _member(
        self,
        value: Any,
        path: tuple[str, ...],
        kind: Detector | None,
        request: bool,
        columns: list[str] | None,
    ) -> Any:
        action, own = self._fields.action(path), kind_of(path[-1]) or kind
        if action is not None:
            return self._named(value, action, own)
        if columns is not None and path[-1] == "data":
            return [self._row(row, columns, request) for row in value]
        return self._walk(value, path, own, request)

    def _row(self, row: Any, columns: Sequence[str], request: bool) -> list[Any]:
        """A list of values, whose columns must be known where a rule may be about one of them."""
        if not isinstance(row, list) or (len(row) != len(columns) and (columns or self._fields.binding)):
            raise _UnreadableBody
        return [self._cell(value, name, request) for value, name in zip(row, columns, strict=True)]

    def _cell(self, value: Any, column: str, request: bool) -> Any:
        return self._member(value, (column,), None, request, None)

    # --- CSV ---

    def _csv(self, data: bytes, request: bool) -> bytes:
        named = request and bool(self._fields.binding or self._columns)
        if not named and _NUMBERS.fullmatch(data):
            return data
        text = data.decode("utf-8-sig")
        delimiter = _find_delimiter(text)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        columns = self._header(rows)
        header = rows[:1] if columns is not None else []
        if columns is None and named:
            columns = self._columns
            if not columns:
                raise _UnreadableBody
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        writer.writerows([self._name(name) for name in row] for row in header)
        for row in rows[len(header) :]:
            writer.writerow(self._csv_row(row, columns))
        return out.getvalue().encode()

    def _csv_row(self, row: list[str], columns: list[str] | None) -> list[str]:
        if not columns or not row:
            return [str(self._value(cell, None)) for cell in row]
        if len(row) != len(columns):
            raise _UnreadableBody
        return [
            "" if made is None else str(made)
            for made in (self._cell(cell, name, True) for cell, name in zip(row, columns, strict=True))
        ]

    def _header(self, rows: list[list[str]]) -> list[str] | None:
        """The first row, if it names columns: those that are known, or at least one of which a rule or its own name
        says something."""
        first = rows[0] if rows else []
        if self._columns and first == self._columns:
            return first
        telling = any(self._fields.action((name,)) is not None or kind_of(name) is not None for name in first)
        if telling and not any(is_plain(name) for name in first):
            return first
        return None


def _find_delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return "," if "," in first else next((one for one in _DELIMITERS if one in first), ",")


def _is_long(value: Any) -> bool:
    """Whether it is a number with so many digits that it may be an identity, or no number at all."""
    digits = sum(one.isdigit() for one in str(value))
    return isinstance(value, (int, str)) and digits >= _DIGITS


def _is_rows(value: list[Any]) -> bool:
    """Whether it is a list of rows of plain values."""
    return bool(value) and all(isinstance(row, list) and _is_row(row) for row in value)


def _is_row(value: list[Any]) -> bool:
    return bool(value) and not any(isinstance(one, (list, dict)) for one in value)


def _find_name(value: dict[str, Any]) -> str | None:
    """The name that a member gives to the value beside it."""
    if not any(isinstance(name, str) and name.lower() in _VALUES for name in value):
        return None
    told = (value[name] for name in _NAMING if isinstance(value.get(name), str))
    return next(told, None)


def _column_names(value: dict[str, Any]) -> list[str] | None:
    """The columns of a table that pandas writes in two parts: ``{"columns": [...], "data": [[...]]}``."""
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(one, str) for one in columns):
        return columns
    return None
