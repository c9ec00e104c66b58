"""Users, API tokens and sessions, and the audit: what the platform keeps of who may do what, and who did what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from tidegate.domain.access import AuditEntry, AuditOutcome, Role, Session, Token, User


class AccessBook(Protocol):
    """Durable. Every method raises Unavailable, with nothing written, if the database is unavailable."""

    async def user(self, name: str) -> User | None: ...

    async def users(self) -> list[User]:
        """By name."""
        ...

    async def add_user(self, user: User) -> None:
        """Raises AlreadyExists."""
        ...

    async def change_user(
        self,
        name: str,
        now: datetime,
        *,
        password: str = "",
        role: Role | None = None,
        disabled: bool | None = None,
        keep: str = "",
        known: str = "",
    ) -> None:
        """Change what is given. A new password ends the user's sessions but the one with the digest ``keep``;
        disabling ends them all. ``known``: the hash that was verified before, if one was. Raises NotFound, Conflict
        if other users would be left without an admin or the password is not ``known`` any more."""
        ...

    async def remove_user(self, name: str) -> None:
        """With all sessions and tokens. Raises NotFound, Conflict for the last admin beside other users."""
        ...

    async def tokens(self) -> list[Token]:
        """Oldest first."""
        ...

    async def add_token(self, token: Token) -> None:
        """Raises NotFound if its owner is not there."""
        ...

    async def remove_token(self, id: str, owner: str = "") -> Token:
        """Returns what it was. ``owner``: whose it must be; empty: anybody's. Raises NotFound."""
        ...

    async def find_token(self, id: str) -> tuple[Token, User] | None:
        """The token and its owner."""
        ...

    async def note_token_use(self, id: str, now: datetime) -> None: ...

    async def begin_session(self, session: Session, *, password: str, instead_of: str, most: int) -> None:
        """Add a session and remove the one that it replaces (empty: none), those that have expired, and the oldest of
        its user beyond ``most``. ``password``: the hash that was verified, empty for a session with a role of its
        own. Raises SessionEnded if the user has another one by now."""
        ...

    async def find_session(self, digest: str) -> tuple[Session, User | None] | None:
        """The session and, unless its role is its own, its user. None if either is not there."""
        ...

    async def note_session_use(self, digest: str, now: datetime) -> None: ...

    async def sessions(self) -> list[Session]:
        """By name, the latest first, including those that have expired and were not removed yet."""
        ...

    async def end_session(self, digest: str) -> None:
        """Does nothing if it is not there."""
        ...

    async def end_sessions(self, name: str, keep: str = "") -> int:
        """End all sessions of a user or of somebody whom a provider of identity vouched for, but the one with the
        digest ``keep``; returns how many."""
        ...


class Audit(Protocol):
    async def begin(self, entry: AuditEntry) -> int:
        """Write it before what it tells of happens; durable when this returns. Returns its number."""
        ...

    async def finish(self, seq: int, outcome: AuditOutcome, detail: str) -> None: ...

    async def read(
        self, *, before: int = 0, limit: int = 100, who: str = "", about: str = ""
    ) -> Sequence[AuditEntry]:
        """Newest first, below the number ``before`` unless that is 0."""
        ...

    async def prune(self, oldest: datetime, most: int) -> int:
        """Remove entries that are older, and the oldest beyond ``most``, some thousand at a time; returns how
        many."""
        ...
