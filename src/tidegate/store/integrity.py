"""Whether a database is whole: looked at before anything is started or ended by what it says."""

import os

from sqlalchemy import Connection, inspect

from tidegate.store.errors import DamagedDatabase
from tidegate.store.tables import METADATA, MINUTES, SECONDS, SERIES

MAX_CHECKED = 256 * 1024**2
"""Bytes of a SQLite file that is checked as a whole, in about a second; of a larger one, all but the measurements."""
RESTORE = "restore it from a backup with 'tidegate restore FILE --force'"


def check(connection: Connection, shown: str) -> None:
    """Raises Damaged for a fault of a database that has this program's schema: parts that are missing, pages or
    records that cannot be read. ``shown``: its URL."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        present = {c["name"] for c in inspector.get_columns(table.name)} if inspector.has_table(table.name) else {}
        if missing := set(table.columns.keys()) - set(present):
            raise _damaged(shown, f"table {table.name} has no {', '.join(sorted(missing))}")
    if connection.dialect.name == "sqlite":
        _check_pages(connection, shown)
        unreadable = "SELECT kind, name FROM records WHERE NOT json_valid(body) LIMIT 1"
        if (row := connection.exec_driver_sql(unreadable).one_or_none()) is not None:
            raise _damaged(shown, f"the {row[0]} {row[1]!r} cannot be read")


def _check_pages(connection: Connection, shown: str) -> None:
    path = connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    size = os.path.getsize(path) if path else 0
    large = {SECONDS.name, MINUTES.name, SERIES.name}
    tables = [f"('{name}')" for name in METADATA.tables if name not in large] if size > MAX_CHECKED else [""]
    for table in tables:
        found = connection.exec_driver_sql(f"PRAGMA quick_check{table}").scalar()
        if found != "ok":
            raise _damaged(shown, " ".join(str(found).split()))


def _damaged(shown: str, what: str) -> DamagedDatabase:
    return DamagedDatabase(f"The database {shown} is damaged: {what}; {RESTORE}, or name another one")
