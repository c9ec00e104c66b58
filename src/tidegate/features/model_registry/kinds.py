"""The records that model_registry keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.registry_addresses import FollowSettings
from tidegate.ports.store import Kind


@dataclass(frozen=True)
class RegistryVersion:
    """Source of a version, as its registry said when it was first looked at; its record has the name that
    ``name_version`` makes. ``run``: id of the run that made it. ``data``: names and digests of its data sets."""

    version: str
    run: str = ""
    commit: str = ""
    data: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionAttempt:
    """A deployment of a version. ``rollout``: its id; empty if the version ran already. ``given_up``: something newer
    took its place, so that its rollback says nothing about it. ``reported``: nothing more is to be told about it."""

    version: str
    rollout: str
    given_up: bool = False
    reported: bool = False


@dataclass(frozen=True)
class FollowRecord:
    """``attempts``: the oldest first; each version that was deployed is among them. ``note``: why the newest version
    is not deployed, or cannot be known; empty if nothing is in its way."""

    following: FollowSettings
    attempts: tuple[VersionAttempt, ...] = ()
    note: str = ""


FOLLOWED = Kind("registry-follow", FollowRecord)
VERSION = Kind("registry-version", RegistryVersion)
ENDPOINT_KINDS: tuple[Kind[Any], ...] = (FOLLOWED,)
KINDS: tuple[Kind[Any], ...] = (FOLLOWED, VERSION)
