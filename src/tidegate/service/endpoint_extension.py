"""Extensions of endpoints: what features keep beside the record of each one, and do as it changes. The hook is
``endpoint``."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Capabilities, Observation
from tidegate.host.features import features
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Tx


@dataclass(frozen=True)
class DeploymentIds:
    """Makes the ids of what a deployment creates. ``unique`` is a new id per deployment; region and account are those
    of ARNs."""

    region: str = "us-east-1"
    account: str = "000000000000"
    unique: str = ""

    def id(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.unique}/{name}"))


class EndpointExtension:
    """Extension of endpoints by one feature. Each method has a default: a feature overrides those that it needs. All
    of them work within the transaction of the use case that calls them."""

    member = ""
    """Key of the section of the spec whose part of ``DesiredDeployment`` it keeps; empty: none."""
    section = ""
    """Member of the endpoint's status document that it adds; empty: none."""

    def apply(self, tx: Tx, endpoint: str, desired: Any, ids: DeploymentIds, now: datetime) -> None:
        """Make the feature's records what a deployed spec declares. ``desired`` is the member; None if the spec has
        no such section. Raises Invalid."""

    def read(self, tx: Tx, endpoint: str) -> Any:
        """Return the member as a spec once declared it; None if none did."""
        return None

    def check_update(self, tx: Tx, endpoint: Endpoint, types: Mapping[str, str], can: Capabilities) -> None:
        """Check that the endpoint's target can update it to variants of these instance types. Raises Invalid."""

    def delete(self, tx: Tx, endpoint: str, now: datetime) -> None:
        """Remove what it keeps of an endpoint whose deletion begins."""

    def find(self, tx: Tx, endpoint: str | None = None) -> Mapping[str, Any]:
        """Return what the section is made of, by the names of endpoints: of one, or of all."""
        return {}

    async def measure(self, metrics: Metrics, found: Any, now: datetime) -> Any:
        """Return what ``find`` found of one endpoint, completed by measurements, which no transaction reads."""
        return found

    def describe(self, found: Any, endpoint: Endpoint | None, seen: Observation | None) -> Any:
        """Return the section as JSON data. ``found`` is what ``find`` (of all endpoints) or ``measure`` (of one)
        returned, and None if there is nothing of this endpoint. ``endpoint`` is None if its record cannot be read."""
        return None


def endpoint_extensions() -> Iterator[EndpointExtension]:
    """Yield the extensions of the features that are on."""
    return (extension for _, extension in features().hooks("endpoint"))
