"""Jobs of SageMaker, by name."""

from collections.abc import Callable
from typing import TypeVar

from tidegate.domain.errors import NotFound
from tidegate.ports.store import Saved, Tx
from tidegate.wire.errors import NamedError

T = TypeVar("T")


def find_job(get: Callable[[Tx, str], Saved[T]], tx: Tx, name: str) -> Saved[T]:
    """The record, or the error that SageMaker answers with."""
    try:
        return get(tx, name)
    except NotFound:
        raise NamedError("ResourceNotFound", f'Could not find requested job with name: "{name}".') from None
