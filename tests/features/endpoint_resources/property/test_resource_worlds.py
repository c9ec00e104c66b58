"""Whatever people and guards do, and wherever controllers are killed, a generation is deployed at most once."""

from collections import Counter

import anyio
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.features.endpoint_resources.resource_world import ResourceWorld
from tidegate.domain.errors import TidegateError
from tidegate.service import rollouts

STEPS = some.one_of(
    some.tuples(some.sampled_from(["apply", "ask"]), some.integers(1, 4)),
    some.tuples(some.just("turn"), some.integers(0, 1)),
    some.tuples(some.just("kill"), some.integers(0, 4)),
    some.tuples(
        some.sampled_from(["delete", "finish", "fail", "end", "abort", "promote", "pause", "unpause"]),
        some.just(0),
    ),
)


async def take(world: ResourceWorld, what: str, number: int) -> None:
    match what:
        case "apply" if world.object is None or "deletionTimestamp" not in world.object["metadata"]:
            world.apply(number)
        case "turn":
            await world.turn(number)
        case "kill":
            world.effects = number
            await world.turn(0)
            world.effects, world.loops[0] = None, world.start()
        case "delete" if world.object is not None:
            world.delete()
        case "finish":
            await world.end_rollout()
        case "fail":
            await world.end_rollout(alarm=True)
        case "end":
            await world.end_deletion()
        case "abort" | "promote" | "pause" if world.object is not None:
            world.annotate(what)
        case "unpause" if world.object is not None:
            world.annotate("pause", None)
        case "ask" if await world.endpoint() is not None:
            try:
                await world.ask(number)
                now = world.present
                await world.store.run(lambda tx: rollouts.abort(tx, "fraud", "ann", now))
            except TidegateError:
                assert await world.endpoint() is not None  # refused, as for anybody


@settings(max_examples=60, deadline=None)
@given(some.lists(STEPS, max_size=14))
def test_each_generation_is_deployed_at_most_once_and_the_last_is_not_lost(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        world = ResourceWorld()
        for what, number in steps:
            await take(world, what, number)
            assert max(Counter(world.deployed).values(), default=0) <= 1
        if world.object is not None and "deletionTimestamp" in world.object["metadata"]:
            await world.turns(8)
            await world.end_deletion()
            await world.turns(4)
            assert world.object is None
        world.apply(9)
        for left in ("pause", "abort", "promote"):
            world.annotate(left, None)
        world.annotate("adopt")
        for _ in range(4):  # a creation is not superseded: what was applied meanwhile waits for its end
            await world.turns(4)
            await world.end_deletion()
            await world.end_rollout()
        await world.turn()
        assert world.conditions == {"Ready": "True", "Synced": "True"}, world.status
        assert world.status["observedGeneration"] == world.object["metadata"]["generation"]  # type: ignore[index]
        assert max(Counter(world.deployed).values()) == 1
        world.delete()
        await world.turns(8)
        await world.end_deletion()
        await world.turns(4)
        assert (world.object, await world.endpoint(), await world.record()) == (None, None, None)

    anyio.run(run)
