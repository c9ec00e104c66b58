"""SQLite databases in memory are migrated once in each process of tests; further ones get the same tables by the
statements that make them: 3.6 in place of 35 milliseconds of processor time. Databases in files and on servers are
migrated as always, and so are those that have tables already.
"""

import sqlite3
from functools import cache

from sqlalchemy import Connection, create_engine

from tidegate.store import migrate as migrations

MIGRATE = migrations.migrate


def migrate(connection: Connection, to: str) -> None:
    """In place of ``tidegate.store.migrate.migrate``."""
    if to == "head" and is_empty_memory(connection):
        for statement in statements():
            connection.exec_driver_sql(statement)
    else:
        MIGRATE(connection, to)


def is_empty_memory(connection: Connection) -> bool:
    if connection.dialect.name != "sqlite":
        return False
    files = [file for _, _, file in connection.exec_driver_sql("PRAGMA database_list")]
    return not any(files) and not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()


@cache
def statements() -> tuple[str, ...]:
    """What makes the tables, the indexes and the rows of a migrated database."""
    with create_engine("sqlite://").begin() as connection:
        MIGRATE(connection, "head")
        migrated = connection.connection.driver_connection
        assert isinstance(migrated, sqlite3.Connection)
        return tuple(one for one in migrated.iterdump() if one not in ("BEGIN TRANSACTION;", "COMMIT;"))


migrations.migrate = migrate
