"""Users, API tokens and sessions in the store's database."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, true, update

from tidegate.domain.access import Role, Session, Token, User
from tidegate.domain.errors import AlreadyExists, Conflict, NotFound, SessionEnded
from tidegate.store.database import Database
from tidegate.store.tables import SESSIONS, TOKENS, USERS

_U, _T, _S = USERS.c, TOKENS.c, SESSIONS.c


class SqlAccess:
    """A ``ports.access.AccessBook``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def user(self, name: str) -> User | None:
        return await self._database.run(lambda c: _find_user(c, name), read_only=True)

    async def users(self) -> list[User]:
        asked = select(USERS).order_by(_U.name)
        rows = await self._database.run(lambda c: c.execute(asked).all(), read_only=True)
        return [_user(row) for row in rows]

    async def add_user(self, user: User) -> None:
        def work(connection: Connection) -> None:
            if _find_user(connection, user.name) is not None:
                raise AlreadyExists(f'there is already a user "{user.name}"')
            connection.execute(insert(USERS).values(asdict(user)))

        await self._database.run(work)

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
        values: dict[str, object] = {"changed_at": now}
        values |= {"password": password} if password else {}
        values |= {"role": role} if role is not None else {}
        values |= {"disabled": disabled} if disabled is not None else {}

        def work(connection: Connection) -> None:
            if disabled or role not in (None, Role.ADMIN):
                _check_admins(connection, name)
            which = _U.name == name
            if not connection.execute(update(USERS).where(which, _has(known)).values(values)).rowcount:
                if _find_user(connection, name) is None:
                    raise _no_user(name)
                raise Conflict("the password was changed meanwhile: nothing was done")
            if password or disabled:
                kept = "" if disabled else keep
                connection.execute(delete(SESSIONS).where(_S.name == name, _S.role.is_(None), _S.digest != kept))

        await self._database.run(work)

    async def remove_user(self, name: str) -> None:
        def work(connection: Connection) -> None:
            _check_admins(connection, name)
            if not connection.execute(delete(USERS).where(_U.name == name)).rowcount:
                raise _no_user(name)
            connection.execute(delete(SESSIONS).where(_S.name == name, _S.role.is_(None)))
            connection.execute(delete(TOKENS).where(_T.owner == name))

        await self._database.run(work)

    async def tokens(self) -> list[Token]:
        asked = select(TOKENS).order_by(_T.created_at, _T.id)
        rows = await self._database.run(lambda c: c.execute(asked).all(), read_only=True)
        return [_token(row) for row in rows]

    async def add_token(self, token: Token) -> None:
        def work(connection: Connection) -> None:
            if _find_user(connection, token.owner) is None:
                raise _no_user(token.owner)
            connection.execute(insert(TOKENS).values(asdict(token)))

        await self._database.run(work)

    async def remove_token(self, id: str, owner: str = "") -> Token:
        def work(connection: Connection) -> Token:
            row = connection.execute(select(TOKENS).where(_T.id == id)).one_or_none()
            if row is None or owner not in ("", row.owner):
                raise NotFound(f'there is no token "{id}"')
            connection.execute(delete(TOKENS).where(_T.id == id))
            return _token(row)

        return await self._database.run(work)

    async def find_token(self, id: str) -> tuple[Token, User] | None:
        def work(connection: Connection) -> tuple[Token, User] | None:
            row = connection.execute(select(TOKENS).where(_T.id == id)).one_or_none()
            owner = None if row is None else _find_user(connection, row.owner)
            return None if owner is None else (_token(row), owner)

        return await self._database.run(work, read_only=True)

    async def note_token_use(self, id: str, now: datetime) -> None:
        change = update(TOKENS).where(_T.id == id).values(used_at=now)
        await self._database.run(lambda c: c.execute(change))

    async def begin_session(self, session: Session, *, password: str, instead_of: str, most: int) -> None:
        mine = select(_S.digest).where(_S.name == session.name).order_by(_S.created_at.desc(), _S.digest)

        def work(connection: Connection) -> None:
            user = None if session.role is not None else _find_user(connection, session.name)
            if session.role is None and (user is None or user.password != password or user.disabled):
                raise SessionEnded("the password was changed meanwhile: sign in with the new one")
            gone = (_S.digest == instead_of) | (_S.expires_at <= session.created_at)
            connection.execute(delete(SESSIONS).where(gone))
            kept = connection.execute(mine.limit(most - 1)).scalars().all()
            others = (_S.name == session.name) & _S.digest.not_in(kept)
            connection.execute(delete(SESSIONS).where(others))
            connection.execute(insert(SESSIONS).values(asdict(session)))

        await self._database.run(work)

    async def find_session(self, digest: str) -> tuple[Session, User | None] | None:
        def work(connection: Connection) -> tuple[Session, User | None] | None:
            row = connection.execute(select(SESSIONS).where(_S.digest == digest)).one_or_none()
            if row is None:
                return None
            session = _session(row)
            if session.role is not None:
                return session, None
            user = _find_user(connection, session.name)
            return None if user is None else (session, user)

        return await self._database.run(work, read_only=True)

    async def note_session_use(self, digest: str, now: datetime) -> None:
        change = update(SESSIONS).where(_S.digest == digest).values(seen_at=now)
        await self._database.run(lambda c: c.execute(change))

    async def sessions(self) -> list[Session]:
        asked = select(SESSIONS).order_by(_S.name, _S.created_at.desc(), _S.digest)
        rows = await self._database.run(lambda c: c.execute(asked).all(), read_only=True)
        return [_session(row) for row in rows]

    async def prune(self, now: datetime, tokens: datetime) -> None:
        """Remove sessions that have expired by now, and tokens that had expired before ``tokens``."""

        def work(connection: Connection) -> None:
            connection.execute(delete(SESSIONS).where(_S.expires_at <= now))
            connection.execute(delete(TOKENS).where(_T.expires_at < tokens))

        await self._database.run(work)

    async def end_session(self, digest: str) -> None:
        await self._database.run(lambda c: c.execute(delete(SESSIONS).where(_S.digest == digest)))

    async def end_sessions(self, name: str, keep: str = "") -> int:
        gone = delete(SESSIONS).where(_S.name == name, _S.digest != keep)
        return await self._database.run(lambda c: c.execute(gone).rowcount)


def _find_user(connection: Connection, name: str) -> User | None:
    row = connection.execute(select(USERS).where(_U.name == name)).one_or_none()
    return None if row is None else _user(row)


def _check_admins(connection: Connection, name: str) -> None:
    """Check that, if there are other users, somebody can administer without this one. The rows are locked, so that
    one of two admins who demote each other is refused. Raises Conflict."""
    asked = select(_U.name).where(_U.role == Role.ADMIN, _U.disabled.is_(False)).order_by(_U.name)
    admins = list(connection.execute(asked.with_for_update()).scalars())
    others = connection.execute(select(_U.name).where(_U.name != name).limit(1)).first()
    if admins == [name] and others is not None:
        raise Conflict(f"{name} is the only admin: make somebody else one first")


def _has(password: str) -> ColumnElement[bool]:
    return _U.password == password if password else true()


def _session(row: Any) -> Session:
    return Session(**{**row._mapping, "role": None if row.role is None else Role(row.role)})


def _user(row: Any) -> User:
    return User(**{**row._mapping, "role": Role(row.role)})


def _token(row: Any) -> Token:
    return Token(**{**row._mapping, "role": Role(row.role)})


def _no_user(name: str) -> NotFound:
    return NotFound(f'there is no user "{name}"')
