"""Translate answers of the API server to errors of the platform. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import TargetRefused, TidegateError, Transient


class ForeignChange(Transient):
    """Somebody else has changed a field that tidegate wants to set."""


class MissingRight(TargetRefused):
    """The credentials do not allow a verb on a resource."""


RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, INVALID = 401, 403, 404, 409, 410, 422


@dataclass(frozen=True)
class ApiRequest:
    """A request: its verb as RBAC names it, its resource, and the object's name."""

    verb: str
    resource: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''} in namespace {self.namespace}"


def error_of(asked: ApiRequest, status: int, answer: Mapping[str, Any]) -> TidegateError:
    """``answer``: the Status that the API server sent."""
    message = str(answer.get("message") or answer.get("reason") or "no reason given").strip()
    if status == UNAUTHORIZED:
        return Transient(
            f"kubernetes refuses the credentials (401) for {asked}: they are wrong or have expired; renew them"
        )
    if status == FORBIDDEN:
        return _forbidden(asked, message, answer)
    if status == CONFLICT and "conflict with" in message.lower():
        return ForeignChange(
            f"{asked.resource} {asked.name} was changed by somebody else, and is left as it is: {message}; undo that "
            "change, or delete the field's other manager"
        )
    if status == INVALID or status == 400:
        return TargetRefused(f"kubernetes refuses {asked}: {message}")
    return Transient(f"kubernetes answered {status} to {asked}: {message}")


def _forbidden(asked: ApiRequest, message: str, answer: Mapping[str, Any]) -> TidegateError:
    causes = ((answer.get("details") or {}).get("causes")) or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes) or "being terminated" in message:
        return TargetRefused(f"namespace {asked.namespace} is being deleted: choose another one ({asked})")
    if "exceeded quota" in message:
        return TargetRefused(f"a quota of namespace {asked.namespace} is exceeded by {asked}: {message}; raise it")
    if "cannot" not in message:  # an admission controller's own words
        return TargetRefused(f"kubernetes refuses {asked}: {message}")
    return MissingRight(
        f"missing right in Kubernetes: {asked}; add verb {asked.verb} on {asked.resource} to the Role of the "
        "controller (deploy/helm/tidegate has it)"
    )


def is_retried(status: int, asked: ApiRequest, answer: Mapping[str, Any]) -> bool:
    """A conflict of versions is cured by a repetition; one between managers of a field is not."""
    if status == CONFLICT:
        return (
            "conflict with" not in str(answer.get("message", "")).lower()
            and answer.get("reason") != "AlreadyExists"
        )
    return status in RETRIED
