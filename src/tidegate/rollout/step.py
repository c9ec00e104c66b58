"""The machine: one pure function over the whole life of an endpoint.

    creation     Provisioning -> ActivatingTraffic -> Baking(0) -> Succeeded | Failed
    update       Provisioning -> (ActivatingTraffic -> Baking)* -> Terminating -> Succeeded
                 before Terminating, the point of no return, also -> RollingBack -> RolledBack | RollbackFailed
    steady       repair, scaling in place, strays; deleting -> gone

Two rules hold everywhere. A rule returns a record and never acts; what to ask for is derived from the record (and
from what is seen to be there already). ``now`` is read once by the caller, who saves the record before acting.
Rules are applied until none moves, so ``step`` is a fixpoint: on its own record, with the same inputs, it changes
nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.observation import (
    Action,
    DeleteFleet,
    EnsureFleet,
    Event,
    FleetStatus,
    Observation,
    SetTraffic,
)
from tidegate.domain.rollout import Phase
from tidegate.rollout import desired_state, predicates, progress, rollback, steady_state


@dataclass(frozen=True)
class RolloutDecision:
    """``endpoint`` None: the record is to be removed. ``actions`` are desired states, asked again until seen.
    ``wake_at`` is the next instant at which time alone could change the decision; None: never."""

    endpoint: Endpoint | None
    actions: tuple[Action, ...]
    wake_at: datetime | None
    events: tuple[Event, ...]


def step(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    record, events = endpoint, list[Event]()
    while (move := _next_transition(record, seen, now)) is not None:
        following, said = move
        events += said
        if following is None:
            return RolloutDecision(None, (), None, tuple(events))
        record = desired_state.raise_fence(record, following)
    return RolloutDecision(record, tuple(_actions(record, seen)), _wake_at(record, now), tuple(events))


def _next_transition(
    endpoint: Endpoint, seen: Observation, now: datetime
) -> tuple[Endpoint | None, tuple[Event, ...]] | None:
    rollout = endpoint.rollout
    # Before the record's table is asked for again over the one in force: that one may be the safer.
    if rollout is not None and (turned := progress.adopt_unsaved_rollback(endpoint, rollout, seen, now)):
        return turned
    if (renewed := steady_state.reassert_table(endpoint, seen)) is not None:
        return renewed, ()
    if endpoint.deleting:
        return steady_state.advance_deletion(endpoint, seen)
    if rollout is not None:
        match rollout.phase:
            case Phase.TERMINATING:
                move = progress.terminate(endpoint, rollout, seen, now)
            case Phase.ROLLING_BACK:
                move = rollback.roll_back(endpoint, rollout, seen, now)
            case _:
                move = progress.advance(endpoint, rollout, seen, now)
        if move is not None:
            return move
    elif endpoint.scaling is not None and (
        move := steady_state.advance_capacity_update(endpoint, endpoint.scaling, seen, now)
    ):
        return move
    reweighed = steady_state.apply_weights(endpoint, seen)
    return None if reweighed is None else (reweighed, ())


def _actions(endpoint: Endpoint, seen: Observation) -> Iterator[Action]:
    """Traffic, then capacity, then what may go. While fleets are not seen nothing is asked of them."""
    routed = predicates.is_in_force(endpoint, seen)
    if not routed:
        yield SetTraffic(desired_state.traffic(endpoint))
    if seen.fleets is None:
        return
    specs = desired_state.fleets(endpoint)
    shrinking = any(
        _exceeds(seen.fleets.get(id), spec.count) for id, spec in specs.items() if not spec.variant.shadow
    )
    for id, spec in specs.items():
        found = seen.fleets.get(id)
        if found is not None and _matches(found, spec):
            continue
        if found is not None and found.desired > spec.count and not routed:
            continue  # Nothing shrinks while another table than ours may lead to it.
        if _is_rolling(endpoint) and shrinking and spec.count > (found.desired if found else 0):
            continue  # Rolling: a batch comes when the one it replaces has gone.
        yield EnsureFleet(spec)
    for stray in steady_state.stray_fleets(endpoint, seen):
        yield DeleteFleet(stray)


def _is_rolling(endpoint: Endpoint) -> bool:
    return endpoint.rollout is not None and endpoint.rollout.plan.rolling


def _matches(found: FleetStatus, spec: FleetSpec) -> bool:
    whole = found.desired == spec.count and found.ready + found.starting >= spec.count
    return whole and (found.mirror, found.serverless) == (spec.mirror, spec.variant.serverless)


def _exceeds(fleet: FleetStatus | None, count: int) -> bool:
    return fleet is not None and fleet.ready + fleet.starting + fleet.draining > count


def _wake_at(endpoint: Endpoint, now: datetime) -> datetime | None:
    instants: list[datetime | None] = []
    rollout = endpoint.rollout
    if endpoint.deleting:
        pass
    elif rollout is not None and not rollout.pause:
        instants = [rollout.phase_deadline]
        if rollout.phase not in (Phase.TERMINATING, Phase.ROLLING_BACK):
            instants.append(rollout.expires_at)
        if rollout.phase is Phase.BAKING and not rollout.promote:
            instants.append(rollout.bake_until)
    elif rollout is None and endpoint.scaling is not None:
        instants = [endpoint.scaling.deadline]
    return min((instant for instant in instants if instant is not None and instant > now), default=None)
