"""Questions to an observation. None means unseen, and unseen answers every question with no."""

from tidegate.model.alarm import AlarmState
from tidegate.model.endpoint import Endpoint
from tidegate.model.fleet import FleetId
from tidegate.model.observe import Observation
from tidegate.model.rollout import RolloutPlan, Version
from tidegate.rollout import wanted


def sighted(plan: RolloutPlan, seen: Observation) -> bool:
    """Whether all that a step forward rests on could be seen."""
    return seen.fleets is not None and seen.routes is not None and not (plan.alarms and seen.alarms is None)


def in_force(endpoint: Endpoint, seen: Observation) -> bool:
    """Whether the table is in force *by our own latest write*. The fence names the content; an endpoint without
    routes has no fence to show."""
    table = wanted.traffic(endpoint)
    if seen.routes is None or set(seen.routes.routes) != set(table.routes):
        return False
    return seen.routes.fence == table.fence or not (table.routes or table.targets or seen.routes.targets)


def ready(endpoint: Endpoint, version: Version, part: int, seen: Observation, *, shadow: bool = False) -> bool:
    """Whether this part of the version is there as wanted and takes requests, each variant of it; the shadow
    variant only where it is asked for."""
    if seen.fleets is None:
        return False
    counts = version.counts(part)
    for variant in version.variants if shadow else version.production:
        count = counts[variant.name]
        fleet = seen.fleets.get(FleetId(endpoint.name, version.generation, variant.name))
        if fleet is None or fleet.desired != count or fleet.ready < count:
            return False
    return True


def dead(endpoint: Endpoint, version: Version, seen: Observation) -> list[str]:
    """Variants that take requests and have not one ready replica. Empty when the fleets are not seen."""
    if seen.fleets is None:
        return []
    gone = []
    asleep = {v.name for v in version.production if not v.instance_count}
    for variant, weight in version.weights.items():
        fleet = seen.fleets.get(FleetId(endpoint.name, version.generation, variant))
        if weight and variant not in asleep and (fleet is None or fleet.ready == 0):
            gone.append(variant)
    return gone


def failures(endpoint: Endpoint, version: Version, seen: Observation, *, shadow: bool = False) -> dict[str, str]:
    """Variants whose replicas do not come up, and why; the shadow variant only where it is asked for."""
    found = {}
    for variant in version.variants if shadow else version.production:
        fleet = (seen.fleets or {}).get(FleetId(endpoint.name, version.generation, variant.name))
        if fleet is not None and fleet.failure is not None:
            found[variant.name] = fleet.failure.rstrip(".")  # it becomes part of a sentence
    return found


def gone(endpoint: Endpoint, seen: Observation) -> bool:
    """Whether no fleet is left but those that are wanted."""
    return seen.fleets is not None and not seen.fleets.keys() - wanted.fleets(endpoint).keys()


def firing(plan: RolloutPlan, seen: Observation) -> list[str]:
    return [name for name in plan.alarms if (seen.alarms or {}).get(name) is AlarmState.ALARM]


def missing(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms that were deleted: they count as INSUFFICIENT_DATA."""
    return [] if seen.alarms is None else [name for name in plan.alarms if name not in seen.alarms]


def lacking(plan: RolloutPlan, seen: Observation) -> list[str]:
    """Alarms that are not seen OK."""
    return [name for name in plan.alarms if (seen.alarms or {}).get(name) is not AlarmState.OK]
