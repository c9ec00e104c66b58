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
    code = "Invalid"


class NotFound(TidegateError):
    code = "NotFound"


class AlreadyExists(TidegateError):
    code = "AlreadyExists"


class Conflict(TidegateError):
    code = "Conflict"


class InProgress(Conflict):
    """A change is in progress; wait until it ends."""


class LimitExceeded(TidegateError):
    code = "LimitExceeded"


class PayloadTooLarge(TidegateError):
    code = "TooLarge"


class Unavailable(TidegateError):
    code = "Unavailable"


class ArtifactError(TidegateError):
    code = "ArtifactError"


class MissingArtifact(ArtifactError):
    """The address has no data."""


class StartupError(TidegateError):
    code = "StartupError"


class AuthError(TidegateError):
    """The request is not authenticated. Subclasses correspond to SigV4's error codes."""

    code = "AccessDenied"


class MissingAuthentication(AuthError):
    code = "MissingAuthenticationToken"


class IncompleteSignature(AuthError):
    code = "IncompleteSignature"


class InvalidSignature(AuthError):
    code = "InvalidSignature"


class UnknownKey(AuthError):
    code = "UnrecognizedClient"


class ExpiredToken(AuthError):
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
    """``wait``: seconds until the next attempt is looked at."""

    code = "TooManyAttempts"

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class TargetError(TidegateError):
    code = "TargetError"


class Transient(TargetError):
    code = "Transient"


class StartTimeout(Transient):
    code = "StartTimeout"


class TargetRefused(TargetError):
    code = "Refused"
