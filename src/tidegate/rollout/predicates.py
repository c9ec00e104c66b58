"""Questions to an observation. None means unseen, and unseen answers every question with no."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.rollout import RolloutPlan, Version
from tidegate.rollout import desired_state

MAX_EVIDENCE_AGE = timedelta(seconds=5)
"""How old the last round of collecting and judging may be for a step forward to rest on it. A round is made each
second; what is older was made before a gap: a controller that was stopped, or whose rounds fail."""


def has_fresh_evidence(rollout: Rollout, seen: Observation, now: datetime) -> bool:
    """Whether all that a step forward rests on was seen, and lately. A first version has nothing to lose and waits
    for no evidence."""
    if seen.fleets is None or seen.routes is None or (rollout.plan.alarms and seen.alarms is None):
        return False
    return rollout.old is None or (
        seen.evidence is not None and abs(now - seen.evidence.judged_at) <= MAX_EVIDENCE_AGE
    )


def has_evidence_through(rollout: Rollout, seen: Observation, until: datetime) -> bool:
    """Whether what was judged reaches up to ``until``: later requests say nothing of an earlier end, but earlier
    ones nothing of a later."""
    return rollout.old is None or (seen.evidence is not None and seen.evidence.through >= until)


def has_coverage_gap(rollout: Rollout, seen: Observation) -> bool:
    """Whether requests of this bake were never counted: verdicts on it rest on less than all of it. Counts are by
    the second."""
    since = rollout.phase_since
    if rollout.old is None or not rollout.plan.alarms or seen.evidence is None or since is None:
        return False
    return seen.evidence.since > since + timedelta(seconds=1)


@dataclass(frozen=True)
class ResponseCounts:
    """What a version made of its requests; None: not known."""

    answered: int | None
    failed: int
    in_flight: int


def count_responses(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> ResponseCounts:
    """Of the new version, since the first count of this bake. A controller that came later counts from its start."""
    version = rollout.new
    fleets = [
        fleet for one in version.production if (fleet := _fleet(endpoint, version, one.name, seen)) is not None
    ]
    known = [fleet.answered for fleet in fleets if fleet.answered is not None]
    answered, failed = sum(known), sum(fleet.failed or 0 for fleet in fleets)
    before = rollout.answers_before or (0, 0)
    if answered >= before[0] and failed >= before[1]:
        answered, failed = answered - before[0], failed - before[1]
    return ResponseCounts(
        answered if known else None,
        failed,
        sum(fleet.in_flight or 0 for fleet in fleets),
    )


def is_in_force(endpoint: Endpoint, seen: Observation) -> bool:
    """Whether the table is in force *by our own latest write*. The fence names the content; an endpoint without
    routes has no fence to show."""
    table = desired_state.traffic(endpoint)
    if seen.routes is None or set(seen.routes.routes) != set(table.routes):
        return False
    return seen.routes.fence == table.fence or not (table.routes or table.targets or seen.routes.targets)


def is_ready(endpoint: Endpoint, version: Version, part: int, seen: Observation, *, shadow: bool = False) -> bool:
    """Whether this part of the version is there as wanted and takes requests, each variant of it; the shadow
    variant only where it is asked for."""
    if seen.fleets is None:
        return False
    counts = version.counts(part)
    for variant in version.variants if shadow else version.production:
        count = counts[variant.name]
        fleet = _fleet(endpoint, version, variant.name, seen)
        if fleet is None or fleet.desired != count or fleet.ready < count:
            return False
    return True


def find_dead_variants(endpoint: Endpoint, version: Version, seen: Observation) -> list[str]:
    """Variants that take requests and have not one ready replica. Empty when the fleets are not seen."""
    if seen.fleets is None:
        return []
    has_only_desired_fleets = []
    asleep = {v.name for v in version.production if not v.instance_count}
    for variant, weight in version.weights.items():
        fleet = _fleet(endpoint, version, variant, seen)
        if weight and variant not in asleep and (fleet is None or fleet.ready == 0):
            has_only_desired_fleets.append(variant)
    return has_only_desired_fleets


def had_ready_replica(endpoint: Endpoint, version: Version, variants: list[str], seen: Observation) -> bool:
    """Whether one of these variants had a ready replica since the controller follows it; a fleet that is gone had."""
    fleets = [_fleet(endpoint, version, name, seen) for name in variants]
    return any(fleet is None or fleet.was_ready for fleet in fleets)


def failures(endpoint: Endpoint, version: Version, seen: Observation, *, shadow: bool = False) -> dict[str, str]:
    """Variants whose replicas do not come up, and why; the shadow variant only where it is asked for."""
    found = {}
    for variant in version.variants if shadow else version.production:
        fleet = _fleet(endpoint, version, variant.name, seen)
        if fleet is not None and fleet.failure is not None:
            found[variant.name] = fleet.failure.rstrip(".")  # it becomes part of a sentence
    return found


def has_only_desired_fleets(endpoint: Endpoint, seen: Observation) -> bool:
    """Whether no fleet is left but those that are wanted."""
    return seen.fleets is not None and not seen.fleets.keys() - desired_state.fleets(endpoint).keys()


def firing_alarms(plan: RolloutPlan, seen: Observation) -> list[str]:
    return [name for name in plan.alarms if (seen.alarms or {}).get(name) is AlarmState.ALARM]


def missing_alarms(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms that were deleted."""
    if seen.alarms is None:
        return []
    return [name for name in plan.alarms if name not in seen.alarms or name in seen.deleted]


def alarms_not_ok(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms that are not seen OK."""
    return [name for name in plan.alarms if (seen.alarms or {}).get(name) is not AlarmState.OK]


def _fleet(endpoint: Endpoint, version: Version, variant: str, seen: Observation) -> FleetStatus | None:
    """Of one variant; None where it is gone or was not seen."""
    return (seen.fleets or {}).get(FleetId(endpoint.name, version.generation, variant))
