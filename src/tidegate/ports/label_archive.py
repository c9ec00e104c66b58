"""Late labels and the predictions that they are joined with, as rows of a backup."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class LabelPart(NamedTuple):
    """Some rows of one table of one endpoint's labels, as JSON has them."""

    endpoint: str
    table: str
    columns: list[str]
    rows: list[list[Any]]


class LabelSnapshot(Protocol):
    """All labels of one moment. Methods block."""

    def count(self) -> int:
        """Number of parts."""
        ...

    def read(self) -> Iterator[LabelPart]: ...


class LabelArchive(Protocol):
    """The labels below a state folder. Methods block."""

    def take_snapshot(self, state: Path) -> AbstractContextManager[LabelSnapshot]:
        """Raises Conflict for a file that cannot be read."""
        ...

    def prepare(self, state: Path, parts: Iterator[LabelPart]) -> AbstractContextManager[None]:
        """Write labels beside those that are there, which ``settle`` replaces once the records are in place. What it
        has not put there is removed. Raises Invalid, with nothing replaced."""
        ...

    def settle(self, state: Path) -> None:
        """Put what was prepared in place. Repeated after a crash it finishes that."""
        ...
