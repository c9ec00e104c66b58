"""Model data of earlier versions, kept by the target so that a rollout can go back to them."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from tidegate.domain.fleet import FleetId


class Artifacts(Protocol):
    """Content-addressed model data. Methods block, may take as long as reading all of it, and are thread-safe."""

    def keep(self, fleet: FleetId, containers: int) -> tuple[str, ...] | None:
        """Keep the model data that the fleet runs with. Returns a digest per container; None if it is not complete
        yet. Raises OSError, or ArtifactError for data that cannot be kept."""
        ...

    def verify(self, digest: str) -> bool:
        """Whether it is kept and still has this digest. Reads all of it."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Digest -> bytes, of all that is kept."""
        ...

    def retain(self, digests: Collection[str]) -> None:
        """Remove all others."""
        ...


class ArtifactPart(NamedTuple):
    """A folder, or a piece of a file: pieces of one file follow one another. ``kind``: ``folder``, ``file`` or
    ``program`` (a file that may be executed). ``path`` is relative, and empty for the folder of the digest itself."""

    digest: str
    path: str
    kind: str
    data: bytes


class ArtifactArchive(Protocol):
    """All that is kept, for backups. Methods block."""

    def count(self) -> int:
        """Number of parts."""
        ...

    def read(self) -> Iterator[ArtifactPart]:
        """Raises Conflict for data that is removed meanwhile."""
        ...

    def write(self, parts: Iterator[ArtifactPart]) -> int:
        """Add model data, and return how many there were. Raises Invalid for data that does not have its digest;
        what came before it stays, and is removed by the server if no version needs it."""
        ...
