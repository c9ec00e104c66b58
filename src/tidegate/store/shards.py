"""Shards of transform jobs in PostgreSQL: a ``ports.shards.ShardBoard``, and the leases that runners take.

A runner leases one shard at a time for each of its lanes, the largest first, and skips rows that others are leasing.
Leases end by the clock of the database, so those of the runners' machines need not agree. Each lease raises the
shard's fence, and whatever a former holder still reports is dropped.

A runner needs the rights to select, insert and update on the table ``shards``, and no others.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from tidegate.domain.errors import StartupError
from tidegate.domain.shards import (
    LISTING,
    JobOver,
    KnownShard,
    LeasedShard,
    NothingFree,
    ShardProgress,
    ShardState,
    ShardTally,
)
from tidegate.domain.transform import InputObject
from tidegate.store.database import Database
from tidegate.store.tables import SHARDS
from tidegate.transform.shards import shards_to_redo

LISTING_LIMIT = 600.0
"""Seconds that it may take to write down the objects of a job."""
_C = SHARDS.c
_NOW = "extract(epoch from clock_timestamp())::float8"
_FREE = f"(state = 'waiting' or state = 'leased' and leased_until < {_NOW})"
_TAKE = f"""
    update shards set losses = losses + (state = 'leased')::int, state = 'leased', fence = fence + 1,
        holder = :holder, leased_until = {_NOW} + :seconds, changed_at = {_NOW}
"""
_PICK = "select number from shards where job = :job and state = '{}' and number > 0 {} order by {} limit 1"
_WAITING = _PICK.format("waiting", "", "size desc, number desc for update skip locked")
_EXPIRED = _PICK.format("leased", f"and leased_until < {_NOW}", "number for update skip locked")


def _statement(words: str) -> TextClause:
    return text(" ".join(words.split()))


_LEASE = _statement(f"""{_TAKE}
    where job = :job and number = coalesce(({_WAITING}), ({_EXPIRED}))
        and exists (select 1 from shards where job = :job and number = 0 and state = 'done' and attempt = :attempt)
    returning number, fence, losses, uri, name, size, tag""")
_LEASE_LISTING = _statement(f"""{_TAKE}
    where job = :job and number = 0 and attempt = :attempt and {_FREE} returning number, fence, losses""")
_LEFT = _statement("""
    select attempt, state, (select count(*) from shards where job = :job and number > 0
        and state in ('waiting', 'leased')) as unfinished
    from shards where job = :job and number = 0""")
_HELD = "where job = :job and number = :number and fence = :fence and state = 'leased'"
_PROGRESS = "records = :records, bad = :bad, bytes_done = :bytes_done, waiting = :waiting"
_RENEW = _statement(
    f"update shards set leased_until = {_NOW} + :seconds, changed_at = {_NOW}, {_PROGRESS} {_HELD}"
)
_FINISH = _statement(
    f"update shards set state = :state, reason = :reason, changed_at = {_NOW}, {_PROGRESS} {_HELD}"
)
_IS_HELD = _statement(f"select count(*) from shards {_HELD}")
_RETURN = _statement(f"""
    update shards set state = 'waiting', losses = losses + :lost, waiting = '', changed_at = {_NOW}
    where job = :job and holder = :holder and state = 'leased'""")
_FAIL_JOB = _statement(f"""
    update shards set state = 'failed', reason = :reason, changed_at = {_NOW}
    where job = :job and number = 0 and attempt = :attempt and state in ('leased', 'done')""")
_OPEN = _statement(f"""
    insert into shards (job, number, attempt, state, uri, name, size, tag, fence, losses, holder, leased_until,
        changed_at, records, bad, bytes_done, reason, waiting)
    values (:job, 0, :attempt, 'waiting', '', '', 0, '', 0, 0, '', 0, {_NOW}, 0, 0, 0, '', '')
    on conflict (job, number) do update set attempt = excluded.attempt, state = 'waiting', reason = '',
        fence = shards.fence + 1, losses = 0, changed_at = {_NOW}
    where shards.attempt < excluded.attempt""")
_REVOKE_ALL = _statement(f"""
    update shards set state = 'waiting', fence = fence + 1, waiting = '', changed_at = {_NOW}
    where job = :job and number > 0 and state = 'leased'""")
_CLOSE = _statement(f"""
    update shards set state = 'failed', fence = fence + 1, changed_at = {_NOW}
    where job = :job and number = 0 and state <> 'failed'""")
_REDO = _statement(f"""
    update shards set attempt = :attempt, state = 'waiting', fence = fence + 1, size = :size, tag = :tag, reason = '',
        losses = 0, records = 0, bad = 0, bytes_done = 0, waiting = '', changed_at = {_NOW}
    where job = :job and number = :number""")
_TALLY = _statement("""
    select count(*) filter (where number > 0) as objects,
        count(*) filter (where number > 0 and state = 'done') as done,
        count(*) filter (where number > 0 and state = 'failed') as failed,
        count(*) filter (where number > 0 and state = 'leased') as leased,
        coalesce(sum(records), 0) as records, coalesce(sum(bad), 0) as bad,
        coalesce(sum(size), 0) as bytes_total, coalesce(sum(bytes_done), 0) as bytes_done,
        coalesce(max(waiting) filter (where state = 'leased'), '') as waiting
    from shards where job = :job""")
_FIRST_FAILED = _statement("""
    select uri, reason from shards where job = :job and number > 0 and state = 'failed' order by number limit 1""")
_RIGHTS = _statement("""
    select has_table_privilege('shards', 'select') and has_table_privilege('shards', 'insert')
        and has_table_privilege('shards', 'update')""")
_COLUMNS = _statement("""
    select attname from pg_attribute where attrelid = 'shards'::regclass and attnum > 0 and not attisdropped""")
_OLD = _statement(f"""
    select job from shards where job not in :active group by job having max(changed_at) < {_NOW} - :seconds
    """).bindparams(bindparam("active", expanding=True))


def check_rights(connection: Connection) -> None:
    """Check the database's role and table. Raises StartupError for a role that cannot be a runner's, or a table of
    another version."""
    if not connection.execute(_RIGHTS).scalar():
        raise StartupError("the database's role lacks rights: GRANT SELECT, INSERT, UPDATE ON shards TO it")
    columns = set(connection.execute(_COLUMNS).scalars())
    if columns != set(_C.keys()):
        raise StartupError(
            "the table shards is another version's: give runners the controller's version of tidegate"
        )


class SqlShards:
    """The controller's side."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, job: str, attempt: int) -> None:
        def work(connection: Connection) -> None:
            if connection.execute(_OPEN, {"job": job, "attempt": attempt}).rowcount:
                connection.execute(_REVOKE_ALL, {"job": job})

        await self._database.run(work)

    async def tally(self, job: str) -> ShardTally | None:
        def work(connection: Connection) -> ShardTally | None:
            asked = select(_C.attempt, _C.state, _C.reason).where(_C.job == job, _C.number == LISTING)
            head = connection.execute(asked).one_or_none()
            if head is None:
                return None
            counts: dict[str, Any] = {
                name: value if isinstance(value, str) else int(value)
                for name, value in connection.execute(_TALLY, {"job": job}).mappings().one().items()
            }
            first = connection.execute(_FIRST_FAILED, {"job": job}).one_or_none() if counts["failed"] else None
            uri, reason = ("", "") if first is None else first
            listed = head.state == ShardState.DONE
            return ShardTally(head.attempt, listed, head.reason, **counts, failed_uri=uri, failed_reason=reason)

        return await self._database.run(work, read_only=True)

    async def revoke(self, job: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_CLOSE, {"job": job})
            connection.execute(_REVOKE_ALL, {"job": job})

        await self._database.run(work)

    async def discard(self, job: str) -> None:
        await self._database.run(lambda c: c.execute(delete(SHARDS).where(_C.job == job)))

    async def prune(self, active: Collection[str], seconds: float) -> list[str]:
        def work(connection: Connection) -> list[str]:
            given = {"active": sorted(active) or [""], "seconds": seconds}
            jobs = list(connection.execute(_OLD, given).scalars())
            connection.execute(delete(SHARDS).where(_C.job.in_(jobs)))
            return jobs

        return await self._database.run(work)


class SqlShardLeases:
    """Leases of one runner on one job, under its name ``holder``, for ``seconds`` at a time. ``attempt`` is how often
    the job had been resumed when the runner was started. Methods raise Unavailable."""

    def __init__(self, database: Database, job: str, attempt: int, holder: str, seconds: float) -> None:
        self.seconds = seconds
        self._database = database
        self._job = {"job": job}
        self._of_attempt = {"job": job, "attempt": attempt}
        self._holder = {"holder": holder}

    async def next(self) -> LeasedShard | NothingFree | JobOver:
        """Leases a shard, or the listing of the job's objects, which comes first."""
        given = {**self._of_attempt, **self._holder, "seconds": self.seconds}

        def work(connection: Connection) -> LeasedShard | NothingFree | JobOver:
            taken = connection.execute(_LEASE, given).one_or_none()
            if taken is not None:
                item = InputObject(taken.uri, taken.name, taken.size, taken.tag)
                return LeasedShard(taken.number, taken.fence, item, taken.losses)
            left = connection.execute(_LEFT, self._job).one_or_none()
            if left is None or left.attempt != given["attempt"] or left.state == ShardState.FAILED:
                return JobOver()
            if left.state == ShardState.DONE:
                return NothingFree() if left.unfinished else JobOver()
            listing = connection.execute(_LEASE_LISTING, given).one_or_none()
            return NothingFree() if listing is None else LeasedShard(LISTING, listing.fence, losses=listing.losses)

        return await self._database.run(work)

    async def write_listing(self, held: LeasedShard, items: Sequence[InputObject]) -> bool:
        """Makes a shard of each object, or compares them with those of an earlier attempt. Returns whether the
        listing was still leased; if not, nothing is written."""

        def work(connection: Connection) -> None:
            _check(connection.execute(_IS_HELD, _held(held, self._job)).scalar())
            asked = select(SHARDS).where(_C.job == self._job["job"], _C.number > LISTING)
            known = [_known(row) for row in connection.execute(asked.order_by(_C.number))]
            if known:
                redone = [
                    {**self._of_attempt, "number": number, "size": item.size, "tag": item.tag}
                    for number, item in shards_to_redo(known, items).items()
                ]
                if redone:
                    connection.execute(_REDO, redone)
            else:
                rows = [self._row(number, item) for number, item in enumerate(items, 1)]
                # A former holder may be writing the same ones: of the two transactions the holder's lands.
                connection.execute(insert(SHARDS).on_conflict_do_nothing(), rows)
            ended = {**_held(held, self._job), "state": ShardState.DONE, "reason": "", **_values(ShardProgress())}
            _check(connection.execute(_FINISH, ended).rowcount)

        try:
            await self._database.call(lambda: self._database.transact(work, limit=LISTING_LIMIT))
        except _LostLease:
            return False
        return True

    def _row(self, number: int, item: InputObject) -> dict[str, Any]:
        texts = dict.fromkeys(("holder", "reason", "waiting"), "")
        counts = dict.fromkeys(
            ("fence", "losses", "leased_until", "changed_at", "records", "bad", "bytes_done"), 0
        )
        about = {"uri": item.uri, "name": item.name, "size": item.size, "tag": item.tag}
        return {**self._of_attempt, "number": number, "state": ShardState.WAITING, **about, **texts, **counts}

    async def renew(self, held: Mapping[LeasedShard, ShardProgress]) -> set[LeasedShard]:
        """Returns those that are still leased by this runner."""

        def work(connection: Connection) -> set[LeasedShard]:
            kept = set()
            for shard in sorted(held, key=lambda one: one.number):
                given = {**_held(shard, self._job), **_values(held[shard]), "seconds": self.seconds}
                if connection.execute(_RENEW, given).rowcount:
                    kept.add(shard)
            return kept

        return await self._database.run(work) if held else set()

    async def finish(self, held: LeasedShard, progress: ShardProgress, reason: str) -> bool:
        """Records the end of a shard; ``reason``: why it failed, or empty. Returns whether it was still leased by
        this runner; if not, nothing is written."""
        state = ShardState.FAILED if reason else ShardState.DONE
        given = {**_held(held, self._job), **_values(progress), "state": state, "reason": reason}
        return bool(await self._database.run(lambda c: c.execute(_FINISH, given).rowcount))

    async def fail_job(self, reason: str) -> None:
        """The first reason stays."""
        given = {**self._of_attempt, "reason": reason}
        await self._database.run(lambda c: c.execute(_FAIL_JOB, given))

    async def give_back(self, *, lost: bool) -> int:
        """Let others have what is leased under this runner's name, at once; returns how many. ``lost``: a process
        died that had them."""
        given = {**self._job, **self._holder, "lost": int(lost)}
        return await self._database.run(lambda c: c.execute(_RETURN, given).rowcount)


class _LostLease(Exception):
    pass


def _check(held: int | None) -> None:
    if not held:
        raise _LostLease


def _held(shard: LeasedShard, job: Mapping[str, str]) -> dict[str, Any]:
    return {**job, "number": shard.number, "fence": shard.fence}


def _values(progress: ShardProgress) -> dict[str, Any]:
    return {
        "records": progress.records,
        "bad": progress.bad,
        "bytes_done": progress.bytes_done,
        "waiting": progress.waiting,
    }


def _known(row: Any) -> KnownShard:
    return KnownShard(row.number, InputObject(row.uri, row.name, row.size, row.tag), ShardState(row.state))
