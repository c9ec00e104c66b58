"""Users, API tokens, sessions of the console, and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "users",
        sa.Column("name", text, primary_key=True),
        sa.Column("role", text, nullable=False),
        sa.Column("password", text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("changed_at", moment, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("id", text, primary_key=True),
        sa.Column("digest", text, nullable=False),
        sa.Column("owner", text, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("label", text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment),
        sa.Column("used_at", moment),
    )
    op.create_index("tokens_owner", "tokens", ["owner"])
    op.create_table(
        "sessions",
        sa.Column("digest", text, primary_key=True),
        sa.Column("name", text, nullable=False),
        sa.Column("role", text),
        sa.Column("csrf", text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
    )
    op.create_index("sessions_name", "sessions", ["name", "created_at"])
    op.create_index("sessions_expiry", "sessions", ["expires_at"])
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    words = ("who", "means", "role", "source", "action", "about", "reason", "outcome", "detail")
    op.create_table(
        "audit",
        sa.Column("seq", serial, primary_key=True, autoincrement=True),
        sa.Column("at", moment, nullable=False),
        *(sa.Column(word, text, nullable=False) for word in words),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_at", "audit", ["at"])


def downgrade() -> None:
    for table in ("audit", "sessions", "tokens", "users"):
        op.drop_table(table)
