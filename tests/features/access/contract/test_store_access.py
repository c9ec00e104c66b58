"""Users, tokens, sessions and the audit in both databases."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidegate.domain.access import AuditEntry, AuditOutcome, Means, Role, Session, Token, User
from tidegate.domain.errors import AlreadyExists, Conflict, NotFound, SessionEnded
from tidegate.store import open_store
from tidegate.store.access import SqlAccess
from tidegate.store.audit import SqlAudit
from tidegate.store.database import Database

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALICE = User("alice", Role.OPERATOR, "scrypt$1", NOW, NOW)
TOKEN = Token("0123", "digest", "alice", Role.VIEWER, "ci", NOW, None)
ENTRY = AuditEntry(NOW, "alice", Means.KEY, "operator", "192.0.2.1", "deploy", "fraud", "because")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    store = open_store(database_url)
    yield store.database
    await store.close()


def session(digest: str, name: str = "alice", minutes: int = 0, role: Role | None = None) -> Session:
    began = NOW + timedelta(minutes=minutes)
    return Session(digest, name, role, f"csrf-{digest}", began, began, began + HOUR)


async def begin(book: SqlAccess, made: Session, password: str = ALICE.password, instead_of: str = "") -> None:
    await book.begin_session(made, password=password, instead_of=instead_of, most=3)


async def test_a_user_is_kept_changed_and_removed_with_all_that_is_theirs(database: Database) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    with pytest.raises(AlreadyExists):
        await book.add_user(replace(ALICE, role=Role.ADMIN))
    assert await book.users() == [ALICE] and await book.user("alice") == ALICE and await book.user("bob") is None
    await book.add_token(TOKEN)
    await begin(book, session("one"))
    await book.change_user("alice", NOW + HOUR, role=Role.ADMIN)
    found = await book.find_session("one")
    assert found is not None and found[1] is not None and found[1].role is Role.ADMIN
    await book.remove_user("alice")
    assert await book.users() == [] and await book.tokens() == []
    assert await book.find_session("one") is None and await book.find_token("0123") is None


async def test_what_is_not_there_cannot_be_changed(database: Database) -> None:
    book = SqlAccess(database)
    for work in (
        book.change_user("bob", NOW, role=Role.ADMIN),
        book.remove_user("bob"),
        book.remove_token("x"),
        book.add_token(TOKEN),
    ):
        with pytest.raises(NotFound):
            await work


async def test_a_new_password_ends_sessions_and_a_login_that_was_under_way(database: Database) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    await begin(book, session("one"))
    await book.change_user("alice", NOW, password="scrypt$2")
    assert await book.find_session("one") is None
    with pytest.raises(SessionEnded):
        await begin(book, session("two"), password=ALICE.password)
    await begin(book, session("two"), password="scrypt$2")


async def test_sessions_are_replaced_bounded_and_forgotten_once_they_have_expired(database: Database) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    await begin(book, session("old", minutes=-90))
    for number in range(4):
        await begin(book, session(f"{number}", minutes=number))
    there = [digest for digest in ("old", "0", "1", "2", "3") if await book.find_session(digest) is not None]
    assert there == ["1", "2", "3"]
    await begin(book, session("new", minutes=5), instead_of="3")
    assert await book.find_session("3") is None
    await book.end_session("new")
    await book.end_session("new")
    assert await book.find_session("new") is None


async def test_a_session_with_a_role_of_its_own_needs_no_user(database: Database) -> None:
    book = SqlAccess(database)
    await begin(book, session("one", "oidc:alice", role=Role.VIEWER), password="")
    found = await book.find_session("one")
    assert found == (session("one", "oidc:alice", role=Role.VIEWER), None)
    with pytest.raises(SessionEnded):
        await begin(book, session("two", "oidc:alice"), password="")


async def test_uses_are_noted(database: Database) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    await book.add_token(TOKEN)
    await begin(book, session("one"))
    await book.note_token_use("0123", NOW + HOUR)
    await book.note_session_use("one", NOW + HOUR)
    found = await book.find_session("one")
    assert found is not None and found[0].seen_at == NOW + HOUR
    assert await book.find_token("0123") == (replace(TOKEN, used_at=NOW + HOUR), ALICE)


async def test_the_audit_is_read_backwards_and_pruned_by_age_and_number(database: Database) -> None:
    audit = SqlAudit(database)
    numbers = [await audit.begin(replace(ENTRY, at=NOW + n * HOUR, about=f"e{n % 2}")) for n in range(6)]
    await audit.finish(numbers[5], AuditOutcome.FAILED, "no")
    newest = (await audit.read(limit=1))[0]
    assert newest == replace(
        ENTRY, at=NOW + 5 * HOUR, about="e1", outcome=AuditOutcome.FAILED, detail="no", seq=numbers[5]
    )
    assert [entry.seq for entry in await audit.read(before=numbers[2])] == numbers[1::-1]
    assert [entry.seq for entry in await audit.read(about="e0")] == numbers[4::-2]
    assert await audit.read(who="bob") == []
    assert await audit.prune(NOW + HOUR, 1000) == 1
    assert await audit.prune(NOW, 3) == 2
    assert [entry.seq for entry in await audit.read()] == numbers[:2:-1]
    assert await audit.begin(ENTRY) == numbers[5] + 1


async def test_all_sessions_of_a_name_end_and_no_others(database: Database) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    await begin(book, session("one"))
    for digest, name in (("two", "oidc:bob"), ("three", "oidc:bob"), ("four", "oidc:eve")):
        await begin(book, session(digest, name, role=Role.ADMIN), password="")
    assert await book.end_sessions("oidc:bob") == 2 and await book.end_sessions("oidc:bob") == 0
    assert await book.find_session("two") is None and await book.find_session("four") is not None
    assert await book.find_session("one") is not None and await book.end_sessions("alice") == 1
    assert await book.find_session("one") is None


async def test_the_file_of_a_database_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.db"
    before = os.umask(0o022)
    try:
        store = open_store(f"sqlite:///{path}")
        await SqlAccess(store.database).add_user(ALICE)
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600} and "tidegate.db" in modes


async def test_a_disabled_user_has_no_sessions_and_begins_none(database: Database) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    await begin(book, session("one"))
    await book.change_user("alice", NOW + HOUR, disabled=True)
    assert await book.sessions() == []
    with pytest.raises(SessionEnded):
        await begin(book, session("two"))
    await book.change_user("alice", NOW + HOUR, disabled=False)
    await begin(book, session("two"))
    assert [one.digest for one in await book.sessions()] == ["two"]


async def test_a_new_password_keeps_the_session_that_asked_for_it_and_needs_the_one_that_was_shown(
    database: Database,
) -> None:
    book = SqlAccess(database)
    await book.add_user(ALICE)
    for digest in ("one", "two"):
        await begin(book, session(digest))
    with pytest.raises(Conflict):
        await book.change_user("alice", NOW, password="scrypt$3", keep="one", known="scrypt$2")
    assert len(await book.sessions()) == 2
    await book.change_user("alice", NOW, password="scrypt$3", keep="one", known=ALICE.password)
    assert [one.digest for one in await book.sessions()] == ["one"]


async def test_of_two_admins_who_are_lowered_at_once_one_remains(database: Database) -> None:
    book = SqlAccess(database)
    for name in ("ann", "ben"):
        await book.add_user(replace(ALICE, name=name, role=Role.ADMIN))
    both = await asyncio.gather(
        book.change_user("ann", NOW, role=Role.VIEWER),
        book.change_user("ben", NOW, disabled=True),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in both) == ["Conflict", "NoneType"]
    with pytest.raises(Conflict):
        await book.remove_user("ann" if both[0] is not None else "ben")
