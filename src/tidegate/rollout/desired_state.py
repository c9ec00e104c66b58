"""Desired state of an endpoint, derived from its record alone: fleets and route table."""

from collections.abc import Iterator
from dataclasses import replace

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.evidence import OF_PAIRS, Comparison
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring, Pairing, VariantSpec
from tidegate.domain.rollout import Phase, RolloutStage, Version
from tidegate.domain.traffic import WHOLE, RouteTable, Stickiness, build_route_table

FleetSpecs = dict[FleetId, FleetSpec]


def current_stage(rollout: Rollout) -> RolloutStage:
    """The stage that the rollout is in or moving to."""
    if rollout.phase is Phase.TERMINATING:
        return RolloutStage(WHOLE, 0, WHOLE, 0)
    if rollout.phase is Phase.ROLLING_BACK:
        if rollout.back_stage < len(rollout.back):
            return rollout.back[rollout.back_stage]
        return RolloutStage(0, 0, 0, WHOLE)
    return rollout.plan.stages[rollout.stage]


def fleets(endpoint: Endpoint) -> FleetSpecs:
    """Every fleet that should exist, with its count. A version with part 0 has no fleet."""
    wanted: FleetSpecs = {}
    for version, part in _parts(endpoint):
        if part:
            wanted.update(version_fleets(endpoint.name, version, part))
    for id, pairing in _pairings(endpoint):
        if id in wanted and pairing.fleet in wanted:
            wanted[id] = replace(wanted[id], paired=pairing)
    return wanted


def _pairings(endpoint: Endpoint) -> Iterator[tuple[FleetId, Pairing]]:
    """In the stages of a rollout that compares pairs, the new version answers copies of the old one's requests. Not
    before it is ready: copies that found no replica would count as its failures."""
    rollout = endpoint.rollout
    if rollout is None or rollout.old is None or rollout.phase not in (Phase.ACTIVATING_TRAFFIC, Phase.BAKING):
        return
    config = rollout.plan.evidence
    if config is None or OF_PAIRS.isdisjoint(config.compare):
        return
    names = {variant.name for variant in rollout.new.production}
    for variant in rollout.old.production:
        if variant.name in names:
            new = FleetId(endpoint.name, rollout.new.generation, variant.name)
            pairing = Pairing(
                new,
                config.slices,
                Comparison.FEATURES in config.compare,
                Comparison.JUDGE in config.compare,
            )
            yield FleetId(endpoint.name, rollout.old.generation, variant.name), pairing


def _parts(endpoint: Endpoint) -> Iterator[tuple[Version, int]]:
    if endpoint.deleting:
        return
    rollout, mixed = endpoint.rollout, endpoint.mixed
    part = WHOLE
    if rollout:
        stage = current_stage(rollout)
        part = stage.old_part
        yield rollout.new, stage.new_part
    if endpoint.serving:
        yield endpoint.serving, min(part, mixed.serving_part) if mixed else part
    if mixed:
        yield mixed.version, min(part, mixed.part)


def version_fleets(endpoint: str, version: Version, part: int) -> Iterator[tuple[FleetId, FleetSpec]]:
    """Those of one version of which so many basis points run."""
    counts = version.counts(part)
    for variant in version.variants:
        id = FleetId(endpoint, version.generation, variant.name)
        mirror = _mirroring(endpoint, version, variant)
        yield id, FleetSpec(id, version.config_name, variant, counts[variant.name], mirror)


def _mirroring(endpoint: str, version: Version, variant: VariantSpec) -> Mirroring | None:
    """A version's requests are copied to its own shadow. The share is the shadow's weight over the variant's, at most
    all."""
    shadow = version.shadow
    if shadow is None or variant.shadow:
        return None
    share = WHOLE
    if not shadow.weight or not shadow.instance_count:
        share = 0
    elif shadow.weight < variant.weight:
        share = round(WHOLE * shadow.weight / variant.weight)
    return Mirroring(FleetId(endpoint, version.generation, shadow.name), share)


def traffic(endpoint: Endpoint) -> RouteTable:
    """The desired route table, as decided last."""
    return endpoint.traffic or RouteTable(endpoint.name, 0)


def new_share(endpoint: Endpoint) -> int:
    """Desired share of the rollout's new version, in basis points."""
    return traffic(endpoint).share_of(endpoint.rollout.new.generation) if endpoint.rollout else 0


def build_table(endpoint: Endpoint, share: int) -> RouteTable:
    """Table that gives ``share`` to the new version and the rest to what serves now. Its fence is not set yet."""
    sides = []
    rest = WHOLE - share
    if share and endpoint.rollout:
        sides.append((endpoint.rollout.new.generation, share, endpoint.rollout.new.weights))
    if endpoint.mixed and not endpoint.deleting:
        beside = rest * endpoint.mixed.share // WHOLE
        rest -= beside
        sides.append((endpoint.mixed.version.generation, beside, endpoint.mixed.version.weights))
    if endpoint.serving and not endpoint.deleting:
        sides.append((endpoint.serving.generation, rest, endpoint.serving.weights))
    stick = find_stickiness(endpoint.rollout) if share and endpoint.rollout else None
    return build_route_table(endpoint.name, 0, (side for side in sides if side[1]), stick)


def find_stickiness(rollout: Rollout) -> Stickiness | None:
    """How the rollout's clients stay on one version; None: chance assigns each request."""
    if not rollout.plan.stick:
        return None
    stage = rollout.stage
    floor = rollout.plan.stages[stage - 1].share if stage else 0
    return Stickiness(rollout.plan.stick, rollout.id, floor)


def counted_share(rollout: Rollout) -> int:
    """The share of what a comparison counts that the present stage gives to the new version, in basis points. Where
    clients stay, these are the clients that are not on the new version since the stage before."""
    stick, share = find_stickiness(rollout), rollout.plan.stages[rollout.stage].share
    floor = 0 if stick is None else stick.floor
    return (share - floor) * WHOLE // max(1, WHOLE - floor)


def has_same_routes(one: RouteTable, other: RouteTable) -> bool:
    """Whether two tables differ in their fences at most."""
    return replace(one, fence=0) == replace(other, fence=0)


def route(endpoint: Endpoint, share: int) -> Endpoint:
    """Set the desired share of the new version. A changed table gets the next fence, so that the router drops older
    ones that are still on their way."""
    wanted = build_table(endpoint, share)
    if has_same_routes(wanted, traffic(endpoint)):
        return endpoint
    fence = endpoint.fence + 1
    return replace(endpoint, fence=fence, traffic=replace(wanted, fence=fence))


def raise_fence(before: Endpoint, after: Endpoint) -> Endpoint:
    """Give a change of desired capacity a fence of its own, so that a late, older request cannot undo a newer one."""
    if after.fence == before.fence and fleets(after) != fleets(before):
        return replace(after, fence=after.fence + 1)
    return after
