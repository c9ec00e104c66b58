"""The rules that hold with and without a rollout: our table stays the newest, weights follow what was set as soon
as capacity carries them, a change in place ends, a deleted endpoint goes."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import CapacityUpdate, Endpoint
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import Event, Observation
from tidegate.domain.rollout import Version
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.rollout import desired_state, predicates
from tidegate.rollout.transitions import Transition

CHANGE_UNDONE = "Weights and capacities were put back"
"""How the reason of an endpoint begins whose change in place could not be had."""


def reassert_table(endpoint: Endpoint, seen: Observation) -> Endpoint | None:
    """A table in force that is newer than ours, or has our fence and other routes, was left by an earlier life of
    this name or of its record: ours is asked again with a fence above it."""
    ours, found = desired_state.traffic(endpoint), seen.routes
    if found is None or found.fence < ours.fence or predicates.is_in_force(endpoint, seen):
        return None
    if found.fence == ours.fence and not found.routes:
        return None
    fence = max(endpoint.fence, found.fence) + 1
    return replace(endpoint, fence=fence, traffic=replace(ours, fence=fence))


def apply_weights(endpoint: Endpoint, seen: Observation) -> Endpoint | None:
    """The table for the weights as they are set now, once every fleet whose share would rise is ready."""
    if seen.fleets is None:
        return None
    ours = desired_state.traffic(endpoint)
    aim = desired_state.build_table(endpoint, desired_state.new_share(endpoint))
    if desired_state.has_same_routes(aim, ours) or not _can_carry(endpoint, ours, aim, seen):
        return None
    return desired_state.route(endpoint, desired_state.new_share(endpoint))


def _can_carry(endpoint: Endpoint, ours: RouteTable, aim: RouteTable, seen: Observation) -> bool:
    before = {route.fleet: route.share for route in ours.routes}
    specs = desired_state.fleets(endpoint)
    for route in aim.routes:
        if route.share <= before.get(route.fleet, 0):
            continue
        fleet = (seen.fleets or {}).get(route.fleet)
        if fleet is None or fleet.ready < specs[route.fleet].count:
            return False
    return True


def advance_capacity_update(
    endpoint: Endpoint, change: CapacityUpdate, seen: Observation, now: datetime
) -> Transition | None:
    """In force: done. Failed or late: back to what was, for which there is no deadline but one more span."""
    serving = endpoint.serving
    assert serving is not None
    part = endpoint.mixed.serving_part if endpoint.mixed else WHOLE
    aim = desired_state.build_table(endpoint, desired_state.new_share(endpoint))
    settled = desired_state.has_same_routes(aim, desired_state.traffic(endpoint)) and predicates.is_in_force(
        endpoint, seen
    )
    if settled and predicates.is_ready(endpoint, serving, part, seen):
        if change.undoing:
            return replace(endpoint, scaling=None), (Event("endpoint.Scaled", "back to what it was before"),)
        after = replace(endpoint, scaling=None, failure_reason=None, modified_at=now)
        return after, (Event("endpoint.Scaled", f"now at {_describe(serving)}"),)
    why = _describe_failure(endpoint, change, serving, seen, now)
    if why is None:
        return None
    if change.undoing:
        return replace(endpoint, scaling=None), (Event("endpoint.ScalingFailed", why),)
    span = change.deadline - change.since
    undo = replace(change, undoing=True, since=now, deadline=now + max(span, timedelta(seconds=1)))
    reason = f"{CHANGE_UNDONE}: {why}."
    after = replace(endpoint, serving=change.before, scaling=undo, failure_reason=reason, modified_at=now)
    return after, (Event("endpoint.ScalingFailed", reason),)


def _describe_failure(
    endpoint: Endpoint, change: CapacityUpdate, serving: Version, seen: Observation, now: datetime
) -> str | None:
    if not change.undoing and (failed := predicates.failures(endpoint, serving, seen)):
        return "; ".join(f"variant {name}: {why}" for name, why in failed.items())
    if change.deadline <= now:
        return f"not in force within {(change.deadline - change.since).total_seconds():.0f} s"
    return None


def _describe(version: Version) -> str:
    return ", ".join(f"{v.name}: {v.instance_count} instance(s), weight {v.weight:g}" for v in version.variants)


def advance_deletion(endpoint: Endpoint, seen: Observation) -> tuple[Endpoint | None, tuple[Event, ...]] | None:
    """Routes off first, then the fleets (asked for as strays), then the record."""
    off = desired_state.route(endpoint, 0)
    if off is not endpoint:
        return off, (Event("endpoint.Deleting", "taking it off the router"),)
    if predicates.is_in_force(endpoint, seen) and predicates.has_only_desired_fleets(endpoint, seen):
        return None, (Event("endpoint.Deleted", "nothing of it is left"),)
    return None


def stray_fleets(endpoint: Endpoint, seen: Observation) -> list[FleetId]:
    """Fleets that nobody wants and that no route in force can name."""
    if seen.fleets is None or not predicates.is_in_force(endpoint, seen):
        return []
    routed = {route.fleet for route in desired_state.traffic(endpoint).routes}
    return sorted(seen.fleets.keys() - desired_state.fleets(endpoint).keys() - routed)
