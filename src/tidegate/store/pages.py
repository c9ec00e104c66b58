"""Filter, order and page tokens of listings.

Pages are by position (keyset pagination): a token has the sort value and the name of the last record returned, so
rows that are inserted or deleted meanwhile neither repeat nor hide others. It also has a digest of listing and
position, so that a token of another listing, or a modified one, is refused."""

import base64
import hashlib
import sys
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, func, literal, tuple_

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.ports.store import Filter, fold_ascii
from tidegate.store.tables import RECORDS

_C = RECORDS.c
COLUMNS: dict[str, list[Column[Any]]] = {
    "created": [_C.created_at, _C.name],
    "modified": [_C.modified_at, _C.name],
    "name": [_C.name],
}

FIRST_SURROGATE, AFTER_SURROGATES = 0xD800, 0xE000


class _Position(msgspec.Struct, array_like=True, frozen=True):
    digest: str
    moment: datetime | None
    name: str


def filter_conditions(where: Filter) -> list[ColumnElement[bool]]:
    """Conditions of the filter. Names are compared literally: no wildcards, case-sensitive."""
    conditions: list[ColumnElement[bool]] = []
    if where.name_contains:
        conditions.append(func.replace(_C.name, where.name_contains, "") != _C.name)
    if where.name_prefix:
        conditions.append(_C.name >= where.name_prefix)
        if (end := end_of_prefix(where.name_prefix)) is not None:
            conditions.append(_C.name < end)
    if where.name_in_any_case is not None:
        conditions.append(func.lower(_C.name) == fold_ascii(where.name_in_any_case))
    bounds: tuple[tuple[Any, datetime | None, datetime | None], ...] = (
        (_C.created_at, where.created_after, where.created_before),
        (_C.modified_at, where.modified_after, where.modified_before),
    )
    for column, after, before in bounds:
        if after is not None:
            conditions.append(column > after)
        if before is not None:
            conditions.append(column < before)
    return conditions


def end_of_prefix(prefix: str) -> str | None:
    """The first name after all those that begin with ``prefix``, by code points, as both databases order them; None:
    there is none. With both bounds a database reads these names alone."""
    for length in range(len(prefix), 0, -1):
        last = ord(prefix[length - 1])
        if last < sys.maxunicode:
            after = AFTER_SURROGATES if last + 1 == FIRST_SURROGATE else last + 1  # which have no encoding
            return prefix[: length - 1] + chr(after)
    return None


def order(where: Filter) -> list[ColumnElement[Any]]:
    return [column.desc() if where.descending else column.asc() for column in _columns(where)]


def after_token(kind: str, where: Filter, token: str) -> ColumnElement[bool]:
    """Condition for records after the token's position. Raises Invalid if the token is not of this listing."""
    position = _read(token)
    if position is None or position.digest != _digest(kind, where, position.moment, position.name):
        raise Invalid("The token for the next page does not belong to this listing: start again without it")
    columns = _columns(where)
    here = [position.name] if position.moment is None else [position.moment, position.name]
    last = tuple_(*(literal(value, column.type) for value, column in zip(here, columns, strict=True)))
    return tuple_(*columns) < last if where.descending else tuple_(*columns) > last


def token(kind: str, where: Filter, row: Any) -> str:
    """Token of the page after the one that ends with ``row``."""
    moment = {"created": row.created_at, "modified": row.modified_at}.get(where.sort_by)
    position = _Position(_digest(kind, where, moment, row.name), moment, row.name)
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _read(text: str) -> _Position | None:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=prepare_type(_Position))
    except (ValueError, msgspec.MsgspecError):
        return None


def _digest(kind: str, where: Filter, moment: datetime | None, name: str) -> str:
    return hashlib.blake2b(msgspec.json.encode([kind, where, moment, name]), digest_size=9).hexdigest()


def _columns(where: Filter) -> list[Column[Any]]:
    if where.sort_by not in COLUMNS:
        raise Invalid(f"Records cannot be sorted by {where.sort_by!r}: use one of {', '.join(COLUMNS)}")
    return COLUMNS[where.sort_by]
