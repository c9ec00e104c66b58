"""Check the schema of a database, and migrate it."""

from sqlalchemy import Connection, inspect

from tidegate.store.tables import METADATA, SCHEMA, VERSION_TABLE


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate within the caller's transaction. Raises StartupError if the schema is newer."""
    if to != "head" or current_revision(connection) != SCHEMA:
        from tidegate.store.migrate import migrate  # noqa: PLC0415 (slow to import, and most starts do not need it)

        migrate(connection, to)
    if to == "head":  # detects a read-only database now, not at the first write
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = version_num")


def rebuild(connection: Connection) -> None:
    """Replace all tables with empty ones, within the caller's transaction."""
    METADATA.drop_all(connection)
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {VERSION_TABLE}")
    upgrade(connection)


def needs_migration(connection: Connection) -> bool:
    return current_revision(connection) != SCHEMA


def current_revision(connection: Connection) -> str | None:
    """Revision of the schema; None: there is none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
