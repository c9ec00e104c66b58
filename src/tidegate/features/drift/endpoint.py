"""The drift schedule of an endpoint, as a part of its deployment."""

from datetime import datetime

from tidegate.domain.drift import DriftSchedule
from tidegate.features.drift.kinds import DRIFT_SCHEDULE
from tidegate.features.drift.service import apply_schedule
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension


class _EndpointDrift(EndpointExtension):
    member = "drift"

    def apply(
        self, tx: Tx, endpoint: str, desired: DriftSchedule | None, ids: DeploymentIds, now: datetime
    ) -> None:
        apply_schedule(tx, endpoint, desired, now)

    def read(self, tx: Tx, endpoint: str) -> DriftSchedule | None:
        saved = tx.get(DRIFT_SCHEDULE, endpoint)
        return saved.body if saved is not None and saved.body.by_spec else None


EXTENSION = _EndpointDrift()
