"""What is kept of journal, audit, sessions and tokens is bounded however fast they grow."""

from datetime import UTC, datetime, timedelta

import pytest

from tidegate.compose import leadership
from tidegate.compose.leadership import prune_records
from tidegate.domain.access import AuditEntry, Means, Role, Session, Token, User
from tidegate.ports.store import Kind
from tidegate.settings import Settings
from tidegate.store import audit as audit_module
from tidegate.store import open_store
from tidegate.store.access import SqlAccess
from tidegate.store.audit import SqlAudit


@pytest.mark.parametrize(("age", "kept"), [(timedelta(), 4), (timedelta(days=400), 0)], ids=["number", "age"])
async def test_one_turn_removes_all_that_is_too_much(
    age: timedelta, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store("sqlite://")
    audit = SqlAudit(store.database)
    monkeypatch.setattr(audit_module, "PRUNED_AT_ONCE", 3)
    monkeypatch.setattr(leadership, "AUDIT_ENTRIES", 4)
    for number in range(20):
        await audit.begin(AuditEntry(datetime.now(UTC) - age, f"u{number}", Means.KEY, "", "", "deploy", "", ""))
    await prune_records(store, Settings())
    assert len(await audit.read()) == kept
    await store.close()


COUNTED = Kind("counted", dict[str, int])


async def test_one_turn_removes_all_old_lines_of_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "JOURNAL_LINES", 3)
    store = open_store("sqlite://")
    long_ago = datetime.now(UTC) - timedelta(days=40)
    for number in range(10):
        name = f"r{number}"
        await store.run(lambda tx, n=name: tx.put(COUNTED, n, {"a": 1}, expect=0, now=long_ago))  # type: ignore[misc]
        await store.run(lambda tx, n=name: tx.delete(COUNTED, n, expect=1, now=long_ago))  # type: ignore[misc]
    await prune_records(store, Settings())
    assert not await store.run(lambda tx: tx.journal(limit=100))
    await store.close()


async def test_expired_sessions_and_long_expired_tokens_are_removed() -> None:
    store = open_store("sqlite://")
    book, now = SqlAccess(store.database), datetime.now(UTC)
    await book.add_user(User("alice", Role.ADMIN, "hash", now, now))
    for id, days in (("old", -100), ("expired", -1), ("valid", 1)):
        await book.add_token(Token(id, "digest", "alice", Role.ADMIN, "", now, now + timedelta(days=days), None))
    await book.add_token(Token("lasting", "digest", "alice", Role.ADMIN, "", now, None, None))
    for digest, minutes in (("over", -1), ("open", 60)):
        there = Session(digest, "alice", None, "csrf", now, now, now + timedelta(minutes=minutes))
        await book.begin_session(there, password="hash", instead_of="", most=9)
    await prune_records(store, Settings())
    assert {token.id for token in await book.tokens()} == {"expired", "valid", "lasting"}
    assert await book.find_session("over") is None and await book.find_session("open") is not None
    await store.close()
