"""One table that maps tidegate's errors to each service's error names, statuses and messages."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tidegate.domain import errors as ours
from tidegate.domain.arns import resource_name
from tidegate.domain.errors import AlreadyExists, Conflict, NotFound, TidegateError
from tidegate.wire.validation import Violation, WrongType


class NamedError(TidegateError):
    """An error that the service's model names, such as ``InvalidParameterCombinationException``. ``name`` is the
    exception's shape; its status and query code come from the model. ``status`` and ``query_code`` are for errors
    that the model lacks."""

    def __init__(self, name: str, message: str, status: int | None = None, query_code: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.query_code = query_code or name


class UnknownOperation(TidegateError):
    """No such operation is served."""


@dataclass(frozen=True)
class WireError:
    """An error as a client sees it."""

    name: str
    status: int | None
    """None: the model's status, or 400."""
    message: str
    query_code: str


ErrorNames = Mapping[type[TidegateError], tuple[str, int]]

_SAGEMAKER: ErrorNames = {
    ours.Invalid: ("ValidationException", 400),
    WrongType: ("SerializationException", 400),
    ours.NotFound: ("ValidationException", 400),
    ours.AlreadyExists: ("ValidationException", 400),
    ours.Conflict: ("ValidationException", 400),
    ours.ArtifactError: ("ValidationException", 400),
    ours.LimitExceeded: ("ResourceLimitExceeded", 400),
    ours.PayloadTooLarge: ("RequestEntityTooLargeException", 413),
    ours.Unavailable: ("ServiceUnavailable", 503),
    UnknownOperation: ("UnknownOperationException", 400),
    ours.AuthError: ("AccessDeniedException", 400),
    ours.MissingAuthentication: ("MissingAuthenticationTokenException", 400),
    ours.IncompleteSignature: ("IncompleteSignatureException", 400),
    ours.InvalidSignature: ("InvalidSignatureException", 400),
    ours.UnknownKey: ("UnrecognizedClientException", 400),
    ours.ExpiredToken: ("ExpiredTokenException", 400),
    TidegateError: ("InternalFailure", 500),
}
_RUNTIME: ErrorNames = {
    ours.Invalid: ("ValidationError", 400),
    ours.NotFound: ("ValidationError", 400),
    ours.Conflict: ("ValidationError", 400),
    ours.PayloadTooLarge: ("ValidationError", 413),
    ours.Unavailable: ("ServiceUnavailable", 503),
    UnknownOperation: ("UnknownOperationException", 404),
    **{kind: (name, 403) for kind, (name, _) in _SAGEMAKER.items() if issubclass(kind, ours.AuthError)},
    TidegateError: ("InternalFailure", 500),
}
_CLOUDWATCH: ErrorNames = {
    ours.Invalid: ("InvalidParameterValueException", 400),
    Violation: ("ValidationException", 400),
    WrongType: ("SerializationException", 400),
    ours.NotFound: ("ResourceNotFound", 404),
    ours.AlreadyExists: ("ConflictException", 409),
    ours.Conflict: ("ResourceConflict", 409),
    ours.LimitExceeded: ("LimitExceededFault", 400),
    ours.PayloadTooLarge: ("RequestEntityTooLargeException", 413),
    ours.Unavailable: ("ServiceUnavailable", 503),
    UnknownOperation: ("UnknownOperationException", 400),
    **{kind: face for kind, face in _SAGEMAKER.items() if issubclass(kind, ours.AuthError)},
    TidegateError: ("InternalServiceFault", 500),
}
_SCALING: ErrorNames = {
    ours.Invalid: ("ValidationException", 400),
    WrongType: ("SerializationException", 400),
    ours.NotFound: ("ObjectNotFoundException", 400),
    ours.AlreadyExists: ("ValidationException", 400),
    ours.Conflict: ("ConcurrentUpdateException", 400),
    ours.LimitExceeded: ("LimitExceededException", 400),
    ours.PayloadTooLarge: ("RequestEntityTooLargeException", 413),
    ours.Unavailable: ("ServiceUnavailable", 503),
    UnknownOperation: ("UnknownOperationException", 400),
    **{kind: face for kind, face in _SAGEMAKER.items() if issubclass(kind, ours.AuthError)},
    TidegateError: ("InternalServiceException", 500),
}
_LOGS: ErrorNames = {
    ours.Invalid: ("InvalidParameterException", 400),
    WrongType: ("SerializationException", 400),
    ours.NotFound: ("ResourceNotFoundException", 400),
    ours.PayloadTooLarge: ("RequestEntityTooLargeException", 413),
    ours.Unavailable: ("ServiceUnavailableException", 503),
    UnknownOperation: ("UnknownOperationException", 400),
    **{kind: face for kind, face in _SAGEMAKER.items() if issubclass(kind, ours.AuthError)},
    TidegateError: ("InternalFailure", 500),
}
_STS: ErrorNames = {
    ours.Invalid: ("ValidationError", 400),
    ours.PayloadTooLarge: ("RequestEntityTooLarge", 413),
    ours.Unavailable: ("ServiceUnavailable", 503),
    TidegateError: ("InternalFailure", 500),
}
_QUERY: ErrorNames = {
    WrongType: ("MalformedInput", 400),
    UnknownOperation: ("InvalidAction", 400),
    ours.AuthError: ("AccessDenied", 403),
    ours.MissingAuthentication: ("MissingAuthenticationToken", 403),
    ours.IncompleteSignature: ("IncompleteSignature", 403),
    ours.InvalidSignature: ("SignatureDoesNotMatch", 403),
    ours.UnknownKey: ("InvalidClientTokenId", 403),
    ours.ExpiredToken: ("ExpiredToken", 403),
}
"""Names that the query protocol uses regardless of the service; they take precedence over the service's table."""

TABLE: Mapping[str, ErrorNames] = {
    "sagemaker": _SAGEMAKER,
    "sagemaker-runtime": _RUNTIME,
    "cloudwatch": _CLOUDWATCH,
    "application-autoscaling": _SCALING,
    "logs": _LOGS,
    "sts": _STS,
}

_RESOURCES = {
    "model": "model",
    "config": "endpoint-config",
    "endpoint": "endpoint",
    "package-group": "model-package-group",
    "package": "model-package",
}
_NOUNS = {"model": "model", "config": "endpoint configuration", "endpoint": "endpoint"}
_MESSAGES: Mapping[type[TidegateError], Mapping[str, str]] = {
    ours.NotFound: {
        **{kind: f'Could not find {noun} "{{arn}}".' for kind, noun in _NOUNS.items()},
        "package-group": "ModelPackageGroup {arn} does not exist.",
        "package": "ModelPackage {arn} does not exist.",
    },
    ours.AlreadyExists: {
        **{kind: f'Cannot create already existing {noun} "{{arn}}".' for kind, noun in _NOUNS.items()},
        "package-group": "Model Package Group already exists: {arn}",
        "package": "Model Package already exists: {arn}",
    },
    ours.InProgress: {kind: f'Cannot update in-progress {noun} "{{arn}}".' for kind, noun in _NOUNS.items()},
}
"""Clients compare these messages literally."""


def to_wire_error(
    service: str, error: TidegateError, *, query: bool, arn: Callable[[str], str], account: str
) -> WireError:
    """Convert ``error`` to the form that ``service`` uses; ``query``: the answer uses the query protocol."""
    if isinstance(error, NamedError):
        return WireError(error.name, error.status, error.message, error.query_code)
    names = TABLE.get(service, _SAGEMAKER)
    for kind in type(error).__mro__:
        found = (query and _QUERY.get(kind)) or names.get(kind)
        if found:
            return WireError(*found, _aws_message(service, error, arn, account), found[0])
    raise AssertionError("every table ends with TidegateError")


def _aws_message(service: str, error: TidegateError, arn: Callable[[str], str], account: str) -> str:
    if error.about is None:
        return error.message
    kind, name = error.about
    if service == "sagemaker-runtime" and kind == "endpoint" and isinstance(error, ours.NotFound):
        return f"Endpoint {name} of account {account} not found."
    sentence = _MESSAGES.get(type(error), {}).get(kind)
    if sentence is None or service != "sagemaker":
        return error.message
    return sentence.format(arn=arn(f"{_RESOURCES[kind]}/{resource_name(name) if kind == 'package' else name}"))


# --- SageMaker's errors for jobs that do not exist ---


@contextmanager
def require_job(name: str, code: str = "ValidationException") -> Iterator[None]:
    """Replace NotFound by SageMaker's error. Of transform and processing jobs it is a ValidationException: boto3's
    waiters and Amazon's controllers for Kubernetes take that, with these words, for a job that does not exist, and
    ResourceNotFound, which the service's model has, for a failure that is final."""
    try:
        yield
    except NotFound:
        raise NamedError(code, f"Could not find requested job with name: {name}") from None


# --- errors by the names that the service's model has for the operations of newer resources ---


T = TypeVar("T")


def name_errors(work: Callable[[], T]) -> T:
    """Raises NamedError for what exists already, is not there, or cannot be done now. A record of another kind keeps
    the error of its own operations."""
    try:
        return work()
    except AlreadyExists as error:
        raise NamedError("ResourceInUse", error.message) from None
    except Conflict as error:
        raise NamedError("ConflictException", error.message) from None
    except NotFound as error:
        if error.about is not None:
            raise
        raise NamedError("ResourceNotFound", error.message) from None
