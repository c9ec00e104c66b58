"""Let a caller do something or refuse it, and record it: before it happens, and what became of it."""

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate.domain import errors
from tidegate.domain.access import Access, AuditEntry, AuditOutcome, Caller, Means
from tidegate.domain.errors import (
    AuthError,
    MissingAuthentication,
    NotAllowed,
    SessionEnded,
    TidegateError,
    TooManyAttempts,
    Unavailable,
)
from tidegate.host.attempt_limits import AttemptAllowance, AttemptLimits
from tidegate.ports.access import Audit

log = logging.getLogger(__name__)

REFUSALS = AttemptAllowance(60, 600)
STRANGERS = AttemptAllowance(60, 3600)
"""Refused requests of one caller that are recorded, and of those who are not known; more go to the log alone, so that
nobody can push others' entries out of the audit."""
SIGHTS = AttemptAllowance(600, 3600)
"""Reads of what clients sent, of one caller: each is recorded, so more are refused."""
LONGEST = 200
"""Characters of a name, a reason or a detail that are recorded."""
_TOLD = (errors.AuthError, errors.Conflict, errors.NotFound, errors.AlreadyExists, errors.Unavailable)
"""Errors whose message is recorded as it is. Others may quote what was sent, which may be a secret."""
_QUOTED = re.compile(
    r"'[^']*'|\"[^\"]*\"|(?<==)\S+"
    r"|\b(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])[\w+/-]{16,}"
    r"|\b(?=[\w+/]*\d)(?=[\w+/]*[A-Za-z])[\w+/]{16,}"
)
"""What a message may quote: between quotation marks, after an equals sign, or long words with digits. The words have
the characters of base64 in both alphabets; a hyphen, which many names have, counts only in a word that mixes letters
of both cases."""


@dataclass(frozen=True)
class RequestedOperation:
    """An operation that is requested: by whom, from where, and why."""

    caller: Caller
    access: Access
    action: str
    about: str = ""
    source: str = ""
    reason: str = ""


@dataclass
class AuditDetails:
    """Details of a request for the audit. ``detail`` is what is recorded of a success."""

    detail: str = ""


@dataclass
class Trail:
    """Audit of requests. ``now`` returns the present time."""

    audit: Audit
    now: Callable[[], datetime]
    limits: AttemptLimits = field(default_factory=AttemptLimits)

    @contextlib.asynccontextmanager
    async def allowing(self, doing: RequestedOperation) -> AsyncIterator[AuditDetails]:
        """The block does it, and may say what is to be remembered. Raises MissingAuthentication, NotAllowed or
        TooManyAttempts before it begins, and Unavailable if it cannot be recorded; the server can be stopped all the
        same."""
        if doing.access.role is not None and doing.caller.means is Means.NONE:
            raise missing_login(doing.caller)
        if not doing.caller.may(doing.access):
            error = NotAllowed(describe_refusal(doing))
            await self.note_refusal(doing, error)
            raise error
        told = AuditDetails()
        if not doing.access.is_recorded:
            yield told
            return
        if doing.access is Access.SEE:
            self._limit_sights(doing.caller)
        seq = await self._begin(doing)
        try:
            yield told
        except Exception as error:
            refused = isinstance(error, errors.AuthError)
            await self._finish(
                seq, AuditOutcome.REFUSED if refused else AuditOutcome.FAILED, describe_error(error)
            )
            raise
        await self._finish(seq, AuditOutcome.DONE, clip(told.detail))

    def _limit_sights(self, caller: Caller) -> None:
        wait = self.limits.take(f"see {caller.means} {caller.name}", SIGHTS, self.now().timestamp())
        if wait > 0:
            raise TooManyAttempts(f"Captured samples were read too often: try again in {wait:.0f} s.", wait)

    async def note_refusal(self, doing: RequestedOperation, error: TidegateError) -> None:
        """Record that something was refused, up to a limit for each caller."""
        # Strangers who guess at a user are counted apart from the user.
        key = f"{doing.caller.means} {doing.caller.name or doing.source}"
        allowance = STRANGERS if doing.caller.role is None else REFUSALS
        if self.limits.take(key, allowance, self.now().timestamp()) > 0:
            log.warning("refused, and not recorded for their number: %s of %r", doing.action, clip(key))
            return
        await self._write(doing, AuditOutcome.REFUSED, describe_error(error))

    async def note(self, doing: RequestedOperation) -> None:
        """Record what was done already."""
        await self._write(doing, AuditOutcome.DONE, "")

    async def _write(self, doing: RequestedOperation, outcome: AuditOutcome, detail: str) -> None:
        try:
            await self.audit.begin(replace(self._entry(doing), outcome=outcome, detail=detail))
        except TidegateError as trouble:
            log.error("not recorded in the audit (%s): %s, %s", trouble, doing.action, outcome)

    def _entry(self, doing: RequestedOperation) -> AuditEntry:
        caller = doing.caller
        return AuditEntry(
            at=self.now(),
            who=clip(caller.shown or ("somebody" if caller.means is Means.LOOPBACK else "")),
            means=caller.means,
            role=str(caller.role or ""),
            source=clip(doing.source),
            action=clip(doing.action),
            about=clip(doing.about),
            reason=clip(doing.reason),
        )

    async def _begin(self, doing: RequestedOperation) -> int:
        try:
            return await self.audit.begin(self._entry(doing))
        except TidegateError as error:
            if doing.access is Access.STOP:
                log.error("not recorded in the audit (%s): %s by %r", error, doing.action, doing.caller.shown)
                return 0
            what = "shown" if doing.access is Access.SEE else "changed"
            raise Unavailable(f"nothing was {what}, since it cannot be recorded: {error.message}") from None

    async def _finish(self, seq: int, outcome: AuditOutcome, detail: str) -> None:
        """An entry that cannot be finished stays as one whose outcome is not known."""
        if not seq:
            return
        try:
            await self.audit.finish(seq, outcome, detail)
        except TidegateError as error:
            log.error("the outcome of entry %d of the audit (%s) is not recorded: %s", seq, outcome, error)


def missing_login(caller: Caller) -> AuthError:
    """The error for a caller who is not known."""
    if caller.ended:
        return SessionEnded("Your session has ended: sign in again.")
    return MissingAuthentication("Missing Authentication Token")


def describe_refusal(doing: RequestedOperation) -> str:
    caller, needed = doing.caller, doing.access.role
    who = f"{caller.shown or 'You'}, {caller.role or 'without a role'},"
    return f"{who} may not do this: {doing.action} takes the role {needed}."


def describe_error(error: Exception) -> str:
    """Return what is recorded of an error. If its message may quote what was sent, the quoted text is left out."""
    if not isinstance(error, TidegateError):
        return "InternalFailure"
    if isinstance(error, _TOLD):
        return clip(error.message)
    return clip(f"{error.code}: {_QUOTED.sub('...', error.message)}" if error.message else error.code)


def clip(text: str) -> str:
    """Return one line of printable characters, cut to ``LONGEST``."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
