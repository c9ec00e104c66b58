"""The tables in SQLAlchemy Core. Migrations create the same ones (a test compares them).

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
    false,
    text,
)


class Utc(TypeDecorator[datetime]):
    """An aware datetime with microseconds, stored in UTC; on SQLite, which has no time zones, as naive UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the store needs aware datetimes")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


VERSION_TABLE = "tidegate_schema"
"""Alembic's table of the schema's revision. Not its default name, which another application in the same database may
use."""
SCHEMA = "0010"
"""The newest revision."""

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
"""``patch`` is the change since the record's previous line (``patches.py``). If it is NULL, ``body`` is the complete
record, or NULL if the record was deleted. A ``seq`` is never reused."""

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
"""``dimensions`` is a sorted JSON array of pairs; ``last_at`` is the start of the last minute with data."""


def _samples_table(name: str, *indexes: Index) -> Table:
    """Rows are clustered by time, so that writes at one time touch few pages."""
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
"""Every sample is in ``seconds`` (while those are retained) and, aggregated, in ``minutes``."""


def _part(name: str, where: str, *columns: str) -> Index:
    """An index of the rows that fulfil a condition."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


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
    _part("queue_waiting", "state = 'waiting'", "endpoint", "due_at", "accepted_at"),
    _part("queue_expiry", "state = 'waiting'", "expires_at"),
    _part("queue_held", "state IN ('working', 'telling')", "endpoint", "due_at"),
    _part("queue_finished", "finished_at IS NOT NULL", "finished_at"),
    _part("queue_measured", "measures IS NOT NULL", "id"),
    Index("queue_shown", "endpoint", "accepted_at"),
)
"""Asynchronous requests. ``due_at``: while waiting, earliest time of the next try; while leased, end of the lease;
when done, NULL. Times are epoch seconds. ``measures`` is NULL once they were collected. ``holder``: name of the
dispatcher that leased the item. Each index but the last has a part of the rows: few, or those that a change of the
state adds or removes, so that a request in its life changes as few of them as can be."""

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
"""The lease on the database (``ports/lease.py``). ``renewals`` rises while the holder lives; ``session`` is the
process id of PostgreSQL's backend for its connection."""

SHARDS = Table(
    "shards",
    METADATA,
    Column("job", _TEXT, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, nullable=False),
    Column("state", _TEXT, nullable=False),
    Column("uri", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("tag", _TEXT, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("losses", BigInteger, nullable=False),
    Column("holder", _TEXT, nullable=False),
    Column("leased_until", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("bytes_done", BigInteger, nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("waiting", _TEXT, nullable=False),
    Index("shards_free", "job", "state", "size", "number"),
)
"""Shards of transform jobs that several runners share (``domain/shards.py``). Times are epoch seconds by the clock of
the database, which all runners share."""

USERS = Table(
    "users",
    METADATA,
    Column("name", _TEXT, primary_key=True),
    Column("role", _TEXT, nullable=False),
    Column("password", _TEXT, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("changed_at", Utc, nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=false()),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", _TEXT, primary_key=True),
    Column("digest", _TEXT, nullable=False),
    Column("owner", _TEXT, nullable=False),
    Column("role", _TEXT, nullable=False),
    Column("label", _TEXT, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("used_at", Utc),
    Index("tokens_owner", "owner"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", _TEXT, primary_key=True),
    Column("name", _TEXT, nullable=False),
    Column("role", _TEXT),
    Column("csrf", _TEXT, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Index("sessions_name", "name", "created_at"),
    Index("sessions_expiry", "expires_at"),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Utc, nullable=False),
    Column("who", _TEXT, nullable=False),
    Column("means", _TEXT, nullable=False),
    Column("role", _TEXT, nullable=False),
    Column("source", _TEXT, nullable=False),
    Column("action", _TEXT, nullable=False),
    Column("about", _TEXT, nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("outcome", _TEXT, nullable=False),
    Column("detail", _TEXT, nullable=False),
    Index("audit_at", "at"),
    sqlite_autoincrement=True,
)
"""Secrets are in none of these: of passwords, tokens and sessions there are only hashes."""
