"""Every error that a user or a client can get.

    TidegateError
    |- Invalid              bad input: a member, a size, a name
    |- NotFound             the named resource does not exist
    |- AlreadyExists        the name is taken
    |- Conflict             the resource exists but its state forbids this
    |  `- InProgress        a change is in progress; wait until it ends
    |- LimitExceeded        too many
    |- TooLarge             a body over the limit
    |- AuthError            authentication failed (see its subclasses)
    |- Unavailable          try again later
    |- ArtifactError        model data that cannot be used (missing, corrupt, hostile, wrong format)
    |  `- MissingArtifact   its address has no data
    |- UnreadableRecord     a record in the database that this version cannot read
    |- StartupError         tidegate itself cannot start: port, state folder, proxy
    `- TargetError
       |- Transient         retry
       |  `- StartTimeout   a replica exceeded a start limit: its fleet has failed
       `- Refused           will never work as asked

A message is one line: what is wrong, where, and what to do. Each edge (wire, CLI, console) translates the
class; none rewrites the message.
"""

from typing import ClassVar


class TidegateError(Exception):
    """Base of all errors of the platform; ``str(error)`` is the one-line message.

    ``about`` is the record that it concerns, (kind, name), for an API with a standard message of its own.
    """

    code: ClassVar[str] = "InternalFailure"

    def __init__(self, message: str = "", *, about: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.about = about

    @property
    def message(self) -> str:
        return str(self)


class Invalid(TidegateError):
    """The request itself is wrong, and would be however often it is sent."""

    code = "Invalid"


class NotFound(TidegateError):
    """The resource that the request names does not exist."""

    code = "NotFound"


class AlreadyExists(TidegateError):
    """The name is taken."""

    code = "AlreadyExists"


class Conflict(TidegateError):
    """The request is right and cannot be done in the present state."""

    code = "Conflict"


class InProgress(Conflict):
    """A change is in progress; wait until it ends."""


class LimitExceeded(TidegateError):
    """A quota or a bound would be exceeded."""

    code = "LimitExceeded"


class PayloadTooLarge(TidegateError):
    """The body is larger than the server takes."""

    code = "TooLarge"


class Unavailable(TidegateError):
    """Something that the server needs does not answer; try again."""

    code = "Unavailable"


class ArtifactError(TidegateError):
    """Model data cannot be used."""

    code = "ArtifactError"


class MissingArtifact(ArtifactError):
    """The address has no data."""


class UnreadableRecord(TidegateError):
    """A record is in the database and this version cannot read it: it is there, whatever it says."""


class StartupError(TidegateError):
    """The server cannot start."""

    code = "StartupError"


class AuthError(TidegateError):
    """The caller is not who they say, or may not do this. Subclasses correspond to SigV4's error codes."""

    code = "AccessDenied"


class MissingAuthentication(AuthError):
    """The request has no credentials that identify its caller."""

    code = "MissingAuthenticationToken"


class IncompleteSignature(AuthError):
    """The signature lacks a part, or cannot be read."""

    code = "IncompleteSignature"


class InvalidSignature(AuthError):
    """The signature or the API token is not right."""

    code = "InvalidSignature"


class UnknownKey(AuthError):
    """There is no such access key."""

    code = "UnrecognizedClient"


class ExpiredToken(AuthError):
    """The signature is too old, or from the future."""

    code = "ExpiredToken"


class NotAllowed(AuthError):
    """The caller is known, and has not the role for this."""


class CrossSite(AuthError):
    """A change that does not come from a page of this server's own."""

    code = "CrossSite"


class SessionEnded(AuthError):
    """The session is unknown, has expired or was revoked."""

    code = "SessionEnded"


class TooManyAttempts(AuthError):
    """The client made too many logins, changes of users and tokens, or reads of what clients sent. ``wait`` is the
    number of seconds until the next attempt is considered."""

    code = "TooManyAttempts"

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class TargetError(TidegateError):
    """The target could not do what was asked."""

    code = "TargetError"


class Transient(TargetError):
    """The target could not do it now; it is tried again."""

    code = "Transient"


class StartTimeout(Transient):
    """Instances did not become ready in time."""

    code = "StartTimeout"


class TargetRefused(TargetError):
    """The target will never do it."""

    code = "Refused"
