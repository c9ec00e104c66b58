"""The audit in the store's database."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from tidegate.domain.access import AuditEntry, AuditOutcome, Means
from tidegate.store.database import Database
from tidegate.store.tables import AUDIT

PRUNED_AT_ONCE = 2_000
_C = AUDIT.c


class SqlAudit:
    """A ``ports.access.Audit``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, entry: AuditEntry) -> int:
        values = asdict(entry)
        del values["seq"]
        adding = insert(AUDIT).values(values).returning(_C.seq)
        return int(await self._database.run(lambda c: c.execute(adding).scalar_one()))

    async def finish(self, seq: int, outcome: AuditOutcome, detail: str) -> None:
        change = update(AUDIT).where(_C.seq == seq).values(outcome=outcome, detail=detail)
        await self._database.run(lambda c: c.execute(change))

    async def read(
        self, *, before: int = 0, limit: int = 100, who: str = "", about: str = ""
    ) -> Sequence[AuditEntry]:
        asked = select(AUDIT).order_by(_C.seq.desc()).limit(limit)
        if before:
            asked = asked.where(_C.seq < before)
        if who:
            asked = asked.where(_C.who == who)
        if about:
            asked = asked.where(_C.about == about)
        rows = await self._database.run(lambda c: c.execute(asked).all(), read_only=True)
        return [_entry(row) for row in rows]

    async def prune(self, oldest: datetime, most: int) -> int:
        def work(connection: Connection) -> int:
            last = connection.execute(select(func.max(_C.seq))).scalar() or 0
            gone = select(_C.seq).where(or_(_C.at < oldest, _C.seq <= last - most))
            old = gone.order_by(_C.seq).limit(PRUNED_AT_ONCE)
            return connection.execute(delete(AUDIT).where(_C.seq.in_(old))).rowcount

        return await self._database.run(work)


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(**{**row._mapping, "means": Means(row.means), "outcome": AuditOutcome(row.outcome)})
