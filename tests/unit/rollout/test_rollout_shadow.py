"""What the machine makes of a shadow variant: a fleet of its version's own that counts for nothing once it is up."""

from dataclasses import replace

import pytest

from tests.samples import canary, instances, percent, rolling, version
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Phase, Version
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.digest import digest
from tidegate.rollout.plan import compile_plan
from tidegate.rollout.status import variant_views
from tidegate.simulation.faults import RolloutSide, StartsFail, When, WorldTiming
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import START, World

ONE = 10_000


def created(shadow_weight: float = 1.0, weight: float = 1.0) -> Endpoint:
    wish = VersionRequest(weighed(version("v1", shadow=1), weight, shadow_weight), DeploymentConfig(), START)
    return commands.begin(Endpoint("e", START, START), wish, rollout_id="r", can=Capabilities(), now=START)


def weighed(of: Version, weight: float, shadow: float) -> Version:
    found = tuple(replace(v, weight=shadow if v.shadow else weight) for v in of.variants)
    return replace(of, variants=found)


@pytest.mark.parametrize(
    ("weight", "shadow", "share"),
    [(1.0, 0.2, 2_000), (4.0, 1.0, 2_500), (1.0, 1.0, ONE), (1.0, 3.0, ONE), (3.0, 1.0, 3_333), (1.0, 0.0, 0)],
)
def test_the_share_is_the_weight_over_that_of_the_production_variant(
    weight: float, shadow: float, share: int
) -> None:
    fleets = desired_state.fleets(created(shadow, weight))
    mirror = fleets[FleetId("e", 1, "AllTraffic")].mirror
    assert mirror is not None and (mirror.fleet, mirror.share) == (FleetId("e", 1, "Shadow"), share)
    assert fleets[FleetId("e", 1, "Shadow")].mirror is None


def update(*script: object, config: DeploymentConfig | None = None) -> World:
    return make_updating_world(
        version("v1", shadow=1),
        version("v2", shadow=1),
        config or canary(percent(50), 60, 60),
        physics=WorldTiming(),
        script=script,  # type: ignore[arg-type]
        watchers=(Invariants(),),
    ).run(3600)


def test_each_version_is_copied_to_its_own_shadow_and_the_old_one_goes_with_its_version() -> None:
    world = update()
    assert world.record is not None and world.record.last is not None
    assert world.record.last.phase is Phase.SUCCEEDED
    assert {(id.generation, id.variant) for id in world.target.fleets} == {(2, "AllTraffic"), (2, "Shadow")}
    mirrors = {id: fleet.spec.mirror for id, fleet in world.target.fleets.items()}
    for id, mirror in mirrors.items():
        assert (mirror is None) == (id.variant == "Shadow")
        assert mirror is None or mirror.fleet.generation == id.generation


def test_a_shadow_that_does_not_come_up_turns_the_update_back_before_any_traffic() -> None:
    world = update(StartsFail(When(), RolloutSide.NEW))
    assert world.record is not None and world.record.last is not None
    assert world.record.last.phase is Phase.ROLLED_BACK
    assert "variant AllTraffic" in (world.record.last.reason or "")
    assert "variant Shadow" in (world.record.last.reason or "")


def test_a_shadow_that_is_lost_while_copies_are_compared_is_waited_for_before_the_first_traffic() -> None:
    compared = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED))
    world = make_updating_world(
        version("v1", 2),
        version("v2", 2, shadow=1),
        replace(canary(percent(50), 60, 60), evidence=compared),
        physics=WorldTiming(startups=(200.0,)),
        watchers=(Invariants(),),
    )
    while not (world.record and world.record.rollout and world.record.rollout.phase is Phase.BAKING):
        world.run(world.now + 1)
    assert world.record.rollout.plan.stages[world.record.rollout.stage].share == 0
    shadow = next(fleet for id, fleet in world.target.fleets.items() if id.variant == "Shadow")
    world.target.kill(shadow, 1)
    world.run(world.now + 150)
    assert world.record.rollout is not None and world.record.rollout.phase is Phase.BAKING
    world.run(3600)
    assert world.record.last is not None and world.record.last.phase is Phase.SUCCEEDED


def test_a_scaled_shadow_is_asked_for_and_nothing_waits_for_it() -> None:
    world = update()
    world.target.broken[2] = "no more of these"
    world.do("scale", lambda e, now: commands.scale(e, {"Shadow": VariantChange(weight=0.3, count=3)}, now))
    world.run(world.now + 60)
    record = world.record
    assert record is not None and record.scaling is None and record.failure_reason is None
    fleets = {id.variant: fleet for id, fleet in world.target.fleets.items()}
    assert fleets["Shadow"].desired == 3
    mirror = fleets["AllTraffic"].spec.mirror
    assert mirror is not None and mirror.share == 3_000


def test_a_shadow_is_shown_apart() -> None:
    world = make_updating_world(
        version("v1", shadow=1), version("v2", shadow=1), canary(percent(50), 60, 60), watchers=(Invariants(),)
    )
    world.run(100)
    assert world.record is not None
    found = variant_views(world.record, world.look())
    assert [v.name for v in found.current] == [v.name for v in found.pending] == ["AllTraffic"]
    assert [v.name for v in found.shadows] == [v.name for v in found.pending_shadows] == ["Shadow"]
    assert found.shadows[0].current_weight == 1.0 and found.shadows[0].current_count == 1


def test_a_shadow_counts_in_no_plan_and_decides_no_answer() -> None:
    plain, shaded = version("v2", 4), version("v2", 4, shadow=3)
    for config in (canary(instances(1), 60), rolling(instances(1), 60), canary(percent(20), 60)):
        plans = [compile_plan(version("v1", 4), new, config, Capabilities()) for new in (plain, shaded)]
        assert plans[0] == plans[1]
    assert digest(plain) == digest(shaded)


def test_a_shadow_that_dies_in_mid_bake_holds_nothing_up() -> None:
    calm = update().journal[-1].at
    world = make_updating_world(
        version("v1", shadow=1),
        version("v2", shadow=1),
        canary(percent(50), 60, 60),
        physics=WorldTiming(),
        script=(StartsFail(When(Phase.BAKING), RolloutSide.NEW),),
        watchers=(Invariants(),),
    )
    while not (world.record and world.record.rollout and world.record.rollout.phase is Phase.BAKING):
        world.run(world.now + 1)
    shadow = next(f for id, f in world.target.fleets.items() if id.generation == 2 and id.variant == "Shadow")
    world.target.kill(shadow, 1)
    world.run(3600)
    assert world.record is not None and world.record.last is not None
    assert world.record.last.phase is Phase.SUCCEEDED
    assert world.journal[-1].at <= calm + 1
