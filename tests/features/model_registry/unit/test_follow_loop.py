"""Endpoints that follow an alias, with the real service and rollout machine over a registry in memory."""

import pytest

from tests.features.model_registry.follow_world import ALIAS, begin, kill, turn_of
from tidegate.domain.errors import Conflict
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import Phase
from tidegate.service import rollouts

pytestmark = pytest.mark.anyio


async def test_an_alias_that_moves_begins_one_rollout_of_the_spec() -> None:
    world = await begin()
    await world.turn()
    assert await world.followed() == []
    world.champion = 2
    await world.turn()
    rollout = (await world.endpoint()).rollout
    assert rollout is not None
    assert (rollout.asked_by, len(rollout.plan.stages), len(rollout.guards)) == (ALIAS, 2, 1)
    await world.end_rollout()
    await world.turn()
    assert (await world.serving(), await world.followed(), world.told) == (2, [2], [])
    assert await world.journal() == [f"{ALIAS} is models:/fraud/2 now, which is rolled out"]


async def test_a_version_that_is_rolled_back_is_told_once_and_not_tried_again() -> None:
    world = await begin()
    world.champion = 2
    await world.turn()
    await world.end_rollout(alarm=True)
    for _ in range(3):
        await world.turn()
    assert (await world.serving(), await world.followed()) == (1, [2])
    (told,) = world.told
    assert (told.version, told.back) == ("models:/fraud/2", "models:/fraud/1")
    assert "in ALARM" in told.reason
    world.champion = 1
    await world.turn()
    world.champion = 2
    await world.turn()
    assert await world.followed() == [2]
    world.champion = 3
    await world.turn()
    assert await world.followed() == [2, 3]


async def test_an_alias_is_moved_back_only_from_the_version_that_failed() -> None:
    world = await begin(restore=True)
    world.champion = 2
    await world.turn()
    await world.end_rollout(alarm=True)
    await world.turn()
    assert world.champion == 1
    world.champion = 3
    await world.turn()
    await world.end_rollout(alarm=True)
    world.champion = 4
    await world.turn()
    assert (world.champion, [one.version for one in world.told]) == (4, ["models:/fraud/2", "models:/fraud/3"])
    assert await world.followed() == [2, 3, 4]


async def test_an_alias_that_moves_in_mid_rollout_supersedes_it_without_a_report() -> None:
    world = await begin()
    world.champion = 2
    await world.turn()
    await world.end_rollout(phase=Phase.BAKING)
    world.champion = 3
    await world.turn()
    await world.end_rollout()
    await world.turn()
    assert (await world.serving(), await world.followed(), world.told) == (3, [2, 3], [])


async def test_an_alias_that_moves_back_in_mid_rollout_gives_it_up() -> None:
    world = await begin()
    world.champion = 2
    await world.turn()
    await world.end_rollout(phase=Phase.BAKING)
    world.champion = 1
    await world.turn()
    await world.end_rollout()
    await world.turn()
    assert (await world.serving(), await world.followed(), world.told) == (1, [2], [])


async def test_the_rollout_of_a_person_is_waited_for() -> None:
    world = await begin()
    world.champion = 2
    await world.turn()
    await world.end_rollout(alarm=True)
    await world.turn()
    with pytest.raises(Conflict, match="override"):
        await world.ask()
    now = world.now()
    await world.store.run(
        lambda tx: rollouts.retry(tx, "fraud", "ann", override=True, rollout_id="r", can=Capabilities(), now=now)
    )
    world.champion = 3
    await world.turn()
    await world.turn()
    assert "waits until the rollout" in (await world.record()).note
    assert await world.followed() == [2]
    await world.end_rollout()
    assert await world.serving() == 2
    await world.turn()
    await world.end_rollout()
    assert (await world.serving(), await world.followed()) == (3, [2, 3])
    assert sum("waits until" in one for one in await world.journal()) == 1


async def test_a_registry_that_is_away_is_told_once_and_nothing_changes() -> None:
    world = await begin()
    world.champion, world.down = 2, True
    for _ in range(4):
        await world.turn()
    assert (await world.followed(), len(await world.journal())) == ([], 1)
    assert "cannot be looked up" in (await world.record()).note
    world.down = False
    await world.turn()
    assert (await world.followed(), (await world.record()).note) == ([2], "")


async def test_two_controllers_deploy_a_version_once() -> None:
    world = await begin()
    world.champion, world.between = 2, turn_of(world, 1)
    await world.turn(0)
    assert await world.followed() == [2]


async def test_a_controller_that_is_killed_after_it_decided_leaves_it_to_the_next() -> None:
    world = await begin()
    world.champion, world.between = 2, kill
    await world.turn(0)
    assert await world.followed() == []
    world.loops[0] = world.start()
    await world.turn(0)
    assert await world.followed() == [2]


async def test_a_webhook_counts_once() -> None:
    world = await begin()
    await world.turn()
    world.champion = 2
    loop = world.loops[0]
    await loop.turn()
    await loop.finish()
    assert await world.followed() == []
    loop.wake("delivery-1")
    await loop.turn()
    await loop.finish()
    assert await world.followed() == [2]
    await world.end_rollout()
    world.champion = 3
    loop.wake("delivery-1")
    await loop.turn()
    await loop.finish()
    assert await world.followed() == [2]
