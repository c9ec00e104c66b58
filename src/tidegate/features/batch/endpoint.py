"""Refuses to deploy a spec that describes a job."""

from datetime import datetime

from tidegate.domain.errors import Invalid
from tidegate.domain.transform import TransformJob
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension


class _JobSpec(EndpointExtension):
    member = "job"

    def apply(
        self, tx: Tx, endpoint: str, desired: TransformJob | None, ids: DeploymentIds, now: datetime
    ) -> None:
        if desired is not None:
            raise Invalid(f"job: {endpoint} is a batch transform job, not an endpoint: run 'tidegate batch SPEC'")


EXTENSION = _JobSpec()
