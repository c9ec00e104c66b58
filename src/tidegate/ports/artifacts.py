"""Model data of earlier versions, kept by the target so that a rollout can go back to them."""

from collections.abc import Collection, Mapping
from typing import Protocol

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
