"""SageMaker's errors for jobs that do not exist."""

from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.domain.errors import NotFound
from tidegate.wire.errors import NamedError


@contextmanager
def require_job(name: str, code: str = "ValidationException") -> Iterator[None]:
    """Replace NotFound by SageMaker's error. Of transform and processing jobs it is a ValidationException: boto3's
    waiters and Amazon's controllers for Kubernetes take that, with these words, for a job that does not exist, and
    ResourceNotFound, which the service's model has, for a failure that is final."""
    try:
        yield
    except NotFound:
        raise NamedError(code, f"Could not find requested job with name: {name}") from None
