"""Every error that a person or a client can meet.

    TidegateError
    |- Invalid              bad input: a member, a size, a name
    |- NotFound             the thing named is not there
    |- AlreadyExists        the name is taken
    |- Conflict             the thing is there but its state forbids this
    |  `- InProgress        a change is under way; wait for its end
    |- LimitExceeded        too many
    |- TooLarge             a body over the limit
    |- AuthError            who are you?  (see its subclasses)
    |- Unavailable          try again later
    |- ArtifactError        model data that cannot be used (missing, corrupt, hostile, wrong format)
    |  `- MissingArtifact   there is nothing at its address
    |- StartupError         tidegate itself cannot start: port, state folder, proxy
    `- TargetError
       |- Transient         ask again
       |  `- StartTimeout   a limit on the start of a replica was exceeded: its fleet has failed
       |- Refused           will never work as asked
       `- Unknown           look before asking again

A message is one line: what is wrong, where, and what to do. Each edge (wire, CLI, console) translates the
class; no edge rewrites the message.
"""

from typing import ClassVar


class TidegateError(Exception):
    """Base of all errors of the platform; ``str(error)`` is the one-line message.

    ``about`` names the record it speaks of, (kind, name), for an edge whose vendor has a sentence of its own.
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
    """A change is under way; it has to end first."""


class LimitExceeded(TidegateError):
    code = "LimitExceeded"


class PayloadTooLarge(TidegateError):
    code = "TooLarge"


class Unavailable(TidegateError):
    code = "Unavailable"


class ArtifactError(TidegateError):
    code = "ArtifactError"


class MissingArtifact(ArtifactError):
    """There is nothing at the address."""


class StartupError(TidegateError):
    code = "StartupError"


class AuthError(TidegateError):
    """The request is not let in. Subclasses say why, in the words of SigV4's own errors."""

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


class TargetError(TidegateError):
    code = "TargetError"


class Transient(TargetError):
    code = "Transient"


class StartTimeout(Transient):
    code = "StartTimeout"


class TargetRefused(TargetError):
    code = "Refused"


class Unknown(TargetError):
    code = "Unknown"
