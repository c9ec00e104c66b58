"""Compute the status of a fleet that the platform gets. Pure."""

from dataclasses import replace

from tidegate.domain.fleet import FleetId, Mirroring
from tidegate.domain.observation import FleetStatus
from tidegate.ports.router import PassedRequests
from tidegate.targets.kubernetes.cluster_view import FleetView


def plain_status(
    fleet: FleetId, view: FleetView, ready: int, going: bool, was_ready: bool, mirror: Mirroring | None
) -> FleetStatus:
    """``ready``: how many pods take requests; ``mirror``: as last asked for."""
    present = [pod for pod, _ in view.pods.values() if not pod.ended]
    leaving = sum(pod.leaving for pod in present)
    desired = 0 if going or view.deployment is None else int(view.deployment["spec"].get("replicas") or 0)
    return FleetStatus(
        id=fleet,
        desired=desired,
        ready=ready,
        starting=len(present) - leaving - ready,
        draining=leaving,
        failure=None if going else view.failure,
        problem=view.problem,
        was_ready=was_ready,
        mirror=None if going else mirror,
    )


def autoscaled_status(seen: FleetStatus, count: int) -> FleetStatus:
    """Return the status of a fleet whose size the cluster chooses. For the platform it has the ``count`` that was
    asked for, and is whole once that many pods take requests, or as many as the cluster wants if these are fewer.
    ``seen``: its pods."""
    whole = seen.ready >= max(1, min(seen.desired, count))
    ready = count if whole else min(seen.ready, count - 1)
    return replace(seen, desired=count, ready=ready, starting=count - ready)


def with_load(seen: FleetStatus, load: PassedRequests | None, answers: tuple[int, int] | None) -> FleetStatus:
    """``answers``: how many requests were answered, and how many failed."""
    if answers is not None:
        seen = replace(seen, answered=answers[0], failed=answers[1])
    if load is None:
        return seen
    return replace(seen, in_flight=load.in_flight, queued=load.queued, queue_time=load.queue_time)
