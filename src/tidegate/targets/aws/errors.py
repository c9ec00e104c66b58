"""Translate AWS's errors to errors of the platform: gone, changed, busy, refused for good, worth another try.
Pure."""

from dataclasses import dataclass

from tidegate.domain.errors import TargetError, TargetRefused, Transient


class AwsRefused(TargetRefused):
    """Refused for good. ``error`` is AWS's name of it, ``said`` its sentence."""

    def __init__(self, message: str, error: str = "", said: str = "") -> None:
        super().__init__(message)
        self.error, self.said = error, said

    @property
    def fresh_role(self) -> bool:
        """The execution role cannot be assumed; a new one cannot for up to two minutes."""
        said = self.said.lower()
        return "role" in said and ("assume" in said or "trust" in said)


class ResourceMissing(AwsRefused):
    """A call named a resource that does not exist."""


class AccessDenied(AwsRefused):
    """The credentials lack a right."""


class ResourceChanged(Transient):
    """The resource is not in the revision that the call was made for (412)."""


class ResourceBusy(Transient):
    """Another change of the resource is in progress, or it is in use."""


class ResourceExists(ResourceBusy):
    """The name is taken already."""


class Throttled(Transient):
    """AWS asks for fewer calls; this one was not carried out."""


class Unanswered(Transient):
    """No answer came, or one of 5xx: the call may have been carried out."""


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
    "NotFound",
    "404",
    "NoSuchEntity",
    "NoSuchBucket",
    "NoSuchKey",
    "RepositoryNotFoundException",
    "ImageNotFoundException",
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
    "ResourceInUseFault",
    "ConflictException",
    "UpdateInProgressException",
}
_EXISTS = {"ResourceInUse", "DuplicateTargetGroupName", "PriorityInUse", "EntityAlreadyExists"}
"""SageMaker says ResourceInUse of a name that is taken."""
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TooManyRequests",
    "RequestLimitExceeded",
    "SlowDown",
    "ConcurrentUpdateException",
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedError",
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
_UNAVAILABLE = {408, 425}
_QUOTA = {
    "ServiceQuotaExceededException",
    "LimitExceededException",
    "LimitExceeded",
    "ResourceLimitExceeded",
    "CodeStorageExceededException",
    "QuotaExceededException",
}


def translate(answer: ErrorAnswer) -> TargetError:
    """The error for the platform."""
    code, about, told = answer.code, answer.about, f"{answer.code}: {answer.message}"
    if code in _THROTTLED or answer.status == 429:
        return Throttled(f"AWS throttles {about} ({told}): try again later")
    if answer.status >= 500 or answer.status in _UNAVAILABLE:
        return Unanswered(f"{about}: AWS cannot answer now ({told}): try again")
    if code in _EXPIRED:
        return Transient(f"{about}: the AWS credentials have expired; renew them ({told})")
    if code in _CLOCK or _signed_at_a_wrong_time(answer):
        return Transient(f"{about}: the clock of this machine differs from AWS's; set it right ({told})")
    if code in _UNKNOWN_KEYS or code == "InvalidSignatureException":
        return AwsRefused(
            f"{about}: AWS does not know these credentials; check profile and keys ({told})", code, answer.message
        )
    if code in _DENIED or (answer.status == 403 and code not in _MISSING):
        return AccessDenied(
            f"{about}: the credentials lack the right {action_of(answer.service, answer.operation)};"
            f" `tidegate target doctor` prints the least policy ({told})",
            code,
            answer.message,
        )
    if code in _MISSING or "Could not find" in answer.message:
        return ResourceMissing(f"{about}: it does not exist ({told})", code, answer.message)
    if code == "PreconditionFailedException" or answer.status == 412:
        return ResourceChanged(f"{about}: it was changed meanwhile ({told})")
    if code in _EXISTS or "already exist" in answer.message.lower():
        return ResourceExists(f"{about}: it exists already, or is in use ({told})")
    if code in _BUSY or "in-progress" in answer.message:
        return ResourceBusy(f"{about}: another change is in progress, or it exists already ({told})")
    if code in _QUOTA or code.startswith("TooMany"):
        return AwsRefused(
            f"{about}: a quota of the account is reached: remove something, have it raised in Service Quotas, or use"
            f" strategy: rolling ({told})",
            code,
            answer.message,
        )
    return AwsRefused(f"{about}: AWS refused it ({told})", code, answer.message)


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
