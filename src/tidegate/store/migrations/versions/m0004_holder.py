"""Who holds an asynchronous request, so that a successor need not wait for the leases of the dead."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("queue", sa.Column("holder", text))


def downgrade() -> None:
    op.drop_column("queue", "holder")
