"""Compute the status of a fleet that is not serverless, for its supervisor."""

from collections import Counter
from collections.abc import Collection

from tidegate.domain.fleet import ReplicaState
from tidegate.domain.observation import FleetStatus
from tidegate.targets.local.replica import Replica
from tidegate.targets.local.supervisor_context import DesiredFleet


def describe(
    desired: DesiredFleet,
    replicas: Collection[Replica],
    routed: frozenset[str],
    ready: int,
    failure: str | None,
    was_ready: bool,
) -> FleetStatus:
    """``routed``: replicas that the router has; one that is ready and not among them still starts."""
    spec, count = desired.spec, Counter(one.state for one in replicas)
    coming = sum(one.state is ReplicaState.READY and one.id not in routed for one in replicas)
    return FleetStatus(
        id=spec.id,
        desired=0 if desired.deleted else spec.count,
        ready=ready,
        starting=count[ReplicaState.STARTING] + coming,
        draining=count[ReplicaState.DRAINING],
        failure=failure,
        mirror=None if desired.deleted else spec.mirror,
        paired=None if desired.deleted else spec.paired,
        was_ready=was_ready,
        devices=tuple((one.id, one.devices) for one in replicas if one.devices),
        problem=next(filter(None, (one.waits_for for one in replicas)), None),
    )
