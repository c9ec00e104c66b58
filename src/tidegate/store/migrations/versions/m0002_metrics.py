"""Metric series, their samples by the second and by the minute."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "series",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("namespace", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("dimensions", text, nullable=False),
        sa.Column("unit", text, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("namespace", "name", "dimensions", "unit", name="series_key"),
    )
    for name in ("seconds", "minutes"):
        op.create_table(
            name,
            sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("series_id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("count", sa.Double, nullable=False),
            sa.Column("total", sa.Double, nullable=False),
            sa.Column("low", sa.Double, nullable=False),
            sa.Column("high", sa.Double, nullable=False),
            sa.Column("bins", sa.LargeBinary, nullable=False),
            sqlite_with_rowid=False,
        )
    op.create_index("minutes_series", "minutes", ["series_id", "at"])


def downgrade() -> None:
    for name in ("minutes", "seconds", "series"):
        op.drop_table(name)
