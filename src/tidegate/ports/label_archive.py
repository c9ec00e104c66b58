"""Late labels and the predictions that they are joined with, as rows of a backup."""

from collections.abc import Iterator
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
