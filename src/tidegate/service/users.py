"""Use cases of users and API tokens, each with its line in the audit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.auth import passwords, secret_tokens
from tidegate.auth.passwords import Cost
from tidegate.domain.access import USER_NAME, AuditEntry, Caller, Outcome, Role, Token, User
from tidegate.domain.errors import Conflict, Invalid, TidegateError
from tidegate.ports.access import AccessBook, Audit

MAX_LABEL = 64


@dataclass(frozen=True)
class UserBook:
    """``by``: who asks, for the audit."""

    book: AccessBook
    audit: Audit
    by: Caller
    random: Callable[[int], bytes]
    cost: Cost = passwords.COST

    async def add(self, name: str, role: Role, password: str, now: datetime) -> None:
        """Raises Invalid, AlreadyExists."""
        if not USER_NAME.fullmatch(name):
            raise Invalid(
                f"the user name {name!r} is not valid: use 1 to 64 letters, digits, '.', '_', '@' and '-', "
                "a letter or a digit first"
            )
        encoded = passwords.hash_password(password, self.random(passwords.SALT_BYTES), self.cost)
        user = User(name, role, encoded, now, now)
        await self._audited("user add", name, str(role), now, lambda: self.book.add_user(user))

    async def set_password(self, name: str, password: str, now: datetime) -> None:
        """The user's sessions end. Raises Invalid, NotFound."""
        encoded = passwords.hash_password(password, self.random(passwords.SALT_BYTES), self.cost)
        await self._audited(
            "user password", name, "", now, lambda: self.book.change_user(name, now, password=encoded)
        )

    async def set_role(self, name: str, role: Role, now: datetime) -> None:
        """Counts from the next request on. Raises NotFound, Conflict for the last admin."""
        await self._check_admins(name, role)
        await self._audited("user role", name, str(role), now, lambda: self.book.change_user(name, now, role=role))

    async def remove(self, name: str, now: datetime) -> None:
        """With sessions and tokens. Raises NotFound, Conflict for the last admin."""
        await self._check_admins(name, None)
        await self._audited("user remove", name, "", now, lambda: self.book.remove_user(name))

    async def sign_out(self, name: str, now: datetime) -> int:
        """End all sessions of a user, or of a person of a provider of identity; returns how many."""
        ended = 0

        async def work() -> None:
            nonlocal ended
            ended = await self.book.end_sessions(name)

        await self._audited("user sign-out", name, "", now, work)
        return ended

    async def create_token(
        self, owner: str, role: Role | None, label: str, days: int | None, now: datetime
    ) -> tuple[Token, str]:
        """The token, and its text, which is not kept. ``role``: the owner's own if None; ``days``: None: it does not
        expire. Raises Invalid, NotFound."""
        if not label or len(label) > MAX_LABEL or not label.isprintable():
            raise Invalid(f"a token's label is 1 to {MAX_LABEL} printable characters")
        user = await self.book.user(owner)
        id = self.random(secret_tokens.ID_BYTES).hex()
        text = secret_tokens.make_token(id, self.random(secret_tokens.SECRET_BYTES))
        granted = role or (user.role if user is not None else Role.VIEWER)
        if user is not None and not user.role.includes(granted):
            raise Invalid(f"a token of {owner} may have the role {user.role} at most, not {granted}")
        expires = None if days is None else now + timedelta(days=days)
        token = Token(id, secret_tokens.digest(text), owner, granted, label, now, expires)
        await self._audited("token create", owner, f"{label}, {granted}", now, lambda: self.book.add_token(token))
        return token, text

    async def revoke_token(self, id: str, now: datetime) -> None:
        """Raises NotFound."""
        await self._audited("token revoke", id, "", now, lambda: self.book.remove_token(id))

    async def _check_admins(self, name: str, role: Role | None) -> None:
        """Somebody has to be able to administer what is left."""
        users = await self.book.users()
        admins = [user.name for user in users if user.role is Role.ADMIN]
        if admins == [name] and role is not Role.ADMIN and len(users) > 1:
            raise Conflict(f"{name} is the only admin: make somebody else one first")

    async def _audited(
        self, action: str, about: str, detail: str, now: datetime, work: Callable[[], Awaitable[None]]
    ) -> None:
        """``detail``: what is to be remembered of a success."""
        by = self.by
        entry = AuditEntry(now, by.shown, by.means, str(by.role or ""), "", action, about, "")
        seq = await self.audit.begin(entry)
        try:
            await work()
        except TidegateError as error:
            await self.audit.finish(seq, Outcome.FAILED, error.message)
            raise
        await self.audit.finish(seq, Outcome.DONE, detail)
