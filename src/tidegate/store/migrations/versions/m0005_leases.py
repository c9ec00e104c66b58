"""Who may act on the database."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "leases",
        sa.Column("name", text, primary_key=True),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.Column("holder", text, nullable=False),
        sa.Column("place", text, nullable=False),
        sa.Column("shown", text, nullable=False),
        sa.Column("session", sa.BigInteger),
        sa.Column("released", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("leases")
