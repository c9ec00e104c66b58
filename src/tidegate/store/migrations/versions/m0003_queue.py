"""Asynchronous requests that were accepted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "queue",
        sa.Column("id", text, primary_key=True),
        sa.Column("endpoint", text, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("item", sa.JSON, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("accepted_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("due_at", sa.Double),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.Column("losses", sa.BigInteger, nullable=False),
        sa.Column("begun_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("outcome", sa.JSON),
        sa.Column("measures", sa.JSON),
    )
    op.create_index("queue_due", "queue", ["endpoint", "due_at"])
    op.create_index("queue_expiry", "queue", ["state", "expires_at"])
    op.create_index("queue_backlog", "queue", ["state", "endpoint", "accepted_at"])
    op.create_index("queue_finished", "queue", ["finished_at"])
    kept = sa.text("measures IS NOT NULL")
    op.create_index("queue_measured", "queue", ["id"], sqlite_where=kept, postgresql_where=kept)


def downgrade() -> None:
    op.drop_table("queue")
