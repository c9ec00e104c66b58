"""Run by Alembic: the migrations inside the connection (and transaction) of the caller."""

from alembic import context

from tidegate.store.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
context.run_migrations()
