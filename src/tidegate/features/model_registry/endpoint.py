"""State of an endpoint that follows a registry, and the source of its version in its status document."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tidegate.domain.arns import record_name
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.registry_addresses import FOLLOW, FollowSettings, parse_registry_address
from tidegate.features.model_registry.kinds import FOLLOWED, VERSION, FollowRecord, RegistryVersion
from tidegate.features.model_registry.rules import find_version, note_attempt
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import read_if_readable


@dataclass(frozen=True)
class EndpointSource:
    """``versions``: what is known of versions of registries, by their addresses."""

    record: FollowRecord | None
    versions: Mapping[str, RegistryVersion]


def name_version(address: str) -> str:
    """Name of a version's record."""
    found = parse_registry_address(address)
    assert found is not None and found.version, address
    return ("packages/" if found.packages else "mlflow/") + record_name(f"{found.name}/{found.version}")


def find_source(tx: Tx, address: str | None) -> RegistryVersion | None:
    """Find where a version came from, by its address; None for any other text, and for one that is not known."""
    found = parse_registry_address(address or "")
    if address is None or found is None or not found.version:
        return None
    saved = read_if_readable(tx, VERSION, name_version(address))
    return None if saved is None else saved.body


class _EndpointRegistry(EndpointExtension):
    member = FOLLOW
    section = "registry"

    def apply(
        self, tx: Tx, endpoint: str, desired: FollowSettings | None, ids: DeploymentIds, now: datetime
    ) -> None:
        saved = tx.get(FOLLOWED, endpoint)
        if desired is None:
            if saved is not None:
                tx.delete(FOLLOWED, endpoint, expect=saved.version, now=now)
            return
        before = FollowRecord(desired) if saved is None else saved.body
        there = tx.get(ENDPOINT, endpoint)
        record = FollowRecord(desired, before.attempts, before.note)
        record = note_attempt(record, None if there is None else there.body, ids.unique)
        if saved is None or record != saved.body:
            tx.put(FOLLOWED, endpoint, record, expect=0 if saved is None else saved.version, now=now)

    def read(self, tx: Tx, endpoint: str) -> FollowSettings | None:
        saved = read_if_readable(tx, FOLLOWED, endpoint)
        return None if saved is None else saved.body.following

    def delete(self, tx: Tx, endpoint: str, now: datetime) -> None:
        tx.delete(FOLLOWED, endpoint, expect=None, now=now)

    def find(self, tx: Tx, endpoint: str | None = None) -> Mapping[str, EndpointSource]:
        if endpoint is not None:
            saved, followed = read_if_readable(tx, ENDPOINT, endpoint), read_if_readable(tx, FOLLOWED, endpoint)
            found = () if saved is None else (find_source(tx, one) for one in _addresses(saved.body))
            versions = {one.version: one for one in found if one is not None}
            return {endpoint: EndpointSource(None if followed is None else followed.body, versions)}
        versions = {saved.body.version: saved.body for saved in tx.find(VERSION).items}
        records = {saved.name: saved.body for saved in tx.find(FOLLOWED).items}
        return {one: EndpointSource(records.get(one), versions) for one in tx.versions(ENDPOINT) if versions}

    def describe(
        self, found: EndpointSource | None, endpoint: Endpoint | None, seen: Observation | None
    ) -> dict[str, Any] | None:
        if found is None or endpoint is None:
            return None
        serving, new = _addresses(endpoint)
        said = {
            "serving": _describe(found, serving),
            "rolling_out": _describe(found, new),
            "follows": None if found.record is None else found.record.following.address,
            "note": None if found.record is None else found.record.note or None,
        }
        return said if any(said.values()) else None


def _addresses(endpoint: Endpoint) -> tuple[str, str]:
    """Find the addresses of the version that serves and of the one that is rolled out; empty: none of a registry."""
    rollout = endpoint.rollout
    return find_version(endpoint.serving), "" if rollout is None else find_version(rollout.new)


def _describe(found: EndpointSource, address: str) -> dict[str, Any] | None:
    known = found.versions.get(address)
    return None if known is None else asdict(known)


EXTENSION = _EndpointRegistry()
