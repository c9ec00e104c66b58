"""A target other than the local one, which nothing of the platform knows by name: rollouts on it, forward and
back."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.unit.targets.local.second_target import SecondTarget, provide_memory
from tests.virtual_platform import VirtualPlatform, context, serving
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.domain.targets import LOCAL
from tidegate.targets.capacity_limit import LimitedTarget
from tidegate.targets.kind import TargetKind
from tidegate.targets.registry import KINDS

TARGETS: Mapping[str, TargetKind] = {**KINDS, "memory": TargetKind(provide_memory)}
"""The registry with one more line."""


class Platform(VirtualPlatform):
    def __init__(self, state: Path) -> None:
        super().__init__()
        self.provider = TARGETS["memory"].provide(context(state, lambda name: self.kick(name)))
        self.run(self.provider.target, self.provider.evidence)

    @property
    def target(self) -> SecondTarget:
        assert isinstance(self.provider.target, SecondTarget)
        return self.provider.target


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with serving(Platform(tmp_path)) as made:
        yield made


def shares(platform: Platform, generation: int) -> list[int]:
    """What a generation had of the traffic, each change once, in basis points."""
    found: list[int] = []
    for table in platform.target.history:
        if not found or found[-1] != table.share_of(generation):
            found.append(table.share_of(generation))
    return found


def test_rollout_on_a_second_target_goes_forward(platform: Platform) -> None:
    platform.update("v2")
    platform.advance(60)
    endpoint = platform.endpoint()
    assert endpoint.rollout is None
    assert endpoint.serving is not None and endpoint.serving.config_name == "v2"
    assert shares(platform, endpoint.serving.generation) == [0, 1000, 10_000]
    ready = [(id.generation, fleet.seen().ready) for id, fleet in platform.target.fleets.items()]
    assert ready == [(endpoint.serving.generation, 2)]


def test_rollout_on_a_second_target_rolls_back_when_the_error_alarm_fires(platform: Platform) -> None:
    platform.target.faulty.add("v2")
    old = platform.endpoint().serving
    assert old is not None
    platform.update("v2")
    platform.advance(60)
    endpoint = platform.endpoint()
    assert endpoint.rollout is None and endpoint.serving == old
    assert endpoint.last is not None and "errors" in (endpoint.last.reason or "")
    assert shares(platform, endpoint.last.new.generation) == [0, 1000, 0]
    assert {id.generation for id in platform.target.fleets} == {old.generation}


def test_rollout_on_a_second_target_waits_for_evidence(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that a target does not show is taken for good."""

    async def away(now: int) -> object:
        raise TargetRefused("no metrics today")

    monkeypatch.setattr(platform.loops.watch, "collect", away)
    platform.update("v2")
    platform.advance(60)
    endpoint = platform.endpoint()
    assert endpoint.rollout is not None and endpoint.serving is not None
    assert endpoint.serving.config_name == "v1"
    assert shares(platform, endpoint.rollout.new.generation) == [0, 1000]


async def test_a_second_target_shows_its_own_logs(platform: Platform) -> None:
    logs = await platform.provider.logs.tail("fraud", 1)
    assert [log.lines for log in logs] == [("2 replicas are ready",)]
    (stream,) = await platform.provider.logs.streams("fraud")
    read = await platform.provider.logs.read("fraud", stream.name, 0, 10)
    assert read is not None and read.lines == ("v1 is starting", "2 replicas are ready")


async def test_capacity_limits_any_target(platform: Platform) -> None:
    limited = LimitedTarget(platform.target, platform.provider.lifecycle.desired, {"local": 3})
    (spec,) = platform.provider.lifecycle.desired()
    other = FleetId("fraud", spec.id.generation + 1, "AllTraffic")
    with pytest.raises(TargetRefused, match="3 by TIDEGATE_CAPACITY, 2 in use, 2 asked for"):
        await limited.ensure_fleet(type(spec)(other, "v2", spec.variant, 2), 9)


def test_the_registry_names_its_default() -> None:
    assert LOCAL in KINDS
