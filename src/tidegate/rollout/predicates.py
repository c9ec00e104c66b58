"""Predicates over an observation. None means not observed; every predicate is False for what was not observed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SIGNALS
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.rollout import RolloutPlan, Version
from tidegate.rollout import desired_state

MAX_EVIDENCE_AGE = timedelta(seconds=5)
"""Maximum age of the last round of collecting and judging for advancing. Rounds run once a second; an older one was
made before a gap: the controller was stopped, or its rounds fail."""


def has_fresh_evidence(rollout: Rollout, seen: Observation, now: datetime) -> bool:
    """Whether everything that advancing depends on was observed, and recently. A first version replaces nothing and
    needs no evidence."""
    if seen.fleets is None or seen.routes is None or (rollout.plan.alarms and seen.alarms is None):
        return False
    if any(fleet.missing for fleet in seen.fleets.values()):
        return False
    return rollout.old is None or (
        seen.guard_check is not None and abs(now - seen.guard_check.judged_at) <= MAX_EVIDENCE_AGE
    )


def has_evidence_through(rollout: Rollout, seen: Observation, until: datetime) -> bool:
    """Whether verdicts reach ``until``: requests before it say nothing about those that follow."""
    return rollout.old is None or (seen.guard_check is not None and seen.guard_check.through >= until)


def has_coverage_gap(rollout: Rollout, seen: Observation) -> bool:
    """Whether some requests of this bake were never counted, so that verdicts do not cover all of it. Counts are by
    the second."""
    since = rollout.phase_since
    guarded = rollout.plan.alarms or rollout.plan.evidence is not None
    if rollout.old is None or not guarded or seen.guard_check is None or since is None:
        return False
    return seen.guard_check.since > since + timedelta(seconds=1)


@dataclass(frozen=True)
class ResponseCounts:
    """Response counts of a version; None: unknown."""

    answered: int | None
    failed: int
    in_flight: int


def count_responses(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> ResponseCounts:
    """Responses of the new version since the first count of this bake. A controller that started later counts from
    its own start."""
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
    """Whether the table is in force *by our own latest write*. Equal routes are not enough: an older write of the
    same routes may still be followed by another. An endpoint without routes has no fence to compare."""
    table = desired_state.traffic(endpoint)
    if seen.routes is None or set(seen.routes.routes) != set(table.routes):
        return False
    return seen.routes.fence == table.fence or not (table.routes or table.targets or seen.routes.targets)


def is_ready(endpoint: Endpoint, version: Version, part: int, seen: Observation, *, shadow: bool = False) -> bool:
    """Whether every variant of this part of the version has its desired count and is ready. ``shadow`` includes the
    shadow variant."""
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
    """Variants that take requests and have no ready replica. Empty if the fleets were not observed."""
    if seen.fleets is None:
        return []
    found = []
    scaled_to_zero = {v.name for v in version.production if not v.instance_count}
    for variant, weight in version.weights.items():
        fleet = _fleet(endpoint, version, variant, seen)
        if weight and variant not in scaled_to_zero and (fleet is None or fleet.ready == 0):
            found.append(variant)
    return found


def had_ready_replica(endpoint: Endpoint, version: Version, variants: list[str], seen: Observation) -> bool:
    """Whether one of these variants had a ready replica since this controller started to watch it; a fleet that is
    gone had one."""
    fleets = [_fleet(endpoint, version, name, seen) for name in variants]
    return any(fleet is None or fleet.was_ready for fleet in fleets)


def failures(endpoint: Endpoint, version: Version, seen: Observation, *, shadow: bool = False) -> dict[str, str]:
    """Variants whose replicas fail to start, and why. ``shadow`` includes the shadow variant."""
    found = {}
    for variant in version.variants if shadow else version.production:
        fleet = _fleet(endpoint, version, variant.name, seen)
        if fleet is not None and fleet.failure is not None:
            found[variant.name] = fleet.failure.rstrip(".")  # it becomes part of a sentence
    return found


def has_only_desired_fleets(endpoint: Endpoint, seen: Observation) -> bool:
    """Whether only desired fleets are left."""
    return seen.fleets is not None and not seen.fleets.keys() - desired_state.fleets(endpoint).keys()


def firing_alarms(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms of the plan that roll it back."""
    found = (name for name in plan.alarms if (seen.alarms or {}).get(name) is AlarmState.ALARM)
    return [name for name in found if name not in seen.from_before]


def alarms_from_before(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms of the plan that hold it, since their data are of before the rollout."""
    return [name for name in plan.alarms if name in seen.from_before]


def missing_alarms(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms of the plan that were deleted."""
    if seen.alarms is None:
        return []
    return [name for name in plan.alarms if name not in seen.alarms or name in seen.deleted]


def alarms_without_data(rollout: Rollout, seen: Observation) -> list[str]:
    """Alarms that composite guards of the rollout depend on, and that have no data: CloudWatch takes them for alarms
    that are not in ALARM, but a rollout does not go on because of data that it does not have."""
    return alarm_rule.undecided_by(rollout.guards, seen.alarms or {}, rollout.plan.alarms)


def alarms_not_ok(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms of the plan that are not known to be OK."""
    return [name for name in plan.alarms if (seen.alarms or {}).get(name) is not AlarmState.OK]


def alarms_awaited(rollout: Rollout, seen: Observation) -> list[str]:
    """Alarms that the rollout waits for until they are OK. Data of the platform are missing where no request comes,
    which holds a rollout only if its plan says so; a signal that cannot be read is a guard that is off."""
    found = dict.fromkeys((*alarms_not_ok(rollout.plan, seen), *alarms_without_data(rollout, seen)))
    signals = {guard.name for guard in rollout.guards if guard.namespace == SIGNALS}
    return [name for name in found if rollout.plan.require_evidence or name in signals]


def signals_awaited(seen: Observation, until: datetime) -> list[str]:
    """Alarms that are OK by readings of their signals that end before ``until``."""
    read = {} if seen.guard_check is None else seen.guard_check.read_through
    return sorted(name for name, through in read.items() if through < until)


def _fleet(endpoint: Endpoint, version: Version, variant: str, seen: Observation) -> FleetStatus | None:
    """Fleet of one variant; None if it is gone or was not observed."""
    return (seen.fleets or {}).get(FleetId(endpoint.name, version.generation, variant))
