"""Journal lines that hold what changed instead of the whole record, and their removal by age."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("journal", sa.Column("patch", sa.JSON))
    op.create_index("journal_at", "journal", ["at"])


def downgrade() -> None:
    op.drop_index("journal_at")
    op.drop_column("journal", "patch")
