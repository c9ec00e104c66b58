"""Shards of transform jobs whose runners are on other machines."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "shards",
        sa.Column("job", text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("uri", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("tag", text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("losses", sa.BigInteger, nullable=False),
        sa.Column("holder", text, nullable=False),
        sa.Column("leased_until", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.BigInteger, nullable=False),
        sa.Column("bytes_done", sa.BigInteger, nullable=False),
        sa.Column("reason", text, nullable=False),
        sa.Column("waiting", text, nullable=False),
    )
    op.create_index("shards_free", "shards", ["job", "state", "size", "number"])


def downgrade() -> None:
    op.drop_index("shards_free")
    op.drop_table("shards")
