"""AWS's errors by what can be done about them."""

from typing import Any

from tidegate.domain.errors import TargetRefused, Transient

THROTTLES = (
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
    "ConcurrentUpdateException",
)
"""Codes of calls that were not carried out and may be repeated."""
DENIED = ("AccessDeniedException", "AccessDenied", "AccessDeniedError", "UnauthorizedOperation")
CREDENTIALS = (
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
)
MISSING = (
    "NoSuchEntity",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ObjectNotFoundException",
    "404",
    "NoSuchBucket",
    "NoSuchKey",
    "NotFound",
    "RepositoryNotFoundException",
    "ImageNotFoundException",
)


class AwsThrottled(Transient):
    """Not carried out."""


class AwsUnanswered(Transient):
    """No answer came, or one of 5xx: the call may have been carried out."""


class AwsRefused(TargetRefused):
    """``error`` is AWS's name of it."""

    def __init__(self, message: str, error: str, said: str) -> None:
        super().__init__(message)
        self.error, self.said = error, said

    @property
    def missing(self) -> bool:
        """What was asked for does not exist."""
        return self.error in MISSING or "Could not find" in self.said

    @property
    def exists(self) -> bool:
        return "already exist" in self.said.lower() or self.error == "ResourceInUse"

    @property
    def busy(self) -> bool:
        """Another change of the endpoint is in progress."""
        return "in-progress" in self.said

    @property
    def fresh_role(self) -> bool:
        """The execution role cannot be assumed; a new one cannot for up to two minutes."""
        said = self.said.lower()
        return "role" in said and ("assume" in said or "trust" in said)


def translate(operation: str, response: dict[str, Any]) -> Transient | TargetRefused:
    """Of botocore's ClientError."""
    error = response.get("Error", {})
    code, said = str(error.get("Code", "")), str(error.get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
    if code in THROTTLES or status == 429:
        return AwsThrottled(f"{operation}: AWS throttles these calls ({code}): try again later")
    if status >= 500:
        return AwsUnanswered(f"{operation}: AWS answered {status} {code}: try again")
    if code in DENIED:
        return AwsRefused(
            f"{operation}: not allowed: {said}; 'tidegate doctor --target sagemaker' prints the needed policy",
            code,
            said,
        )
    if code in CREDENTIALS:
        hint = (
            "set this machine's clock" if code == "RequestTimeTooSkewed" else "renew them, as by 'aws sso login'"
        )
        return AwsRefused(f"{operation}: AWS does not take these credentials ({code}): {hint}", code, said)
    if code == "ResourceLimitExceeded":
        return AwsRefused(
            f"{operation}: {said} Ask for more in Service Quotas, or use strategy: rolling", code, said
        )
    return AwsRefused(f"{operation}: {said} ({code})", code, said)
