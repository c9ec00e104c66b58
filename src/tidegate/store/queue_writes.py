"""Updates of many items of the queue at once.

PostgreSQL gets one statement with an array for each column: to begin a statement takes it longer than to write a row.
SQLite runs in this process, and takes one statement for each row as quickly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, BigInteger, Column, Connection, Double, Update

from tidegate.store.tables import QUEUE

_ARRAYS = ((Double, "float8"), (BigInteger, "int8"))


def update_items(
    connection: Connection, change: Update, constant: str, values: Sequence[Mapping[str, Any]]
) -> None:
    """``change`` takes each of the values, and their ``_id``, from parameters with a leading underscore; ``constant``
    is what it sets besides, in SQL. All values have the same columns."""
    if connection.dialect.name != "postgresql":
        connection.execute(change, values)
        return
    columns = [QUEUE.c[name[1:]] for name in values[0]]
    arrays = ", ".join(f"%({column.name})s::{_array_type(column)}[]" for column in columns)
    given = f"unnest({arrays}) AS given ({', '.join(column.name for column in columns)})"
    sets = ", ".join(f"{column.name} = {_read(column)}" for column in columns if column.name != "id")
    rows = {column.name: [_plain(column, each[f"_{column.name}"]) for each in values] for column in columns}
    connection.exec_driver_sql(f"UPDATE queue SET {sets}{constant} FROM {given} WHERE queue.id = given.id", rows)


def _array_type(column: "Column[Any]") -> str:
    return next((name for kind, name in _ARRAYS if isinstance(column.type, kind)), "text")


def _read(column: "Column[Any]") -> str:
    return f"given.{column.name}{'::json' if isinstance(column.type, JSON) else ''}"


def _plain(column: "Column[Any]", value: Any) -> Any:
    """As the driver takes it: an array's values have one type."""
    if value is None:
        return None
    if isinstance(column.type, JSON):
        return msgspec.json.encode(value).decode()
    if isinstance(column.type, Double):
        return float(value)
    return str(value) if isinstance(value, str) else value
