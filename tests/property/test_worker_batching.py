"""In whatever order requests come, batched answers are the ones that each would get alone."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.invocation import GONE, Answer, Call, ModelFailed, Outcome
from tidegate.serving.scoring.batching import Batcher


class Model:
    """A scorer (a fake of a model) with every way to fail: some bodies do not parse, some rows break the call they
    are in, some scores cannot be rendered."""

    batches = True

    def parse(self, call: Call) -> list[int]:
        if call.body == b"":
            raise ModelFailed(400, "empty")
        return list(call.body)

    def size(self, rows: list[int]) -> int:
        return len(rows)

    def score(self, requests: Sequence[list[int]]) -> list[list[int]]:
        if any(13 in rows for rows in requests):
            raise ValueError("thirteen")
        return [[row * 3 + 1 for row in rows] for rows in requests]

    def count(self, scores: list[int]) -> int:
        return len(scores)

    def render(self, scores: list[int], call: Call) -> Answer:
        if 22 in scores:
            raise KeyError("twenty-two")
        return Answer(repr(scores).encode(), "text/plain")


BODIES = st.lists(st.integers(0, 30), max_size=5).map(bytes)
STEPS = st.lists(st.tuples(BODIES, st.booleans(), st.booleans()), max_size=40)
"""Body, whether the loop turns before it comes, whether its client goes away at once."""


def shown(outcome: Outcome) -> tuple[object, ...]:
    return ("failed", outcome.status, outcome.message) if isinstance(outcome, ModelFailed) else tuple(outcome)


async def outcomes(steps: Sequence[tuple[bytes, bool, bool]], cap: int) -> list[list[Outcome]]:
    batcher = Batcher(Model(), asyncio.get_running_loop(), cap)
    found: list[list[Outcome]] = []
    for body, turn, leaves in steps:
        if turn:
            await asyncio.sleep(0)
        call = Call(body, {})
        found.append([])
        batcher.submit(call, found[-1].append)
        if leaves:
            call.abandon()
    for _ in range(len(steps) + 1):  # at worst each is a batch of its own
        await asyncio.sleep(0)
    return found


@given(STEPS, st.integers(1, 8))
async def test_batched_answers_are_the_ones_given_alone(steps: list[tuple[bytes, bool, bool]], cap: int) -> None:
    together = await outcomes(steps, cap)
    for (body, _, leaves), found in zip(steps, together, strict=True):
        [[alone]] = await outcomes([(body, False, False)], cap)
        if not leaves:
            assert [shown(outcome) for outcome in found] == [shown(alone)]
        else:
            assert [shown(outcome) for outcome in found] in ([shown(GONE)], [shown(alone)])
