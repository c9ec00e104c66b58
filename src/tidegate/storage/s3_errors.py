"""Translation of botocore's errors to errors of data: permanent (ArtifactError) or transient (Transient)."""

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient

_MISSING = {
    "NoSuchKey": "there is no such object",
    "404": "there is no such object",
    "NoSuchBucket": "there is no such bucket",
}
_PERMANENT = {
    "AccessDenied": "access is denied",
    "403": "access is denied",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "InvalidBucketName": "this is not a bucket's name",
    "PermanentRedirect": "the bucket lies in another region",
    "PreconditionFailed": "the object was changed meanwhile",
    "412": "the object was changed meanwhile",
}
_TRANSIENT_STATUSES = {408, 409, 425, 429}
_TRANSIENT = {
    *("SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"),
    *(
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ExpiredToken",
        "NoSuchUpload",
        "OperationAborted",
        "QuotaExceeded",
    ),
}
"""Codes of errors with a status from 400 to 499 after which the same request may succeed later."""


class S3Unusable(ArtifactError):
    """This process cannot use S3 at all: it has no credentials, or its settings are wrong. No object is to blame."""


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(error: Exception) -> ArtifactError | Transient:
    """Translate an error of S3: a ClientError, a BotoCoreError, or a ValueError of botocore. Messages do not name the
    object."""
    if isinstance(error, ClientError):
        return _translate_answer(error)
    if isinstance(error, HTTPClientError | ConnectionError):
        return Transient(f"S3 cannot be reached: {error}")
    return S3Unusable(f"S3 cannot be used: {error}")


def _translate_answer(error: ClientError) -> ArtifactError | Transient:
    code = code_of(error)
    if code in _MISSING:
        return MissingArtifact(_MISSING[code] + _name(code))
    if code in _PERMANENT:
        return ArtifactError(_PERMANENT[code] + _name(code))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    permanent = 400 <= status < 500 and status not in _TRANSIENT_STATUSES and code not in _TRANSIENT
    kind = ArtifactError if permanent else Transient
    return kind(f"S3 answered {code}: {error.response.get('Error', {}).get('Message', '')}")


def _name(code: str) -> str:
    """S3's name of an error; answers to HEAD have a status alone."""
    return "" if code.isdigit() else f" ({code})"


ERRORS = (BotoCoreError, ClientError)
"""What calls of botocore raise."""
