"""Autoscaling in the middle of rollouts: it goes on in bakes, moves no stage and takes no capacity from traffic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.property import rollout_worlds as worlds
from tests.property.rollout_worlds import Setting
from tests.samples import canary, percent, version
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.rollout import Phase
from tidegate.domain.scaling import (
    Dimension,
    FastPolicy,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    VariantLoad,
)
from tidegate.features.autoscaling.decide import decide
from tidegate.features.autoscaling.observation import read_counts, variant_fleets
from tidegate.rollout import commands
from tidegate.rollout.commands import VariantChange
from tidegate.simulation.faults import WorldTiming
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import START, World

VARIANT = "AllTraffic"
EVERY = 10.0
"""Seconds between two looks of the autoscaler."""
RULE = FastPolicy("fast", in_flight=2.0, smoothing=0.0, scale_in_window=30.0)


Scale = Callable[[Endpoint, Mapping[str, VariantChange], datetime], Endpoint]


@dataclass
class Autoscaler:
    """What the controller's scaling loop does, on the world's clock."""

    target: ScalableTarget
    state: ScalerState
    scale: Scale = commands.scale
    changes: int = 0
    in_bakes: int = 0

    def look(self, world: World, busy: float) -> None:
        """``busy``: requests at one time. A change is a command of its own, where the rollout allows it."""
        record = world.record
        assert record is not None
        found = read_counts(record, self.target, world.look())
        if found.desired is None:
            return
        load = VariantLoad(busy, 0.0, busy * 10, 0.1)
        seen = ScalingObservation(found.desired, found.ready, found.busy, load=load)
        now = world.instant()
        decision = decide(self.target, [RULE], (), self.state, seen, now, activity_id=f"a{world.now}")
        self.state = decision.state
        if decision.desired == found.desired:
            return
        before = place(record)
        world.do("scale", lambda e, now: self.scale(e, {VARIANT: VariantChange(count=decision.desired)}, now))
        assert world.record is not None and place(world.record) == before, "no stage moves with a count"
        sizes = {spec.variant.instance_count for spec in variant_fleets(world.record, VARIANT)}
        assert sizes == {decision.desired}, "both sides are scaled"
        self.changes += 1
        self.in_bakes += record.rollout is not None and record.rollout.phase is Phase.BAKING


def place(endpoint: Endpoint) -> tuple[object, ...]:
    """Where a rollout stands and who gets which part of the traffic."""
    rollout, shares = endpoint.rollout, endpoint.traffic.routes if endpoint.traffic else ()
    return (rollout and (rollout.id, rollout.phase, rollout.stage, rollout.bake_until), shares)


def scaled(setting: Setting, busy: list[float], scale: Scale = commands.scale) -> tuple[World, Autoscaler]:
    """Each load holds for two minutes, the last one until the end."""
    world = setting.world(Invariants())
    target = ScalableTarget(world.name, VARIANT, Dimension.INSTANCES, 1, 8, START)
    scaler = Autoscaler(target, ScalerState(), scale)
    looks = 0
    while not (worlds.ended(world) and scaler.state.running is None and looks > len(busy) * 12 + 20):
        world.run(looks * EVERY)
        world.timeline.now = max(world.now, looks * EVERY)
        scaler.look(world, busy[min(len(busy) - 1, int(looks * EVERY / 120))])
        looks += 1
        assert looks < 40_000, "it ends"
    world.run(world.now + 600)  # the last change in place has its end, too
    return world, scaler


@given(
    worlds.settings(worlds.deaths), st.lists(st.sampled_from([0.5, 3.0, 7.0, 14.0, 30.0]), min_size=1, max_size=8)
)
def test_scaling_goes_on_during_bakes_and_moves_no_stage(setting: Setting, busy: list[float]) -> None:
    setting = replace(setting, deployment=replace(setting.deployment, execution_timeout=None))
    world, scaler = scaled(setting, busy)
    event("scaled in a bake" if scaler.in_bakes else "scaled" if scaler.changes else "not scaled")
    worlds.the_end_is_as_told(world)
    assert world.refused == []


CANARY = Setting(version("v1", 2), version("v2", 2), canary(percent(50), 600, 60), WorldTiming(), ())


def test_a_canary_is_scaled_out_and_in_while_it_bakes() -> None:
    world, scaler = scaled(CANARY, [3.0, 14.0, 14.0, 3.0])
    assert scaler.in_bakes >= 2
    for entry in world.journal:
        rollout = entry.record.rollout if entry.record else None
        if entry.command == "scale" and rollout is not None and rollout.old is not None:
            assert [v.instance_count for v in rollout.old.variants] == [
                v.instance_count for v in rollout.new.variants
            ]
    assert world.record is not None and world.record.serving is not None
    assert world.record.last is not None and world.record.last.phase is Phase.SUCCEEDED
    assert world.record.serving.variants[0].instance_count == 2


def scales_the_new_side_alone(endpoint: Endpoint, changes: Mapping[str, VariantChange], now: datetime) -> Endpoint:
    after = commands.scale(endpoint, changes, now)
    if after.rollout is None or endpoint.rollout is None:
        return after
    rollout = replace(after.rollout, old=endpoint.rollout.old)
    return replace(after, rollout=rollout, serving=endpoint.serving)


def moves_on_while_it_scales(endpoint: Endpoint, changes: Mapping[str, VariantChange], now: datetime) -> Endpoint:
    after = commands.scale(endpoint, changes, now)
    if after.rollout is None or after.rollout.bake_until is None:
        return after
    return replace(after, rollout=replace(after.rollout, bake_until=now))


def takes_the_outgoing_side_below_its_share(
    endpoint: Endpoint, changes: Mapping[str, VariantChange], now: datetime
) -> Endpoint:
    after = commands.scale(endpoint, changes, now)
    if after.rollout is None or after.rollout.old is None:
        return after
    stages = tuple(replace(stage, old_part=stage.old_part // 8) for stage in after.rollout.plan.stages)
    return replace(after, rollout=replace(after.rollout, plan=replace(after.rollout.plan, stages=stages)))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (scales_the_new_side_alone, "both sides are scaled"),
        (moves_on_while_it_scales, "no stage moves with a count"),
        (takes_the_outgoing_side_below_its_share, "3 capacity covers the share"),
    ],
)
def test_a_planted_fault_is_found(fault: Scale, found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        scaled(CANARY, [3.0, 14.0, 14.0, 3.0], fault)
