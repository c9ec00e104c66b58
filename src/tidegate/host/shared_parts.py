"""Objects that several features, or several parts of one, have in common."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")


class SharedParts:
    """Base of what features are given to make their parts with."""

    @cached_property
    def _shared(self) -> dict[str, Any]:
        return {}

    def share(self, name: str, make: Callable[[], T]) -> T:
        """Return the object of this name, made by the first that asks for it."""
        if name not in self._shared:
            self._shared[name] = make()
        found: T = self._shared[name]
        return found
