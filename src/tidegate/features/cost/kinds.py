"""The records that cost keeps."""

from dataclasses import dataclass
from typing import Any

from tidegate.ports.store import Kind


@dataclass(frozen=True)
class StoredWorkload:
    """The section ``workload`` of the spec that was deployed last, as plain data."""

    section: dict[str, object]


WORKLOAD = Kind("workload", StoredWorkload)
KINDS: tuple[Kind[Any], ...] = (WORKLOAD,)
