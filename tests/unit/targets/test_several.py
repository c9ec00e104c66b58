"""Several targets as one: none delays or spoils what is known of another."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tidegate.domain.errors import TidegateError, Transient
from tidegate.domain.metric import CollectionRound, Coverage
from tidegate.domain.observation import Observation
from tidegate.ports.target import Provider
from tidegate.targets.several import SeveralEvidence, join_providers


@dataclass
class Source:
    """Counts one endpoint. ``ready`` holds a round up until it is set."""

    endpoint: str
    error: Exception | None = None
    ready: asyncio.Event | None = None
    asked: list[int] = field(default_factory=list)

    async def collect(self, now: int) -> CollectionRound:
        self.asked.append(now)
        if self.ready is not None:
            await self.ready.wait()
        if self.error is not None:
            raise self.error
        return CollectionRound([], {self.endpoint: Coverage(0, now)})

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return [{"endpoint": self.endpoint}]


def covered(found: CollectionRound) -> dict[str, Coverage]:
    return found.coverage


def test_a_round_has_what_every_target_counted() -> None:
    both = SeveralEvidence({"local": Source("here"), "cluster": Source("there")})
    assert covered(asyncio.run(both.collect(7))) == {"here": Coverage(0, 7), "there": Coverage(0, 7)}


@pytest.mark.parametrize("error", [Transient("the cluster is away"), RuntimeError("a bug")])
def test_target_that_fails_leaves_its_endpoints_unknown_and_others_counted(error: TidegateError) -> None:
    both = SeveralEvidence({"local": Source("here"), "cluster": Source("there", error)})
    assert covered(asyncio.run(both.collect(7))) == {"here": Coverage(0, 7)}


def test_target_that_hangs_delays_nobody_and_its_counts_come_with_a_later_round() -> None:
    async def scene() -> None:
        slow = Source("there", ready=asyncio.Event())
        both = SeveralEvidence({"local": Source("here"), "cluster": slow})
        assert slow.ready is not None
        assert covered(await both.collect(7)) == {"here": Coverage(0, 7)}
        assert covered(await both.collect(8)) == {"here": Coverage(0, 8)}
        assert slow.asked == [7], "it is not asked again while it has not answered"
        slow.ready.set()
        assert covered(await both.collect(9)) == {"here": Coverage(0, 9), "there": Coverage(0, 7)}
        assert covered(await both.collect(10)) == {"here": Coverage(0, 10), "there": Coverage(0, 10)}

    asyncio.run(scene())


def part(name: str, *, transforms: bool) -> Provider:
    made = Provider(
        *(cast(Any, f"{name}'s {part}") for part in ("target", "fleets", "lifecycle", "evidence")),
        *[cast(Any, f"{name}'s {part}") for part in ("logs", "runners", "recommenders")],
    )
    return replace(made, runs_transforms=transforms)


@pytest.mark.parametrize(
    ("default", "transforms", "runs"),
    [("cluster", True, "cluster"), ("cluster", False, "local"), ("local", True, "local")],
)
def test_transform_jobs_run_on_the_default_target_if_it_runs_any(
    default: str, transforms: bool, runs: str
) -> None:
    parts = {"local": part("local", transforms=False), "cluster": part("cluster", transforms=transforms)}
    joined = join_providers(parts, default)
    assert (str(joined.runners), str(joined.fleets)) == (f"{runs}'s runners", f"{runs}'s fleets")
    assert str(joined.recommenders) == "local's recommenders"
