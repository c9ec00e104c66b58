"""SageMaker jobs by name."""

from collections.abc import Callable
from typing import TypeVar

from tidegate.domain.errors import NotFound
from tidegate.ports.store import Saved, Tx
from tidegate.wire.errors import NamedError

T = TypeVar("T")


def find_job(get: Callable[[Tx, str], Saved[T]], tx: Tx, name: str) -> Saved[T]:
    """The job's record. Raises SageMaker's error if there is none."""
    try:
        return get(tx, name)
    except NotFound:
        raise NamedError("ResourceNotFound", f'Could not find requested job with name: "{name}".') from None
