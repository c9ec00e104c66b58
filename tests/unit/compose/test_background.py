"""Loops of features: one that fails takes nothing from the others, and one of a feature that is off does not run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tidegate.compose import background
from tidegate.compose.background import (
    BackgroundLoop,
    BackgroundWork,
    Services,
    Worker,
    find_owners,
    join_background,
    join_observers,
)
from tidegate.domain.errors import Unavailable
from tidegate.domain.feature import Feature, Loop
from tidegate.domain.transform import FLEET_PREFIX
from tidegate.features.drift.kinds import DRIFT_SCHEDULE
from tidegate.features.recommender.service import PREFIX
from tidegate.features.shadow.records import EXPERIMENT
from tidegate.host.features import FeatureSet, LoadedFeature, choose, features, find_installed
from tidegate.service.record_kinds import TRANSFORM
from tidegate.settings import Settings
from tidegate.store import open_store


@dataclass
class Counter(Worker):
    fails: bool = False
    turns: int = 0
    calls: list[str] = field(default_factory=list)

    async def turn(self) -> None:
        self.turns += 1
        if self.fails:
            raise RuntimeError("broken")

    def wake(self, name: str) -> None:
        self.calls.append(f"wake {name}")

    async def stop(self) -> None:
        self.calls.append("stop")
        if self.fails:
            raise RuntimeError("broken")

    async def drain(self) -> None:
        self.calls.append("drain")

    async def close(self) -> None:
        self.calls.append("close")


class Silent:
    async def newest(self) -> int:
        raise Unavailable("the database does not answer")


async def test_a_loop_that_fails_takes_no_turn_from_the_others_and_all_are_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, sound, alone, placed = Counter(fails=True), Counter(), Counter(), Counter()
    work = BackgroundWork(
        (
            BackgroundLoop(broken, Loop("", 1.0), DRIFT_SCHEDULE),
            BackgroundLoop(sound, Loop("", 1.0), EXPERIMENT),
            BackgroundLoop(alone, Loop("", 2.0)),
            BackgroundLoop(placed, Loop("", offset=0.2)),
        ),
        Silent(),  # type: ignore[arg-type]
    )
    assert sorted(seconds for seconds, _ in work.turns) == [1.0, 2.0]
    assert [offset for _, offset in work.each_second] == [0.2]
    for _, turn in work.turns:
        await turn()
    for turn, _ in work.each_second:
        await turn()
    assert (broken.turns, sound.turns, alone.turns) == (1, 1, 1), "what is there is not known, so each looks"
    assert placed.turns == 1
    await work.stop()
    await work.drain()
    await work.close()
    assert all(one.calls == ["stop", "drain", "close"] for one in (broken, sound, alone, placed))
    assert "a turn of a loop failed" in caplog.text


async def test_a_loop_has_no_turn_while_there_is_nothing_for_it() -> None:
    store, idle, own = open_store("sqlite://"), Counter(), Counter()
    loops = (
        BackgroundLoop(idle, Loop("", 1.0), EXPERIMENT),
        BackgroundLoop(own, Loop("", 0, kind="jobs"), TRANSFORM),
    )
    work = BackgroundWork(loops, store)
    assert len(work.turns) == 1, "a loop with a rhythm of its own has no turns"
    for _, turn in work.turns:
        await turn()
    assert idle.turns == 0
    await store.close()


def test_news_reach_the_loop_to_whose_prefix_they_belong() -> None:
    jobs, woken = Counter(), list[str]()
    work = BackgroundWork((BackgroundLoop(jobs, Loop("", 0, prefix="job.")),), cast(Any, None))
    for name in ("job.nightly", "fraud", "jobs"):
        work.wake(name, woken.append)
    assert (jobs.calls, woken) == (["wake nightly"], ["fraud", "jobs"])


def switch(monkeypatch: pytest.MonkeyPatch, switches: str) -> FeatureSet:
    installed = find_installed()
    found = FeatureSet(installed, choose(installed, switches))
    monkeypatch.setattr(background, "features", lambda: found)
    return found


@pytest.mark.parametrize("name", sorted(one.feature.name for one in features() if one.feature.loops))
def test_no_loop_of_a_feature_that_is_off_is_made(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Evidence, queues, autoscaling and jobs are loops of features like any other."""
    made = list[str]()

    def load(one: LoadedFeature, reference: str) -> Any:
        def make(services: Services) -> Worker:
            made.append(one.feature.name)
            return Worker()

        return make

    monkeypatch.setattr(LoadedFeature, "load", load)
    services = cast(
        Services, Parts(Settings(trace_endpoint="http://127.0.0.1:4318", grpc_port=8500, containers=("fraud",)))
    )
    found = switch(monkeypatch, "")
    with_loops = {one.feature.name for one in found if one.feature.loops}
    join_background(services)
    assert (
        set(made) == with_loops >= {"evidence", "asynchronous", "autoscaling", "batch", "recommender", "tracing"}
    )
    made.clear()
    found = switch(monkeypatch, f"-{name}")
    join_background(services)
    assert name not in made and set(made) == with_loops.intersection(one.feature.name for one in found)


@dataclass(frozen=True)
class Parts:
    """The part of the services that joining reads."""

    settings: Settings
    store: object = None


def test_a_loop_whose_setting_is_not_set_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadedFeature, "load", lambda one, reference: lambda services: one.feature.name)
    switch(monkeypatch, "tracing")
    assert join_background(cast(Services, Parts(Settings()))).loops == ()
    traced = Settings(trace_endpoint="http://127.0.0.1:4318")
    assert len(join_background(cast(Services, Parts(traced))).loops) == 1


def test_without_the_feature_that_compares_versions_rollouts_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    switch(monkeypatch, "-evidence")
    observers = join_observers(cast(Services, Parts(Settings())))
    assert observers.observers == ()
    assert observers.absence == "the feature evidence is switched off (TIDEGATE_FEATURES)"
    monkeypatch.setattr(background, "features", lambda: FeatureSet({}, frozenset()))
    assert join_observers(cast(Services, Parts(Settings()))).absence.startswith("no feature that is installed")


class Names:
    """A transaction in which each kind has one record."""

    def versions(self, kind: Any) -> Iterable[str]:
        return [f"a-{kind.name}"]


@pytest.mark.parametrize("switches", ["", "-batch"])
def test_fleets_of_jobs_have_owners_also_while_their_feature_is_off(
    monkeypatch: pytest.MonkeyPatch, switches: str
) -> None:
    switch(monkeypatch, switches)
    jobs = {"transform.a-transform", "recommend.a-recommendation"}
    assert find_owners(cast(Any, Names())) == {*jobs, "registry.a-registry-follow"}


def test_prefixes_are_those_by_which_features_wake_their_loops() -> None:
    named: dict[str, Feature] = {one.feature.name: one.feature for one in features()}
    found = {name: [loop.prefix for loop in one.loops if loop.prefix] for name, one in named.items()}
    assert (found["batch"], found["recommender"]) == ([FLEET_PREFIX], [PREFIX])
    assert all(prefix.endswith(".") for prefixes in found.values() for prefix in prefixes)
