"""Errors by the names that the service's model has for the operations of newer resources."""

from collections.abc import Callable
from typing import TypeVar

from tidegate.domain.errors import AlreadyExists, Conflict, NotFound
from tidegate.wire.errors import NamedError

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
