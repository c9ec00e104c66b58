"""Brings a database's schema up to this program's, by the migrations that are packaged with it."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tidegate.adapters.store.tables import VERSION_TABLE
from tidegate.model.errors import StartupError

_ALEMBIC = threading.Lock()
"""Alembic's ``op`` and ``context`` are global: one upgrade at a time in a process."""


def upgrade(connection: Connection, to: str = "head") -> None:
    """Inside the caller's transaction: all of it or nothing. Raises StartupError when the schema is newer."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if present is not None and present not in {s.revision for s in script.walk_revisions()}:
        raise StartupError(
            f"The database was written by a newer tidegate (schema {present}, this one knows "
            f"{script.get_current_head()}): install that tidegate or name another database"
        )
    if present != script.get_current_head():
        with _ALEMBIC:
            command.upgrade(config, to)
    if to == "head":  # a database that can only be read is found out now, not at the first write
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = version_num")
