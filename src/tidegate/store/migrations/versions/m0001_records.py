"""Records and their journal."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "records",
        sa.Column("kind", text, primary_key=True),
        sa.Column("name", text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("modified_at", moment, nullable=False),
    )
    op.create_index("records_created", "records", ["kind", "created_at", "name"])
    op.create_index("records_modified", "records", ["kind", "modified_at", "name"])
    op.create_table(
        "journal",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("body", sa.JSON),
        sa.Column("events", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("journal_record", "journal", ["kind", "name", "seq"])


def downgrade() -> None:
    op.drop_table("journal")
    op.drop_table("records")
