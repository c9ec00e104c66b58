"""The scaling of an endpoint, as a part of its deployment, its deletion and its status document."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tidegate.domain.desired import DesiredScaling
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Capabilities, Observation
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.scalable_records import Scalable
from tidegate.features.autoscaling.spec_scaling import apply_scaling, read_declared
from tidegate.features.autoscaling.views import ScalingDocument, scaling_summary
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import DeploymentIds, EndpointExtension


class _EndpointScaling(EndpointExtension):
    member = "autoscaling"
    section = "scaling"

    def apply(
        self, tx: Tx, endpoint: str, desired: DesiredScaling | None, ids: DeploymentIds, now: datetime
    ) -> None:
        apply_scaling(tx, endpoint, desired, ids, now)

    def read(self, tx: Tx, endpoint: str) -> DesiredScaling | None:
        return read_declared(tx, endpoint)

    def check_update(self, tx: Tx, endpoint: Endpoint, types: Mapping[str, str], can: Capabilities) -> None:
        """Raises Invalid if a scaled variant goes or changes its type on a target that cannot keep its scaling."""
        if can.keeps_scaling or endpoint.serving is None:
            return
        present = {variant.name: variant.instance_type for variant in endpoint.serving.variants}
        for target in (saved.body.target for saved in scalables.list_for_endpoint(tx, endpoint.name)):
            if target.variant in present and types.get(target.variant) != present[target.variant]:
                what = "goes" if target.variant not in types else f"moves to {types[target.variant]}"
                raise Invalid(
                    f'variant "{target.variant}" of endpoint "{endpoint.name}" {what} while it is registered with'
                    " Application Auto Scaling: deregister it first, then register it again"
                )

    def delete(self, tx: Tx, endpoint: str, now: datetime) -> None:
        scalables.deregister_all(tx, endpoint, now)

    def find(self, tx: Tx, endpoint: str | None = None) -> Mapping[str, Any]:
        scaled = defaultdict[str, list[Scalable]](list)
        saved = scalables.list_all(tx) if endpoint is None else scalables.list_for_endpoint(tx, endpoint)
        for one in saved:
            scaled[one.body.target.endpoint].append(one.body)
        return scaled

    def describe(
        self, found: Sequence[Scalable] | None, endpoint: Endpoint | None, seen: Observation | None
    ) -> list[ScalingDocument]:
        return [] if endpoint is None else scaling_summary(found or (), endpoint, seen)


EXTENSION = _EndpointScaling()
