"""How attempts to sign in are counted, and which sessions count."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.auth import logins as module
from tidegate.auth.logins import Logins
from tidegate.auth.passwords import Cost, hash_password
from tidegate.domain.access import Role, User
from tidegate.domain.errors import AuthError, SessionEnded, TooManyAttempts, Unavailable
from tidegate.store import open_store
from tidegate.store.access import SqlAccess

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHEAP = Cost(4, 1)
PASSWORD = "correct horse battery"
HOME = "192.0.2.1"


async def logins_of(*names: str, book: SqlAccess | None = None, provider: str = "") -> Logins:
    numbers = itertools.count(1)
    found = book or SqlAccess(open_store("sqlite://").database)
    for name in names:
        encoded = hash_password(PASSWORD, bytes(16), CHEAP)
        await found.add_user(User(name, Role.ADMIN, encoded, NOW, NOW))
    return Logins(found, lambda size: next(numbers).to_bytes(size, "big"), cost=CHEAP, provider=provider)


async def guess_from_everywhere(logins: Logins) -> None:
    """As many addresses as it takes to use up the attempts at one user."""
    for number in range(120):
        with pytest.raises(AuthError):
            await logins.login("alice", "wrong", f"198.51.100.{number}", NOW)


async def test_guesses_from_everywhere_do_not_lock_out_whoever_signed_in_from_where_they_are() -> None:
    logins = await logins_of("alice", "bob")
    await logins.login("alice", PASSWORD, HOME, NOW)
    await logins.login("bob", PASSWORD, "192.0.2.2", NOW)
    later = NOW + timedelta(days=29)
    await guess_from_everywhere(logins)
    assert await logins.login("alice", PASSWORD, HOME, NOW)
    with pytest.raises(TooManyAttempts):
        await logins.login("alice", PASSWORD, "192.0.2.2", NOW)
    for _ in range(6):
        with pytest.raises(AuthError, match="not right"):
            await logins.login("alice", "wrong", HOME, later)
    with pytest.raises(TooManyAttempts):
        await logins.login("alice", PASSWORD, HOME, later)


async def test_where_somebody_signed_in_long_ago_is_forgotten() -> None:
    logins = await logins_of("alice")
    await logins.login("alice", PASSWORD, HOME, NOW - timedelta(days=31))
    await guess_from_everywhere(logins)
    with pytest.raises(TooManyAttempts):
        await logins.login("alice", PASSWORD, HOME, NOW)


async def test_a_login_that_found_no_turn_is_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = await logins_of("alice")
    monkeypatch.setattr(module, "MAX_WAITING", 0)
    for _ in range(10):
        with pytest.raises(Unavailable):
            await logins.login("alice", PASSWORD, HOME, NOW)
    monkeypatch.undo()
    assert await logins.login("alice", PASSWORD, HOME, NOW)


async def test_a_session_by_a_provider_ends_where_another_provider_or_other_roles_are_set() -> None:
    first = await logins_of("bob", provider="one")
    outside = await first.begin_external("oidc:alice", Role.ADMIN, NOW)
    inside = await first.login("bob", PASSWORD, HOME, NOW)
    assert (await first.find_session(outside, NOW)).role is Role.ADMIN
    for provider in ("", "two"):
        other = await logins_of(book=first.book, provider=provider)  # type: ignore[arg-type]
        with pytest.raises(SessionEnded):
            await other.find_session(outside, NOW)
        assert (await other.find_session(inside, NOW)).name == "bob"
    assert (await first.find_session(outside, NOW)).name == "oidc:alice"


async def test_a_login_by_a_provider_replaces_the_session_before() -> None:
    logins = await logins_of(provider="one")
    before = await logins.begin_external("oidc:alice", Role.VIEWER, NOW)
    after = await logins.begin_external("oidc:alice", Role.VIEWER, NOW, before)
    with pytest.raises(SessionEnded):
        await logins.find_session(before, NOW)
    assert await logins.find_session(after, NOW)


async def test_many_at_once_are_counted_before_they_are_looked_at() -> None:
    logins = await logins_of("alice")
    tried = [logins.login("alice", "wrong", HOME, NOW) for _ in range(20)]
    found = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(isinstance(one, TooManyAttempts) for one in found) == 14
