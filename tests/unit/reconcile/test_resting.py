"""Endpoints at rest are compared all together, and decided on as if each had a look of its own."""

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tests.samples import version
from tests.unit.reconcile.test_engine import NOON, StandInTarget, Still
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.errors import Transient, Unavailable
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring, Pairing, Serverless
from tidegate.domain.observation import FleetStatus
from tidegate.domain.rollout import DeploymentConfig
from tidegate.domain.targets import LOCAL
from tidegate.domain.traffic import Route, RouteTable
from tidegate.ports.store import Tx
from tidegate.ports.target import Look
from tidegate.reconcile import engine as engine_module
from tidegate.reconcile.engine import REST, STEADY_RESYNC, Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.resting import Rest, RestingEndpoints
from tidegate.rollout import commands
from tidegate.service.record_kinds import ENDPOINT

R = TypeVar("R")
NAMES = ("a", "b", "c")


@dataclass
class WholeTarget(StandInTarget):
    """Shows all at once, too. ``hidden`` are left out."""

    away: bool = False
    hidden: set[str] = field(default_factory=set)

    async def observe_all(self, endpoints: Collection[str]) -> Mapping[str, Look]:
        if self.away:
            raise Transient("the router is away")
        return {name: await self.observe(name) for name in endpoints if name not in self.hidden}


class Blind(WholeTarget):
    async def observe(self, endpoint: str) -> Look:
        return replace(await super().observe(endpoint), routes=None)


class AwayStore(MemoryStore):
    away = False

    async def run(self, work: Callable[[Tx], R]) -> R:
        if self.away:
            raise Unavailable("the database is away")
        return await super().run(work)


@dataclass
class Case:
    """An engine whose looks are the test's own; ``woken`` are the endpoints that get one."""

    target: StandInTarget
    store: AwayStore = field(default_factory=AwayStore)
    engine: Engine = field(init=False)
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        guards = Guards(MemoryMetrics())
        self.engine = Engine(self.store, {LOCAL: self.target}, Still(), guards, lambda name: None)
        self.engine._resting.kick = self.woken.append

    async def begin(self) -> None:
        for name in NAMES:
            wanted = VersionRequest(version("v1", {"x": 2}), DeploymentConfig(), NOON)
            given = {"rollout_id": name, "can": self.target.can, "now": NOON}
            begun = commands.begin(Endpoint(name, NOON, NOON), wanted, **given)  # type: ignore[arg-type]
            await self.store.run(lambda tx, one=begun: tx.put(ENDPOINT, one.name, one, expect=0, now=NOON))  # type: ignore[misc]
        await self.settle(NAMES)

    async def settle(self, names: Iterable[str]) -> dict[str, float | None]:
        """Look until nothing is under way. Returns the last pause of each; None: it is gone."""
        pauses: dict[str, float | None] = {}
        for name in names:
            for _ in range(50):
                pauses[name] = await self.engine.tick(name)
                if pauses[name] in (None, STEADY_RESYNC, REST):
                    break
            else:
                raise AssertionError(f"{name} does not settle")
        return pauses

    async def compare(self) -> set[str]:
        self.woken.clear()
        await self.engine.compare()
        return set(self.woken)


async def test_what_has_not_changed_gets_no_look_of_its_own() -> None:
    case = Case(WholeTarget())
    await case.begin()
    assert await case.settle(NAMES) == dict.fromkeys(NAMES, REST)
    assert await case.compare() == set()


@pytest.mark.parametrize("unknown", ["the target is away", "one is not seen", "the database is away"])
async def test_what_cannot_be_compared_gets_a_look_of_its_own(unknown: str) -> None:
    target = WholeTarget()
    case = Case(target)
    await case.begin()
    target.away = unknown == "the target is away"
    target.hidden = {"b"} if unknown == "one is not seen" else set()
    case.store.away = unknown == "the database is away"
    assert await case.compare() == ({"b"} if target.hidden else set(NAMES))


@pytest.mark.parametrize("error", [ValueError("an answer that nobody can read"), OSError("too many open files")])
async def test_a_comparison_that_fails_gives_each_a_look_of_its_own(error: Exception) -> None:
    target = WholeTarget()
    case = Case(target)
    await case.begin()

    async def fail(endpoints: Collection[str]) -> Mapping[str, Look]:
        raise error

    target.observe_all = fail  # type: ignore[method-assign]
    assert await case.compare() == set(NAMES)


async def test_rest_ends_by_itself_for_what_no_comparison_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that was restored under a running controller may have another record of the same version."""
    monkeypatch.setattr(engine_module, "LONGEST_REST", 0.01)
    target = WholeTarget()
    case = Case(target)
    await case.begin()
    looks: list[str] = []
    observe = target.observe

    async def note(endpoint: str) -> Look:
        looks.append(endpoint)
        return await observe(endpoint)

    target.observe = note  # type: ignore[method-assign]
    async with asyncio.timeout(300):
        case.engine.kick("a")
        while looks.count("a") < 4:
            await asyncio.sleep(0.005)
    await case.engine.stop()
    assert await case.compare() == set()


async def test_an_endpoint_of_which_not_all_is_seen_is_not_at_rest() -> None:
    case = Case(WholeTarget())
    await case.begin()
    case.engine.targets = {LOCAL: Blind(case.target.simulated)}
    assert await case.engine.tick("a") not in (None, REST)


async def test_a_kick_during_a_look_is_not_forgotten_by_the_rest() -> None:
    case = Case(WholeTarget())
    await case.begin()
    case.engine._kicks["a"] = asyncio.Event()
    case.engine._kicks["a"].set()
    assert await case.engine.tick("a") == STEADY_RESYNC


async def test_a_target_that_shows_one_at_a_time_is_asked_as_before() -> None:
    case = Case(StandInTarget())
    await case.begin()
    assert await case.settle(NAMES) == dict.fromkeys(NAMES, STEADY_RESYNC)


CHANGES = st.sampled_from(("routes", "fleet", "stray", "count", "delete"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from(NAMES), CHANGES), max_size=3), max_size=5))
def test_what_others_change_is_put_right_as_by_a_look_at_each(story: list[list[tuple[str, str]]]) -> None:
    """Nobody tells the engine of these changes."""

    async def play(target: StandInTarget) -> object:
        case = Case(target)
        await case.begin()
        there = set(NAMES)
        for changes in story:
            for name, what in changes:
                await _change(case, name, what)
            looked = await case.compare() if isinstance(target, WholeTarget) else there
            pauses = await case.settle(sorted(looked & there))
            there -= {name for name, pause in pauses.items() if pause is None}
        found = await case.store.run(lambda tx: tx.find(ENDPOINT).items)
        return [(one.name, one.body) for one in found], target.fleets, target.tables

    assert asyncio.run(play(WholeTarget())) == asyncio.run(play(StandInTarget()))


async def _change(case: Case, name: str, what: str) -> None:
    mine = [id for id in case.target.fleets if id.endpoint == name]
    saved = await case.store.run(lambda tx: tx.get(ENDPOINT, name))
    if saved is None:
        return
    if what == "routes":
        case.target.tables.pop(name, None)
    elif what == "stray":
        await case.target.ensure_fleet(FleetSpec(FleetId(name, 99, "main"), "v0", version("v0").variants[0], 1), 0)
    elif what == "delete" and not saved.body.deleting:
        after = commands.delete(saved.body, NOON)
        await case.store.run(lambda tx: tx.put(ENDPOINT, name, after, expect=None, now=NOON))
    for id in mine:
        if what == "fleet":
            del case.target.fleets[id]
        elif what == "count":
            case.target.fleets[id].desired += 1
            case.target.simulated.settle(case.target.fleets[id])


def _sample() -> Look:
    fleet = FleetStatus(FleetId("a", 1, "main"), desired=2, ready=2)
    return Look(
        {fleet.id: fleet}, RouteTable("a", 3, (Route(fleet.id, 10_000),), {"main": (Route(fleet.id, 10_000),)})
    )


OTHERS: dict[str, object] = {
    "id": FleetId("a", 2, "main"),
    "failure": "it died",
    "mirror": Mirroring(FleetId("a", 2, "shadow"), 5),
    "paired": Pairing(FleetId("a", 2, "main")),
    "was_ready": False,
    "devices": (("r", ("gpu0",)),),
    "serverless": Serverless(2**30, 5),
    "queue_time": 0.5,
    "endpoint": "b",
    "routes": (),
    "targets": {},
}


@pytest.mark.parametrize(
    ("part", "name"),
    [(part, one.name) for part in (FleetStatus, RouteTable) for one in dataclasses.fields(part)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_a_change_of_anything_that_is_seen_ends_the_rest(part: type, name: str) -> None:
    """Of each member, also of those that are added later: one that were not compared would be looked at by nobody."""
    before = _sample()
    assert before.fleets is not None and before.routes is not None
    (fleet,), changed = before.fleets.values(), OTHERS.get(name, 7)
    if part is FleetStatus:
        one = replace(fleet, **{name: changed})  # type: ignore[arg-type]
        after = Look({one.id: one}, before.routes)
    else:
        after = Look(before.fleets, replace(before.routes, **{name: changed}))  # type: ignore[arg-type]
    assert await _compare(before, after) == {"a"} and await _compare(before, _sample()) == set()


@pytest.mark.parametrize(
    "after", [None, Look(None, None), Look({}, _sample().routes), Look(_sample().fleets, None)]
)
async def test_what_is_seen_no_more_ends_the_rest(after: Look | None) -> None:
    assert await _compare(_sample(), after) == {"a"}


async def _compare(before: Look, after: Look | None) -> set[str]:
    class Seen(WholeTarget):
        async def observe_all(self, endpoints: Collection[str]) -> Mapping[str, Look]:
            return {} if after is None else dict.fromkeys(endpoints, after)

    woken: set[str] = set()
    store = MemoryStore()
    await store.run(lambda tx: tx.put(ENDPOINT, "a", Endpoint("a", NOON, NOON), expect=0, now=NOON))
    resting = RestingEndpoints(store, {LOCAL: Seen()}, woken.add)
    assert resting.add("a", Rest(LOCAL, 1, before))
    await resting.compare()
    return woken
