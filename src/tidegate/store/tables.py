"""The tables, as SQLAlchemy Core sees them; the migrations make the same ones (a test compares the two).

Text is ordered by code point on both databases, whatever the collation of the PostgreSQL database.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Utc(TypeDecorator[datetime]):
    """An aware moment with microseconds, kept in UTC. SQLite, which knows no zones, keeps it as naive UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no zone; moments in the store are aware")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


VERSION_TABLE = "tidegate_schema"
"""Where Alembic notes the schema's revision; a name of our own, so that a neighbour's is not taken for it."""
SCHEMA = "0006"
"""The newest migration: what a database has that needs none."""

METADATA = MetaData()

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_PLAIN = JSON(none_as_null=True)
_SERIAL = BigInteger().with_variant(Integer, "sqlite")

RECORDS = Table(
    "records",
    METADATA,
    Column("kind", _TEXT, primary_key=True),
    Column("name", _TEXT, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("body", _PLAIN, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("modified_at", Utc, nullable=False),
    Index("records_created", "kind", "created_at", "name"),
    Index("records_modified", "kind", "modified_at", "name"),
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Utc, nullable=False),
    Column("kind", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("body", _PLAIN),
    Column("events", _PLAIN, nullable=False),
    Column("patch", _PLAIN),
    Index("journal_record", "kind", "name", "seq"),
    Index("journal_at", "at"),
    sqlite_autoincrement=True,
)
"""``patch`` is the record's change since its line before (``patches.py``); where it is NULL, ``body`` is the whole
record, or NULL if it was deleted. A ``seq`` is never given out twice."""

SERIES = Table(
    "series",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("namespace", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("dimensions", _TEXT, nullable=False),
    Column("unit", _TEXT, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    UniqueConstraint("namespace", "name", "dimensions", "unit", name="series_key"),
)
"""``dimensions`` is a JSON array of pairs, sorted; ``last_at`` the begin of the last minute that has data."""


def _samples_table(name: str, *indexes: Index) -> Table:
    """Rows lie in the order of time, so that the writes of one moment touch few pages."""
    return Table(
        name,
        METADATA,
        Column("at", BigInteger, primary_key=True, autoincrement=False),
        Column("series_id", BigInteger, primary_key=True, autoincrement=False),
        Column("count", Double, nullable=False),
        Column("total", Double, nullable=False),
        Column("low", Double, nullable=False),
        Column("high", Double, nullable=False),
        Column("bins", LargeBinary, nullable=False),
        *indexes,
        sqlite_with_rowid=False,
    )


SECONDS = _samples_table("seconds")
MINUTES = _samples_table("minutes", Index("minutes_series", "series_id", "at"))
"""Every sample stands in ``seconds`` (as long as they are kept) and, added up, in ``minutes``."""

QUEUE = Table(
    "queue",
    METADATA,
    Column("id", _TEXT, primary_key=True),
    Column("endpoint", _TEXT, nullable=False),
    Column("state", _TEXT, nullable=False),
    Column("item", _PLAIN, nullable=False),
    Column("body", LargeBinary),
    Column("accepted_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("due_at", Double),
    Column("fence", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("losses", BigInteger, nullable=False),
    Column("begun_at", Double),
    Column("finished_at", Double),
    Column("outcome", _PLAIN),
    Column("measures", _PLAIN),
    Column("holder", _TEXT),
    Index("queue_due", "endpoint", "due_at"),
    Index("queue_expiry", "state", "expires_at"),
    Index("queue_backlog", "state", "endpoint", "accepted_at"),
    Index("queue_finished", "finished_at"),
    Index(
        "queue_measured",
        "id",
        sqlite_where=text("measures IS NOT NULL"),
        postgresql_where=text("measures IS NOT NULL"),
    ),
)
"""Asynchronous requests. ``due_at``: waiting, not before then; held, when the lease runs out; done, NULL. Times are
epoch seconds. ``measures`` is NULL once they were taken. ``holder``: the place of the dispatcher that leased it."""

LEASES = Table(
    "leases",
    METADATA,
    Column("name", _TEXT, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("renewals", BigInteger, nullable=False),
    Column("holder", _TEXT, nullable=False),
    Column("place", _TEXT, nullable=False),
    Column("shown", _TEXT, nullable=False),
    Column("session", BigInteger),
    Column("released", Boolean, nullable=False),
)
"""Who may act on the database (``ports/lease.py``). ``renewals`` rises while the holder lives; ``session`` is the
process id of PostgreSQL's end of its connection."""
