"""Time and identity, passed in so that tests never wait and never guess."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, aware, UTC."""
        ...


class Ids(Protocol):
    def new(self, kind: str) -> str:
        """A fresh identifier; ``kind`` is a short prefix such as ``rollout``."""
        ...
