"""Who may do what: roles, what operations ask of a caller, users, API tokens, sessions, and entries of the audit."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """Role of a user. Each role may do all that the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        return _ORDER[self] >= _ORDER[other]


_ORDER = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}


class Access(StrEnum):
    """Access that an operation requires of its caller. Every operation declares one."""

    OPEN = "open"
    """Nothing: health, the login itself and the files of its page."""
    READ = "read"
    """Reads or computes, and changes nothing."""
    USE = "use"
    """Asks a model, or reports measurements: too frequent for the audit."""
    SEE = "see"
    """Reads what clients sent: captured requests and answers."""
    CHANGE = "change"
    """Changes what is deployed."""
    INSPECT = "inspect"
    """Reads what concerns other users: the audit."""
    OWN = "own"
    """Changes what is the caller's own: password, API tokens, sessions."""
    ADMINISTER = "administer"
    """Changes who may do what."""
    STOP = "stop"
    """Ends the server: not prevented by an audit that cannot be written."""

    @property
    def role(self) -> Role | None:
        """The least role that may do it; None: anybody."""
        return _ROLES[self]

    @property
    def is_change(self) -> bool:
        return self in (Access.CHANGE, Access.OWN, Access.ADMINISTER, Access.STOP)

    @property
    def is_recorded(self) -> bool:
        """Whether it is recorded in the audit: changes, and who read what clients sent."""
        return self.is_change or self is Access.SEE


_ROLES = {
    Access.OPEN: None,
    Access.READ: Role.VIEWER,
    Access.USE: Role.OPERATOR,
    Access.SEE: Role.OPERATOR,
    Access.CHANGE: Role.OPERATOR,
    Access.INSPECT: Role.ADMIN,
    Access.OWN: Role.VIEWER,
    Access.ADMINISTER: Role.ADMIN,
    Access.STOP: Role.ADMIN,
}


class Means(StrEnum):
    """How a caller was recognised."""

    NONE = "none"
    """Not at all."""
    LOOPBACK = "loopback"
    """By a server on loopback that has neither keys nor users: whoever can reach it may do everything."""
    KEY = "key"
    TOKEN = "token"
    SESSION = "session"
    MACHINE = "machine"
    """A command that works on the server's own database."""


@dataclass(frozen=True)
class Caller:
    """Sender of a request. ``role`` is None for a caller who is not known."""

    name: str = ""
    """The user, or the access key's id."""
    role: Role | None = None
    means: Means = Means.NONE
    token: str = ""
    """Label of the API token that was shown."""
    csrf: str = field(default="", repr=False)
    """Of a session: what its pages send with each change."""
    session: str = field(default="", repr=False)
    """Digest of the session's secret."""
    ended: bool = False
    """A session was shown that is none any more."""

    def may(self, access: Access) -> bool:
        needed = access.role
        return needed is None or (self.role is not None and self.role.includes(needed))

    @property
    def shown(self) -> str:
        """The user for journals, with the token if one was used."""
        return f"{self.name} (token {self.token})" if self.token else self.name


ANYBODY = Caller(role=Role.ADMIN, means=Means.LOOPBACK)
"""The caller of a server without keys and users."""

USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MIN_PASSWORD = 12
MAX_PASSWORD = 256
"""Characters."""


@dataclass(frozen=True)
class User:
    name: str
    role: Role
    password: str = field(repr=False)
    """As ``auth.passwords`` encodes it."""
    created_at: datetime
    changed_at: datetime
    """Of the password, the role or ``disabled``."""
    disabled: bool = False
    """May neither sign in nor be acted for by tokens, until that is taken back."""


@dataclass(frozen=True)
class Token:
    """An API token. It may do what both its own role and its owner's may."""

    id: str
    digest: str = field(repr=False)
    owner: str
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None = None


@dataclass(frozen=True)
class Session:
    """A login. ``role`` is None for a user of this server, whose present role counts."""

    digest: str = field(repr=False)
    name: str
    role: Role | None
    csrf: str = field(repr=False)
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class AuditOutcome(StrEnum):
    """Outcome of an audited request."""

    STARTED = "started"
    """Not known: the server ended before the request did."""
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """The caller may not do that."""


@dataclass(frozen=True)
class AuditEntry:
    """Entry for one change, or an attempt at one. ``seq`` rises; 0 means that the entry is not written yet."""

    at: datetime
    who: str
    means: Means
    role: str
    source: str
    """Address that the request came from."""
    action: str
    about: str
    """Name of what it concerns."""
    reason: str
    outcome: AuditOutcome = AuditOutcome.STARTED
    detail: str = ""
    """Why it failed or was refused."""
    seq: int = 0
