"""Logins: passwords and providers of identity are exchanged for sessions, and sessions and API tokens for callers.

A session ends after ``Lifetimes.whole``, after ``idle`` without a request, at a logout, and when its user's password
is changed or its user is removed. The user's role is read for every request."""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.auth import passwords
from tidegate.auth.passwords import Cost
from tidegate.domain.access import MAX_PASSWORD, USER_NAME, Caller, Means, Role, Session
from tidegate.domain.errors import AuthError, InvalidSignature, SessionEnded, TooManyAttempts, Unavailable
from tidegate.host.attempt_limits import AttemptAllowance, AttemptLimits
from tidegate.ports.access import AccessBook

BY_ADDRESS = AttemptAllowance(30, 300)
BY_ADDRESS_AND_USER = AttemptAllowance(6, 300)
BY_USER = AttemptAllowance(100, 300)
"""Failed attempts in 300 seconds: an address meets its own limits long before it can lock a user out for others. Many
addresses together can, but not where the user has signed in lately."""
CHANGES = AttemptAllowance(60, 300)
"""Changes of users, tokens and sessions by one caller."""
FAMILIAR_FOR = timedelta(days=30)
MAX_FAMILIAR = 10_000
"""Users' places that are remembered, in memory: those of the latest logins."""
SESSIONS_PER_USER = 20
NOTED_EVERY = timedelta(seconds=60)
"""Time between two writes of when a session or a token was used last."""
HASHING_AT_ONCE = 2
"""Each takes 32 MiB and a processor."""
MAX_WAITING = 50
"""Logins that wait for their turn."""
EXTERNAL = "x."
"""Prefix of the secrets of sessions by a provider of identity."""
WRONG = "The name or the password is not right."


@dataclass(frozen=True)
class Lifetimes:
    whole: timedelta = timedelta(hours=12)
    idle: timedelta = timedelta(hours=1)


@dataclass
class Logins:
    """Logins, sessions and API tokens. ``random`` returns as many random bytes as its argument says. ``provider`` is
    a text that changes with the provider of identity and the roles that its people have; none of the sessions that it
    began counts afterwards."""

    book: AccessBook
    random: Callable[[int], bytes]
    lifetimes: Lifetimes = Lifetimes()
    cost: Cost = passwords.COST
    limits: AttemptLimits = field(default_factory=AttemptLimits)
    provider: str = ""
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HASHING_AT_ONCE))
    _waiting: int = 0
    _familiar: OrderedDict[tuple[str, str], datetime] = field(default_factory=OrderedDict)
    """Digest of a name, address -> the last login."""

    async def login(self, name: str, password: str, source: str, now: datetime, instead_of: str = "") -> str:
        """The secret of a new session, which replaces the one with the secret ``instead_of``. ``source``: address
        that the attempt comes from. Raises AuthError, TooManyAttempts, Unavailable."""
        taken = self._take(name, source, now)
        user = await self.book.user(name) if USER_NAME.fullmatch(name) else None
        encoded = user.password if user is not None else passwords.decoy(self.cost)
        if self._waiting >= MAX_WAITING:
            self._give_back(taken)
            raise Unavailable("many people are signing in at this moment: try again in a few seconds")
        self._waiting += 1
        try:
            right = await self._verify(password, encoded)
        finally:
            self._waiting -= 1
        if user is None or not right:
            raise AuthError(WRONG)
        if user.disabled:
            raise AuthError("This user is disabled: an admin can enable it again.")
        self._give_back(taken)
        secret = await self._begin(user.name, None, now, user.password, instead_of)
        self._remember(passwords.digest_secret(name), source, now)
        return secret

    async def check_password(self, name: str, password: str, source: str, now: datetime) -> str:
        """The hash of a user's present password, if this is it. Counts like an attempt to sign in, so that whoever
        has somebody's session cannot guess on. Raises AuthError, TooManyAttempts."""
        taken = self._take(name, source, now)
        user = await self.book.user(name)
        if user is None or not await self._verify(password, user.password):
            raise AuthError("The present password is not right.")
        self._give_back(taken)
        return user.password

    def count_change(self, caller: Caller, now: datetime) -> None:
        """Count a change of users, tokens or sessions. Raises TooManyAttempts."""
        wait = self.limits.take(f"changes {caller.means} {caller.name}", CHANGES, now.timestamp())
        if wait > 0:
            raise TooManyAttempts(f"Too many changes of users and tokens: try again in {wait:.0f} s.", wait)

    async def _verify(self, password: str, encoded: str) -> bool:
        async with self.turns:
            return await asyncio.to_thread(passwords.is_password, password[: MAX_PASSWORD + 1], encoded)

    async def begin_external(self, name: str, role: Role, now: datetime, instead_of: str = "") -> str:
        """The secret of a session of somebody whom a provider of identity vouches for."""
        return await self._begin(name, role, now, "", instead_of)

    async def end(self, caller: Caller) -> None:
        """Sign out; nothing happens for a caller without a session."""
        if caller.session:
            await self.book.end_session(caller.session)

    async def find_session(self, secret: str, now: datetime) -> Caller:
        """Return the caller whose session has this secret. Raises SessionEnded."""
        found = await self.book.find_session(self._digest(secret))
        if found is None or (found[0].role is not None) != secret.startswith(EXTERNAL):
            raise SessionEnded("Your session has ended: sign in again.")
        session, user = found
        if user is not None and user.disabled:
            raise SessionEnded("Your session has ended: this user is disabled.")
        if not self.is_open(session, now):
            await self.book.end_session(session.digest)
            raise SessionEnded("Your session has expired: sign in again.")
        if now - session.seen_at >= NOTED_EVERY:
            await self.book.note_session_use(session.digest, now)
        role = session.role if user is None else user.role
        return Caller(session.name, role, Means.SESSION, csrf=session.csrf, session=session.digest)

    def is_open(self, session: Session, now: datetime) -> bool:
        """Return whether a session has not expired."""
        return now < session.expires_at and now - session.seen_at < self.lifetimes.idle

    async def find_token(self, text: str, now: datetime) -> Caller:
        """Return the caller whose API token this is. Raises AuthError."""
        id = passwords.token_id(text)
        found = await self.book.find_token(id) if id is not None else None
        if found is None:
            raise InvalidSignature("The API token is not known here: it was revoked, or its owner was removed.")
        token, owner = found
        if not hmac.compare_digest(token.digest, passwords.digest_secret(text)):
            raise InvalidSignature("The API token is not right.")
        if owner.disabled:
            raise InvalidSignature(f"The API token's owner, {owner.name}, is disabled.")
        if token.expires_at is not None and now >= token.expires_at:
            raise InvalidSignature(f"The API token {token.label!r} has expired: create a new one.")
        if token.used_at is None or now - token.used_at >= NOTED_EVERY:
            await self.book.note_token_use(token.id, now)
        role = token.role if owner.role.includes(token.role) else owner.role
        return Caller(owner.name, role, Means.TOKEN, token=token.label)

    async def find_role(self, name: str, means: Means, label: str, now: datetime) -> Role | None:
        """Return the present role of somebody who came with a session or an API token of this ``label``: that of the
        owner's valid tokens, at most the owner's own role; of sessions also where a provider of identity vouches for
        somebody. Of several, the least. None: none any more. Raises Unavailable."""
        user = await self.book.user(name)
        if means not in (Means.SESSION, Means.TOKEN) or (user is not None and user.disabled):
            return None
        if means is Means.SESSION:
            sessions = [one for one in await self.book.sessions() if one.name == name and self.is_open(one, now)]
            external = [one.role for one in sessions if one.role is not None]
            return _find_least([*external, *([] if user is None else [user.role])])
        if user is None:
            return None
        tokens = [one for one in await self.book.tokens() if (one.owner, one.label) == (name, label)]
        role = _find_least([one.role for one in tokens if one.expires_at is None or now < one.expires_at])
        return role if role is None or user.role.includes(role) else user.role

    def _take(self, name: str, source: str, now: datetime) -> list[tuple[str, AttemptAllowance]]:
        """Count an attempt before it is looked at, so that many at once gain nothing."""
        who = passwords.digest_secret(name)
        wanted = [
            (f"address {source}", BY_ADDRESS),
            (f"both {source} {who}", BY_ADDRESS_AND_USER),
        ]
        if now - self._familiar.get((who, source), now - FAMILIAR_FOR) >= FAMILIAR_FOR:
            wanted.append((f"user {who}", BY_USER))
        for number, (key, allowance) in enumerate(wanted):
            wait = self.limits.take(key, allowance, now.timestamp())
            if wait > 0:
                self._give_back(wanted[:number])
                raise TooManyAttempts(f"Too many attempts to sign in: try again in {wait:.0f} s.", wait)
        return wanted

    def _give_back(self, taken: list[tuple[str, AttemptAllowance]]) -> None:
        for key, allowance in taken:
            self.limits.give_back(key, allowance)

    def _remember(self, who: str, source: str, now: datetime) -> None:
        if not source:
            return  # nobody's own
        self._familiar[who, source] = now
        self._familiar.move_to_end((who, source))
        while len(self._familiar) > MAX_FAMILIAR:
            self._familiar.popitem(last=False)

    def _digest(self, secret: str) -> str:
        """Under which a session is kept."""
        return passwords.digest_secret(f"{self.provider} {secret}" if secret.startswith(EXTERNAL) else secret)

    async def _begin(self, name: str, role: Role | None, now: datetime, password: str, instead_of: str) -> str:
        prefix = "" if role is None else EXTERNAL
        secret = prefix + passwords.make_secret(self.random(passwords.SECRET_BYTES))
        session = Session(
            digest=self._digest(secret),
            name=name,
            role=role,
            csrf=passwords.make_secret(self.random(passwords.SECRET_BYTES)),
            created_at=now,
            seen_at=now,
            expires_at=now + self.lifetimes.whole,
        )
        replaced = self._digest(instead_of) if instead_of else ""
        await self.book.begin_session(session, password=password, instead_of=replaced, most=SESSIONS_PER_USER)
        return secret


def _find_least(roles: Sequence[Role]) -> Role | None:
    return next((role for role in Role if role in roles), None)
