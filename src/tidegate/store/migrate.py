"""Migrate a database with the packaged migrations. Separate from ``schema.py``, since importing alembic takes longer
than everything else that a start needs of the store."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tidegate.domain.errors import StartupError
from tidegate.store.tables import VERSION_TABLE

_ALEMBIC = threading.Lock()
"""Alembic's ``op`` and ``context`` are global, so only one upgrade may run in a process."""


def migrate(connection: Connection, to: str) -> None:
    """See ``schema.upgrade``."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if present is not None and present not in {s.revision for s in script.walk_revisions()}:
        raise StartupError(
            f"The database was written by a newer tidegate (schema {present}, this one knows "
            f"{script.get_current_head()}): install that version or use another database"
        )
    if present != script.get_current_head():
        with _ALEMBIC:
            command.upgrade(config, to)
