"""Indexes of a part of the queue each: an asynchronous request changes about half as many in its life."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

BEFORE = {
    "queue_due": ["endpoint", "due_at"],
    "queue_expiry": ["state", "expires_at"],
    "queue_backlog": ["state", "endpoint", "accepted_at"],
    "queue_finished": ["finished_at"],
}
PARTS = {
    "queue_waiting": ("state = 'waiting'", ["endpoint", "due_at", "accepted_at"]),
    "queue_expiry": ("state = 'waiting'", ["expires_at"]),
    "queue_held": ("state IN ('working', 'telling')", ["endpoint", "due_at"]),
    "queue_finished": ("finished_at IS NOT NULL", ["finished_at"]),
}


def upgrade() -> None:
    for name in BEFORE:
        op.drop_index(name, "queue")
    for name, (where, columns) in PARTS.items():
        op.create_index(name, "queue", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_index("queue_shown", "queue", ["endpoint", "accepted_at"])


def downgrade() -> None:
    for name in ("queue_shown", *PARTS):
        op.drop_index(name, "queue")
    for name, columns in BEFORE.items():
        op.create_index(name, "queue", columns)
