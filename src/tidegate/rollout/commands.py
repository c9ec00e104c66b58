"""Commands on an endpoint, as pure functions ``(endpoint, ..., now) -> endpoint``.

Each raises ``Conflict`` if the state forbids it and ``Invalid`` if the request itself is impossible. The caller saves
the record, and the next step continues from it. No stage advances in a command (invariant 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import CapacityUpdate, Endpoint, Pause, Rollout, Successor, VersionRequest
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.fleet import Serverless, VariantSpec
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import BlueGreen, Cause, DeploymentConfig, Phase, RolloutPlan, TrafficRouting, Version
from tidegate.rollout import desired_state, transitions
from tidegate.rollout.digest import digest
from tidegate.rollout.plan import START_UP_MARGIN, compile_plan
from tidegate.rollout.transitions import Transition

FORWARD_PHASES = (Phase.PROVISIONING, Phase.ACTIVATING_TRAFFIC, Phase.BAKING)
"""The phases before the point of no return."""

PAUSED, PROMOTED = "Paused", "Promoted"
"""Condition types that record who paused or promoted, and when."""


@dataclass(frozen=True)
class VariantChange:
    """New weight or instance count of one variant, or new bounds of a serverless one. None: unchanged."""

    weight: float | None = None
    count: int | None = None
    max_concurrency: int | None = None
    provisioned: int | None = None


def begin(
    endpoint: Endpoint,
    request: VersionRequest,
    *,
    rollout_id: str,
    can: Capabilities,
    now: datetime,
    override: bool = False,
    undo: DeploymentConfig | None = None,
) -> Endpoint:
    """Start the first version or an update. The version gets the next generation. ``override`` allows a version that
    an alarm rejected before. ``undo``: it goes back to an earlier version, in this way."""
    _require_usable(endpoint)
    endpoint, _ = end_passed(endpoint, now)
    if endpoint.rollout is not None or endpoint.scaling is not None:
        raise Conflict(
            f"endpoint {endpoint.name} is being updated; wait until it is done, or supersede the update"
        )
    endpoint, request, plan = _prepare(endpoint, request, can, override, undo)
    begun = transitions.start(endpoint, request, plan, rollout_id, now)
    assert begun.rollout is not None
    return replace(begun, rollout=replace(begun.rollout, undo=undo is not None))


def supersede(
    endpoint: Endpoint,
    request: VersionRequest,
    *,
    rollout_id: str,
    can: Capabilities,
    now: datetime,
    override: bool = False,
) -> Endpoint:
    """Like ``begin``; a rollout in progress is rolled back completely first. One that only removes a version's fleets
    ends at once."""
    _require_usable(endpoint)
    endpoint, _ = end_passed(endpoint, now, follows=False)
    rollout = endpoint.rollout
    if rollout is None:
        return begin(endpoint, request, rollout_id=rollout_id, can=can, now=now, override=override)
    if rollout.old is None:
        raise Conflict(
            f"endpoint {endpoint.name} is being created and has no old version to go back to; delete it instead"
        )
    endpoint, request, plan = _prepare(endpoint, request, can, override)
    successor = Successor(rollout_id, request, plan)
    if rollout.phase in FORWARD_PHASES:
        endpoint, _ = transitions.begin_rollback(
            endpoint, Cause.SUPERSEDED, f"superseded by {request.version.config_name}", now
        )
        assert endpoint.rollout is not None
        rollout = endpoint.rollout
    return replace(endpoint, rollout=replace(rollout, successor=successor), modified_at=now)


def pause(endpoint: Endpoint, by: str, now: datetime) -> Endpoint:
    """Stop every clock of the rollout. Alarms still roll it back."""
    rollout = _require_forward(endpoint, "paused")
    if rollout.pause is not None:
        raise Conflict(f"the rollout of {endpoint.name} is already paused, by {rollout.pause.by}")
    rollout = transitions.set_condition(rollout, PAUSED, True, by, now)
    return replace(endpoint, rollout=replace(rollout, pause=Pause(now, by)))


def resume(endpoint: Endpoint, by: str, now: datetime) -> Endpoint:
    """Continue a paused rollout. The time of the pause counts against no deadline."""
    rollout = _require_forward(endpoint, "resumed")
    if rollout.pause is None:
        raise Conflict(f"the rollout of {endpoint.name} is not paused")
    return replace(endpoint, rollout=_clear_pause(rollout, by, now))


def abort(endpoint: Endpoint, by: str, now: datetime) -> Endpoint:
    """Roll back to the old version. A first creation ends as failed; an aborted supersession loses its successor."""
    rollout = _require_rollout(endpoint)
    if rollout.phase is Phase.ROLLING_BACK:
        if rollout.successor is None:
            return endpoint
        reason, _ = transitions.drop_successor(
            rollout, rollout.successor, rollout.reason, f"aborted by {by or 'a person'}"
        )
        return replace(endpoint, rollout=replace(rollout, successor=None, reason=reason))
    if rollout.phase is Phase.TERMINATING:
        raise Conflict(
            f"the rollout of {endpoint.name} is past the point of no return and cannot be aborted: "
            f"{rollout.new.config_name} has all of the traffic; tidegate rollout undo {endpoint.name} goes back"
        )
    rollout = _require_forward(endpoint, "aborted")
    aborted, _ = transitions.begin_rollback(endpoint, Cause.ABORTED, f"aborted by {by or 'a person'}", now)
    return aborted


def promote(endpoint: Endpoint, by: str, now: datetime) -> Endpoint:
    """Skip the bake of the present stage, and resume if paused. The stage still needs capacity, its share observed
    in force and no alarm. Repeating it in the same stage changes nothing: no later stage loses its bake unasked."""
    rollout = _promote(endpoint, by, now)
    return replace(endpoint, rollout=replace(rollout, promoted_stage=rollout.stage))


def promote_fully(endpoint: Endpoint, by: str, now: datetime) -> Endpoint:
    """Like ``promote``, for the present stage and all that follow."""
    return replace(endpoint, rollout=replace(_promote(endpoint, by, now), promote=True))


def replace_failed_creation(
    endpoint: Endpoint, request: VersionRequest, *, rollout_id: str, can: Capabilities, now: datetime
) -> Endpoint:
    """Create again an endpoint whose creation failed, under the next generation. Nothing serves, so nothing is at
    risk; fleets that the failed creation left are removed as strays."""
    if endpoint.deleting or not endpoint.failed or endpoint.serving is not None:
        raise Conflict(f"the creation of endpoint {endpoint.name} has not failed; there is nothing to replace")
    again = replace(endpoint, failed=False, failure_reason=None)
    return begin(again, request, rollout_id=rollout_id, can=can, now=now)


def retry(
    endpoint: Endpoint,
    *,
    by: str = "",
    rollout_id: str,
    override: bool,
    can: Capabilities,
    now: datetime,
    guards: tuple[Alarm, ...] = (),
) -> Endpoint:
    """Roll out again the version that was rolled back last, from its first stage. ``guards``: its alarms as defined
    now."""
    last = endpoint.last
    if last is None or last.phase not in (Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED):
        raise Conflict(
            f"the last rollout of endpoint {endpoint.name} was not rolled back; there is nothing to retry"
        )
    request = VersionRequest(last.new, last.deployment, now, by, guards)
    return begin(endpoint, request, rollout_id=rollout_id, can=can, now=now, override=override)


def scale(endpoint: Endpoint, changes: Mapping[str, VariantChange], now: datetime) -> Endpoint:
    """Set weights and counts in place, on both versions of a rollout. Weights take effect once capacity is ready."""
    _require_usable(endpoint)
    rollout, serving = endpoint.rollout, endpoint.serving
    known = {v.name for version in _versions(endpoint) for v in version.variants}
    if unknown := [name for name in changes if name not in known]:
        raise Invalid(
            f"endpoint {endpoint.name} has no variant {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    after = replace(endpoint, modified_at=now)
    if serving is not None:
        after = replace(after, serving=_apply_changes(serving, changes))
    if endpoint.mixed is not None:
        version = _apply_changes(endpoint.mixed.version, changes)
        after = replace(after, mixed=replace(endpoint.mixed, version=version))
    if rollout is not None:
        old = _apply_changes(rollout.old, changes) if rollout.old else None
        after = replace(after, rollout=replace(rollout, old=old, new=_apply_changes(rollout.new, changes)))
    elif serving is not None:
        before = endpoint.scaling.before if endpoint.scaling and not endpoint.scaling.undoing else serving
        timeout = max(v.download_timeout + v.startup_timeout for v in serving.variants) + START_UP_MARGIN
        after = replace(after, scaling=CapacityUpdate(before, now, now + timedelta(seconds=timeout)), clock=None)
    return desired_state.raise_fence(endpoint, after)


def delete(endpoint: Endpoint, now: datetime, force: bool = False) -> Endpoint:
    """Begin to take traffic off, drain the fleets and remove the record. ``force`` also ends a rollout in
    progress."""
    if endpoint.deleting:
        raise Conflict(f"endpoint {endpoint.name} is already being deleted")
    endpoint, _ = end_passed(endpoint, now)
    if (endpoint.rollout is not None or endpoint.scaling is not None) and not force:
        raise Conflict(f"Cannot update in-progress endpoint {endpoint.name}; wait until its update has ended")
    last = endpoint.last
    if endpoint.rollout is not None:
        reason = "The endpoint was deleted."
        last = replace(
            endpoint.rollout, phase=Phase.FAILED, cause=Cause.ABORTED, reason=reason, ended_at=now, successor=None
        )
    gone = replace(endpoint, deleting=True, rollout=None, scaling=None, last=last, modified_at=now)
    return desired_state.raise_fence(endpoint, gone)


def _require_usable(endpoint: Endpoint) -> None:
    if endpoint.deleting:
        raise Conflict(f"endpoint {endpoint.name} is being deleted")
    if endpoint.failed:
        raise Conflict(f"endpoint {endpoint.name} could not be created: deploy it again, or delete it")


def end_passed(endpoint: Endpoint, now: datetime, follows: bool = True) -> Transition:
    """The endpoint without a rollout of which nothing is left but a holdback, unless somebody paused it, or fleets
    that are ending: they lock nothing, and the steady-state rules go on removing them. ``follows``: whether the
    successor of a rollout that was rolled back starts."""
    rollout = endpoint.rollout
    if rollout is not None and rollout.holds_back and not rollout.pause:
        return transitions.end_holdback(endpoint, now)
    if rollout is not None and rollout.phase is Phase.TERMINATING:
        return transitions.succeed(endpoint, now)
    if rollout is not None and rollout.phase is Phase.ROLLING_BACK and rollout.back_stage == len(rollout.back):
        left = rollout if follows else replace(rollout, successor=None)
        return transitions.finish_rollback(replace(endpoint, rollout=left), now)
    return endpoint, ()


def _promote(endpoint: Endpoint, by: str, now: datetime) -> Rollout:
    rollout = _require_forward(endpoint, "promoted")
    if rollout.pause is not None:
        rollout = _clear_pause(rollout, by, now)
    return transitions.set_condition(rollout, PROMOTED, True, by, now)


def _require_rollout(endpoint: Endpoint) -> Rollout:
    if endpoint.rollout is None:
        raise Conflict(f"endpoint {endpoint.name} has no rollout under way")
    return endpoint.rollout


def _require_forward(endpoint: Endpoint, what: str) -> Rollout:
    rollout = _require_rollout(endpoint)
    if rollout.phase is Phase.ROLLING_BACK:
        raise Conflict(f"the rollout of {endpoint.name} is already rolling back and cannot be {what}")
    if rollout.phase is Phase.TERMINATING:
        raise Conflict(f"the rollout of {endpoint.name} is past the point of no return and cannot be {what}")
    return rollout


def _prepare(
    endpoint: Endpoint,
    request: VersionRequest,
    can: Capabilities,
    override: bool,
    undo: DeploymentConfig | None = None,
) -> tuple[Endpoint, VersionRequest, RolloutPlan]:
    """Assign the generation and compile the plan. A mix is replaced all at once, whatever was requested: no complete
    old version exists that part of the traffic could stay on."""
    if not override and digest(request.version) in endpoint.rejected:
        raise Conflict(
            f"an alarm, a comparison or a replay rolled {request.version.config_name} back on endpoint"
            f" {endpoint.name} before;"
            " override to roll it out all the same"
        )
    generation = endpoint.generation + 1
    version = replace(request.version, generation=generation)
    deployment = undo or request.deployment
    deployment = _all_at_once(deployment) if endpoint.mixed else deployment
    plan = compile_plan(endpoint.serving, version, deployment, can)
    return replace(endpoint, generation=generation), replace(request, version=version), plan


def _all_at_once(deployment: DeploymentConfig) -> DeploymentConfig:
    wait = deployment.blue_green.termination_wait if deployment.blue_green else 0
    return replace(
        deployment,
        blue_green=BlueGreen(TrafficRouting.ALL_AT_ONCE, termination_wait=wait),
        rolling=None,
        evidence=None,
        holdback=None,
        stick="",
    )


def _clear_pause(rollout: Rollout, by: str, now: datetime) -> Rollout:
    assert rollout.pause is not None
    away = now - rollout.pause.since

    def shift(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + away

    return replace(
        transitions.set_condition(rollout, PAUSED, False, by, now),
        pause=None,
        phase_deadline=shift(rollout.phase_deadline),
        bake_until=shift(rollout.bake_until),
        unrouted_since=shift(rollout.unrouted_since),
        expires_at=shift(rollout.expires_at),
    )


def _versions(endpoint: Endpoint) -> list[Version]:
    sides = [endpoint.serving]
    if endpoint.rollout is not None:
        sides += [endpoint.rollout.old, endpoint.rollout.new]
    return [side for side in sides if side is not None]


def _apply_changes(version: Version, changes: Mapping[str, VariantChange]) -> Version:
    variants = []
    for variant in version.variants:
        change = changes.get(variant.name, VariantChange())
        weight = variant.weight if change.weight is None else change.weight
        count = variant.instance_count if change.count is None else change.count
        if weight < 0 or count < 0:
            raise Invalid(f"variant {variant.name}: weight and instance count must be 0 or more")
        bounds = _change_concurrency(variant, change)
        variants.append(replace(variant, weight=weight, instance_count=count, serverless=bounds))
    changed = replace(version, variants=tuple(variants))
    if not any(changed.weights.values()):
        raise Invalid(f"{version.config_name} would be left without a variant that takes requests")
    return changed


def _change_concurrency(variant: VariantSpec, change: VariantChange) -> Serverless | None:
    """New bounds of a serverless variant. Raises Invalid for a change that applies to the other kind of variant."""
    now = variant.serverless
    if now is None:
        if change.max_concurrency is not None or change.provisioned is not None:
            raise Invalid(f"variant {variant.name} is not serverless: it has instances, not a concurrency")
        return None
    if change.count is not None:
        raise Invalid(f"variant {variant.name} is serverless: it has a concurrency, not instances")
    most = now.max_concurrency if change.max_concurrency is None else change.max_concurrency
    kept = now.provisioned if change.provisioned is None else change.provisioned
    if not 0 <= kept <= most:
        raise Invalid(
            f"variant {variant.name}: a provisioned concurrency of {kept} must not exceed MaxConcurrency, {most}"
        )
    return replace(now, max_concurrency=most, provisioned=kept)
