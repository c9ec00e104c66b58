"""The records that release_record keeps."""

from dataclasses import dataclass
from typing import Any

from tidegate.ports.store import Kind


@dataclass(frozen=True)
class SignedRelease:
    """A signed file, as text. The record's name is ``endpoint.version.rollout``: it outlives its endpoint, and
    another one of that name has rollouts of its own."""

    file: str


RELEASE = Kind("release-record", SignedRelease)
KINDS: tuple[Kind[Any], ...] = (RELEASE,)
