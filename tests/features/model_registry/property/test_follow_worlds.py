"""Whatever an alias, alarms, controllers and people do, a version is deployed by itself at most once."""

from collections import Counter

import anyio
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.features.model_registry.follow_world import FollowWorld, begin, do_nothing, kill, turn_of
from tidegate.domain.errors import TidegateError
from tidegate.domain.rollout import Phase

STEPS = some.one_of(
    some.tuples(some.just("move"), some.integers(1, 4)),
    some.tuples(some.just("turn"), some.integers(0, 1)),
    some.tuples(some.sampled_from(["race", "kill", "finish", "fail", "bake", "down", "up", "ask"]), some.just(0)),
)


async def take(world: FollowWorld, what: str, number: int) -> None:
    match what:
        case "move":
            world.champion = number
        case "turn":
            await world.turn(number)
        case "race":
            world.between = turn_of(world, 1)
            await world.turn(0)
            world.between = do_nothing
        case "kill":
            world.between = kill
            await world.turn(0)
            world.between, world.loops[0] = do_nothing, world.start()
        case "finish":
            await world.end_rollout()
        case "fail":
            await world.end_rollout(alarm=True)
        case "bake":
            await world.end_rollout(phase=Phase.BAKING)
        case "down" | "up":
            world.down = what == "down"
        case _:
            try:
                await world.ask()
            except TidegateError:
                assert (
                    world.down or (await world.endpoint()).rollout is not None or (await world.endpoint()).rejected
                )


@settings(max_examples=60, deadline=None)
@given(some.lists(STEPS, max_size=12), some.booleans())
def test_each_version_is_deployed_at_most_once_and_a_flapping_alias_comes_to_rest(
    steps: list[tuple[str, int]], restore: bool
) -> None:
    async def run() -> None:
        world = await begin(restore=restore)
        for what, number in steps:
            await take(world, what, number)
            assert max(Counter(await world.followed()).values(), default=0) <= 1
        world.down = False
        for number in (1, 2) * 4:
            world.champion = number
            await world.turn()
            await world.end_rollout()
        before, told = await world.entries(), list(world.told)
        for number in (1, 2) * 3:
            world.champion = number
            await world.turn()
        assert (await world.entries(), world.told) == (before, told)
        world.champion = 9
        await world.turn()
        await world.end_rollout()
        assert await world.serving() == 9
        assert max(Counter(await world.followed()).values()) == 1

    anyio.run(run)
