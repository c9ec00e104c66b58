"""The state machine of an endpoint: one pure function over its whole life.

    creation     Provisioning -> ActivatingTraffic -> Baking(0) -> Succeeded | Failed
    update       Provisioning -> (ActivatingTraffic -> Baking)* -> Terminating -> Succeeded
                 before Terminating, the point of no return, also -> RollingBack -> RolledBack | RollbackFailed
    steady       repair, scaling in place, strays; deleting -> gone

A rule returns a record and never acts. Actions are derived from the record and from what is observed already. The
caller reads ``now`` once and saves the record before it acts (invariant 9: every transition is journaled before its
effect). Rules are applied until none applies, so ``step`` is a fixpoint: with the same inputs it changes nothing in
its own result. Invariants are numbered as in docs/dev/rollout-machine.md.
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
from tidegate.rollout import advance, desired_state, evidence_rule, predicates, rollback, steady_state


@dataclass(frozen=True)
class RolloutDecision:
    """``endpoint`` is None if the record is to be removed. ``actions`` are desired states, requested again until they
    are observed. ``wake_at`` is the next time at which time alone could change the decision; None: never."""

    endpoint: Endpoint | None
    actions: tuple[Action, ...]
    wake_at: datetime | None
    events: tuple[Event, ...]


def step(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    record, events = endpoint, list[Event]()
    while (move := _next_transition(record, seen, now)) is not None:
        following, new_events = move
        events += new_events
        if following is None:
            return RolloutDecision(None, (), None, tuple(events))
        record = desired_state.raise_fence(record, following)
    return RolloutDecision(record, tuple(_actions(record, seen)), _wake_at(record, now), tuple(events))


def _next_transition(
    endpoint: Endpoint, seen: Observation, now: datetime
) -> tuple[Endpoint | None, tuple[Event, ...]] | None:
    rollout = endpoint.rollout
    # Before our table is reasserted: the newer one in force may be an unsaved rollback, which must not be undone.
    if rollout is not None and (rollback_begun := advance.adopt_unsaved_rollback(endpoint, rollout, seen, now)):
        return rollback_begun
    if (renewed := steady_state.reassert_table(endpoint, seen)) is not None:
        return renewed, ()
    if endpoint.deleting:
        return steady_state.advance_deletion(endpoint, seen)
    if rollout is not None:
        match rollout.phase:
            case Phase.TERMINATING:
                move = advance.terminate(endpoint, rollout, seen, now)
            case Phase.ROLLING_BACK:
                move = rollback.roll_back(endpoint, rollout, seen, now)
            case _:
                move = advance.advance(endpoint, rollout, seen, now)
        if move is not None:
            return move
    elif endpoint.scaling is not None and (
        move := steady_state.advance_capacity_update(endpoint, endpoint.scaling, seen, now)
    ):
        return move
    reweighed = steady_state.apply_weights(endpoint, seen)
    return None if reweighed is None else (reweighed, ())


def _actions(endpoint: Endpoint, seen: Observation) -> Iterator[Action]:
    """Traffic first, then capacity, then removals. Fleets that were not observed get no action: unknown never
    advances and never deletes."""
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
            continue  # Invariant 3: no fleet shrinks while a table other than ours may route to it.
        if _is_rolling(endpoint) and shrinking and spec.count > (found.desired if found else 0):
            continue  # Rolling has no spare capacity: a batch starts once the one it replaces has gone.
        yield EnsureFleet(spec)
    for stray in steady_state.stray_fleets(endpoint, seen):
        yield DeleteFleet(stray)


def _is_rolling(endpoint: Endpoint) -> bool:
    return endpoint.rollout is not None and endpoint.rollout.plan.rolling


def _matches(found: FleetStatus, spec: FleetSpec) -> bool:
    whole = found.desired == spec.count and found.ready + found.starting >= spec.count
    return (
        not found.missing
        and whole
        and (found.mirror, found.paired, found.serverless)
        == (
            *(spec.mirror, spec.paired),
            spec.variant.serverless,
        )
    )


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
        if rollout.phase is Phase.BAKING and not rollout.skips_bake:
            instants.append(rollout.bake_until)
        instants.append(evidence_rule.deadline(rollout))
    elif rollout is None and endpoint.scaling is not None:
        instants = [endpoint.scaling.deadline]
    return min((instant for instant in instants if instant is not None and instant > now), default=None)
