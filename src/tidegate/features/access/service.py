"""Use cases of users and API tokens, each with its line in the audit."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.auth import passwords
from tidegate.auth.passwords import Cost
from tidegate.domain.access import USER_NAME, AuditEntry, AuditOutcome, Caller, Role, Session, Token, User
from tidegate.domain.errors import Invalid, LimitExceeded, NotFound, TidegateError
from tidegate.ports.access import AccessBook, Audit

MAX_LABEL = 64
MAX_TOKENS = 100
"""Of one user."""


@dataclass(frozen=True)
class UserBook:
    """``by``: who asks, for the audit. ``audit``: None where whoever calls records it. ``turns``: entered while a
    password is hashed."""

    book: AccessBook
    audit: Audit | None
    by: Caller
    random: Callable[[int], bytes]
    cost: Cost = passwords.COST
    turns: AbstractAsyncContextManager[object] = field(default_factory=nullcontext)

    async def add(self, name: str, role: Role, password: str, now: datetime) -> None:
        """Add a user. Raises Invalid, AlreadyExists."""
        if not USER_NAME.fullmatch(name):
            raise Invalid(
                f"the user name {name!r} is not valid: use 1 to 64 letters, digits, '.', '_', '@' and '-', "
                "a letter or a digit first"
            )
        user = User(name, role, await self._hash(password), now, now)
        await self._run_audited("user add", name, str(role), now, lambda: self.book.add_user(user))

    async def set_password(
        self, name: str, password: str, now: datetime, *, keep: str = "", known: str = ""
    ) -> None:
        """The user's sessions end, but the one with the digest ``keep``. ``known``: the hash that the present
        password must still have, if that was asked for. Raises Invalid, NotFound, Conflict."""
        encoded = await self._hash(password)
        await self._run_audited(
            "user password",
            name,
            "",
            now,
            lambda: self.book.change_user(name, now, password=encoded, keep=keep, known=known),
        )

    async def set_role(self, name: str, role: Role, now: datetime) -> None:
        """Change a user's role, from the next request on. Raises NotFound, Conflict for the last admin."""
        await self._run_audited(
            "user role", name, str(role), now, lambda: self.book.change_user(name, now, role=role)
        )

    async def set_disabled(self, name: str, disabled: bool, now: datetime) -> None:
        """A disabled user's sessions end; tokens stay, and count again once the user is enabled. Raises NotFound,
        Conflict for the last admin."""
        action = "user disable" if disabled else "user enable"
        await self._run_audited(action, name, "", now, lambda: self.book.change_user(name, now, disabled=disabled))

    async def remove(self, name: str, now: datetime) -> None:
        """Remove a user with all sessions and tokens. Raises NotFound, Conflict for the last admin."""
        await self._run_audited("user remove", name, "", now, lambda: self.book.remove_user(name))

    async def sign_out(self, name: str, now: datetime) -> int:
        """End all sessions of a user, or of a person of a provider of identity; returns how many."""
        ended = 0

        async def work() -> None:
            nonlocal ended
            ended = await self.book.end_sessions(name)

        await self._run_audited("user sign-out", name, "", now, work)
        return ended

    async def create_token(
        self, owner: str, role: Role | None, label: str, days: int | None, now: datetime
    ) -> tuple[Token, str]:
        """The token, and its text, which is not kept. ``role``: the owner's own if None; ``days``: None: it does not
        expire. Raises Invalid, NotFound, LimitExceeded."""
        if not label or len(label) > MAX_LABEL or not label.isprintable():
            raise Invalid(f"a token's label is 1 to {MAX_LABEL} printable characters")
        user = await self.book.user(owner)
        if user is None:
            raise NotFound(f'there is no user "{owner}"')
        granted = role or user.role
        if not user.role.includes(granted):
            raise Invalid(f"a token of {owner} may have the role {user.role} at most, not {granted}")
        if sum(one.owner == owner for one in await self.book.tokens()) >= MAX_TOKENS:
            raise LimitExceeded(f"{owner} has {MAX_TOKENS} API tokens: revoke those that are not used")
        id = self.random(passwords.ID_BYTES).hex()
        text = passwords.make_token(id, self.random(passwords.SECRET_BYTES))
        expires = None if days is None else now + timedelta(days=days)
        token = Token(id, passwords.digest_secret(text), owner, granted, label, now, expires)
        await self._run_audited(
            "token create", owner, f"{label}, {granted}", now, lambda: self.book.add_token(token)
        )
        return token, text

    async def revoke_token(self, id: str, now: datetime, owner: str = "") -> Token | None:
        """Returns what it was. ``owner``: whose it must be; empty: anybody's. Raises NotFound."""
        gone: Token | None = None

        async def work() -> None:
            nonlocal gone
            gone = await self.book.remove_token(id, owner)

        await self._run_audited("token revoke", id, "", now, work)
        return gone

    async def _hash(self, password: str) -> str:
        salt = self.random(passwords.SALT_BYTES)
        async with self.turns:
            return await asyncio.to_thread(passwords.hash_password, password, salt, self.cost)

    async def _run_audited(
        self, action: str, about: str, detail: str, now: datetime, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Do the work and record it in the audit, if there is one. ``detail``: what to record of a success."""
        if self.audit is None:
            return await work()
        by = self.by
        entry = AuditEntry(now, by.shown, by.means, str(by.role or ""), "", action, about, "")
        seq = await self.audit.begin(entry)
        try:
            await work()
        except TidegateError as error:
            await self.audit.finish(seq, AuditOutcome.FAILED, error.message)
            raise
        await self.audit.finish(seq, AuditOutcome.DONE, detail)


def token_view(token: Token) -> dict[str, str | None]:
    """Describe a token, leaving out its digest."""
    return {
        "id": token.id,
        "owner": token.owner,
        "role": str(token.role),
        "label": token.label,
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "used_at": token.used_at.isoformat() if token.used_at else None,
    }


def session_view(session: Session) -> dict[str, str]:
    """Describe a session. ``id``: the beginning of its digest, with which nobody can sign in."""
    return {
        "id": session.digest[:SESSION_ID],
        "name": session.name,
        "created_at": session.created_at.isoformat(),
        "seen_at": session.seen_at.isoformat(),
        "expires_at": session.expires_at.isoformat(),
    }


SESSION_ID = 16
"""Characters."""
