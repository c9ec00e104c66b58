"""Looks whether a database has the schema of this program, and brings it up to it."""

from sqlalchemy import Connection, inspect

from tidegate.store.tables import METADATA, SCHEMA, VERSION_TABLE


def upgrade(connection: Connection, to: str = "head") -> None:
    """Inside the caller's transaction: all of it or nothing. Raises StartupError when the schema is newer."""
    if to != "head" or current_revision(connection) != SCHEMA:
        from tidegate.store.migrate import migrate  # noqa: PLC0415 (most starts need none of alembic)

        migrate(connection, to)
    if to == "head":  # a database that can only be read is found out now, not at the first write
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = version_num")


def rebuild(connection: Connection) -> None:
    """The tables of this program, empty, in place of what there is of them. Inside the caller's transaction."""
    METADATA.drop_all(connection)
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {VERSION_TABLE}")
    upgrade(connection)


def needs_migration(connection: Connection) -> bool:
    return current_revision(connection) != SCHEMA


def current_revision(connection: Connection) -> str | None:
    """The schema's revision; None: there is none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
