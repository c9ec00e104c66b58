"""Rollouts whose clients stay on one version: what is refused, what the router is told, and what is counted."""

from dataclasses import replace

import pytest

from tests.samples import all_at_once, canary, linear, percent, version
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Phase, Version
from tidegate.domain.traffic import Stickiness
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import desired_state
from tidegate.rollout.plan import compile_plan

LINEAR = replace(linear(percent(25), 60), stick="X-Client")


def queued() -> Version:
    found = version("v2")
    return replace(
        found, variants=tuple(replace(one, asynchronous=AsyncConfig("file:///o")) for one in found.variants)
    )


@pytest.mark.parametrize(
    ("deployment", "new", "can", "why"),
    [
        (LINEAR, version("v2"), Capabilities(sticks=False), "this target cannot keep clients"),
        (LINEAR, queued(), Capabilities(), "come from its queue, without their headers"),
        (replace(all_at_once(60), stick="X-Client"), version("v2"), Capabilities(), "traffic moves all at once"),
    ],
    ids=["target", "asynchronous", "all at once"],
)
def test_where_no_client_could_stay_it_is_refused(
    deployment: DeploymentConfig, new: Version, can: Capabilities, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        compile_plan(version("v1"), new, deployment, can)


def test_each_stage_assigns_the_clients_that_are_not_on_the_new_version() -> None:
    world = make_updating_world(version("v1", 4), version("v2", 4), LINEAR)
    seen = []
    for stage in range(3):
        world.run(
            10_000,
            settled=lambda w, stage=stage: bool(  # type: ignore[misc]
                w.record
                and w.record.rollout
                and (w.record.rollout.phase, w.record.rollout.stage) == (Phase.BAKING, stage)
            ),
        )
        record = world.record
        assert record is not None and record.rollout is not None
        seen.append((desired_state.traffic(record).stick, desired_state.counted_share(record.rollout)))
    assert seen == [
        (Stickiness("X-Client", "r1", 0), 2_500),
        (Stickiness("X-Client", "r1", 2_500), 3_333),
        (Stickiness("X-Client", "r1", 5_000), 5_000),
    ]
    world.run(10_000)
    assert world.record is not None and desired_state.traffic(world.record).stick is None


def test_without_it_the_share_is_that_of_all_requests() -> None:
    rollout = make_updating_world(version("v1"), version("v2"), canary(percent(10), 60)).record
    assert rollout is not None and rollout.rollout is not None
    assert desired_state.counted_share(rollout.rollout) == 1_000
    assert desired_state.find_stickiness(rollout.rollout) is None
