"""Several targets as one: none delays or spoils what is known of another."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tidegate.domain.errors import StartupError, TidegateError, Transient
from tidegate.domain.metric import CollectionRound, Coverage
from tidegate.domain.observation import Observation
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.ports.target import Provider
from tidegate.targets.several import SeveralEvidence, SeveralLogs, join_providers


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


def test_endpoints_are_declared_as_resources_of_one_target_alone() -> None:
    here = part("local", transforms=False)
    there = replace(part("cluster", transforms=False), resources=cast(Any, "cluster's resources"))
    assert str(join_providers({"local": here, "a": there}, "local").resources) == "cluster's resources"
    with pytest.raises(StartupError, match="targets a, b have it"):
        join_providers({"local": here, "a": there, "b": there}, "local")


@dataclass
class Written:
    """Logs of one endpoint, whose name is that of its group and stream, too."""

    endpoint: str
    error: TidegateError | None = None

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return [ReplicaLog(1, "v", "r", ("line",))] if self._has(endpoint) else []

    async def groups(self) -> Sequence[str]:
        return [self.endpoint] if self._has(self.endpoint) else []

    async def streams(self, group: str) -> Sequence[LogStream]:
        return [LogStream(group, 0.0, 0.0, 4)] if self._has(group) else []

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        return LogLines(LogStream(stream, 0.0, 0.0, 4), ("line",), 1) if self._has(group) else None

    def _has(self, name: str) -> bool:
        if self.error is not None:
            raise self.error
        return name == self.endpoint


@pytest.mark.parametrize("turned", [False, True])
def test_logs_of_one_target_are_shown_although_another_cannot_be_asked(turned: bool) -> None:
    parts = (Written("here"), Written("there", Transient("the credentials have expired")))
    both = SeveralLogs(parts[::-1] if turned else parts)

    async def scene() -> None:
        assert len(await both.tail("here", 5)) == 1
        assert await both.groups() == ["here"]
        assert len(await both.streams("here")) == 1
        assert await both.read("here", "here", None, 5) is not None
        for asked in (both.tail("there", 5), both.streams("there"), both.read("there", "there", None, 5)):
            with pytest.raises(Transient, match="expired"):
                await asked

    asyncio.run(scene())
