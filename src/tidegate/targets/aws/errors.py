"""What AWS's errors mean for a target: gone, changed, busy, refused for good, or worth another try. Pure."""

from dataclasses import dataclass

from tidegate.domain.errors import TargetError, TargetRefused, Transient


class ResourceMissing(TargetRefused):
    """What the call names does not exist."""


class ResourceChanged(Transient):
    """The resource is not in the revision that the call was made for (412)."""


class ResourceBusy(Transient):
    """Another change of the resource is in progress, or it exists already, or it is in use."""


class Throttled(Transient):
    """AWS asks for fewer calls."""


@dataclass(frozen=True)
class ErrorAnswer:
    """An error as AWS sent it."""

    service: str
    """As botocore calls it, such as ``elbv2``."""
    operation: str
    resource: str
    """What the call was about, for people; may be empty."""
    code: str
    message: str
    status: int
    """HTTP status."""

    @property
    def about(self) -> str:
        return f"{self.operation} of {self.resource}" if self.resource else self.operation


_MISSING = {
    "ResourceNotFoundException",
    "ResourceNotFound",
    "NotFoundException",
    "ServiceNotFoundException",
    "ServiceNotActiveException",
    "ClusterNotFoundException",
    "TargetGroupNotFound",
    "RuleNotFound",
    "ListenerNotFound",
    "LoadBalancerNotFound",
    "ObjectNotFoundException",
    "ProvisionedConcurrencyConfigNotFoundException",
}
_BUSY = {
    "ResourceConflictException",
    "ResourceInUseException",
    "ResourceInUse",
    "ResourceInUseFault",
    "ConflictException",
    "ConcurrentUpdateException",
    "UpdateInProgressException",
    "DuplicateTargetGroupName",
    "PriorityInUse",
}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TooManyRequests",
    "RequestLimitExceeded",
    "SlowDown",
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "UnauthorizedException",
    "AuthorizationError",
    "OperationNotPermittedException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_CLOCK = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_UNKNOWN_KEYS = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "MissingAuthenticationToken",
}
_QUOTA = {
    "ServiceQuotaExceededException",
    "LimitExceededException",
    "LimitExceeded",
    "ResourceLimitExceeded",
    "CodeStorageExceededException",
    "QuotaExceededException",
}
_UNAVAILABLE_STATUSES = {408, 425, 500, 502, 503, 504}


def translate(answer: ErrorAnswer) -> TargetError:
    """The error for the platform."""
    code, about, told = answer.code, answer.about, f"{answer.code}: {answer.message}"
    if code in _THROTTLED or answer.status == 429:
        return Throttled(f"AWS throttles {about} ({told})")
    if code in _EXPIRED:
        return Transient(f"{about}: the AWS credentials have expired; renew them ({told})")
    if code in _CLOCK or _signed_at_a_wrong_time(answer):
        return Transient(f"{about}: the clock of this machine differs from AWS's; set it right ({told})")
    if code in _UNKNOWN_KEYS or code == "InvalidSignatureException":
        return TargetRefused(f"{about}: AWS does not know these credentials; check profile and keys ({told})")
    if code in _DENIED or answer.status == 403:
        return TargetRefused(
            f"{about}: the credentials lack the right {action_of(answer.service, answer.operation)};"
            f" `tidegate doctor` prints the least policy ({told})"
        )
    if code in _MISSING:
        return ResourceMissing(f"{about}: it does not exist ({told})")
    if code == "PreconditionFailedException" or answer.status == 412:
        return ResourceChanged(f"{about}: it was changed meanwhile ({told})")
    if code in _BUSY:
        return ResourceBusy(f"{about}: another change is in progress, or it exists already ({told})")
    if code in _QUOTA or code.startswith("TooMany"):
        return TargetRefused(f"{about}: a quota of the account is reached; remove something or raise it ({told})")
    if answer.status in _UNAVAILABLE_STATUSES:
        return Transient(f"{about}: AWS cannot answer now ({told})")
    return TargetRefused(f"{about}: AWS refused it ({told})")


def _signed_at_a_wrong_time(answer: ErrorAnswer) -> bool:
    signed = answer.code in ("InvalidSignatureException", "SignatureDoesNotMatch")
    return signed and any(part in answer.message for part in ("Signature expired", "not yet current"))


_PREFIXES = {
    "elbv2": "elasticloadbalancing",
    "logs": "logs",
    "cloudwatch": "cloudwatch",
    "sagemaker-runtime": "sagemaker",
}
"""Service -> prefix of its actions in policies, where they differ."""


def action_of(service: str, operation: str) -> str:
    """The action in a policy, such as ``lambda:UpdateAlias``."""
    operation = {"Invoke": "InvokeFunction"}.get(operation, operation)
    return f"{_PREFIXES.get(service, service)}:{operation}"
