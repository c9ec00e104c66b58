"""The workload of an endpoint, as a part of its deployment."""

from datetime import datetime
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.features.cost.kinds import WORKLOAD, StoredWorkload
from tidegate.features.cost.workload import WorkloadSpec, render_structure
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension


class _EndpointWorkload(EndpointExtension):
    member = "workload"

    def apply(self, tx: Tx, endpoint: str, desired: Any, ids: DeploymentIds, now: datetime) -> None:
        saved = tx.get(WORKLOAD, endpoint)
        if desired is None:
            tx.delete(WORKLOAD, endpoint, expect=None, now=now)
            return
        wanted = StoredWorkload(render_structure(desired))
        if saved is None or saved.body != wanted:
            tx.put(WORKLOAD, endpoint, wanted, expect=None if saved is None else saved.version, now=now)

    def read(self, tx: Tx, endpoint: str) -> WorkloadSpec | None:
        saved = tx.get(WORKLOAD, endpoint)
        return None if saved is None else msgspec.convert(saved.body.section, prepare_type(WorkloadSpec))


EXTENSION = _EndpointWorkload()
