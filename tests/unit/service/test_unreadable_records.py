"""One record that cannot be read: it is named, it is there, and it stops nothing else, whatever its kind."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.metric_alarm import metric_alarm
from tests.samples import version
from tidegate.console.endpoint_records import _join, _read_changed
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.errors import AlreadyExists, UnreadableRecord
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import DeploymentConfig, RolloutPlan
from tidegate.features.asynchronous import loop as queues
from tidegate.features.autoscaling import activities
from tidegate.features.autoscaling import loop as scaling
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.scalable_records import SCALABLE
from tidegate.features.drift import service as drift
from tidegate.features.evidence.kinds import EVIDENCE, REPLAY
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.run_records import LIVE_RUN, LiveRun, RunPart
from tidegate.features.monitor import processing_service as processing_jobs
from tidegate.features.monitor import schedules as monitoring_schedules
from tidegate.features.shadow import loop as experiment_loop
from tidegate.ports.store import Filter, Kind, Stale, Tx
from tidegate.reconcile import alarm_loop, engine
from tidegate.rollout.step import RolloutDecision
from tidegate.service import alarms, endpoints, history, models, quotas, state_events
from tidegate.service.prometheus import render
from tidegate.service.record_kinds import ALARM, ENDPOINT, HISTORY, MODEL, TAGS, USAGE, all_kinds
from tidegate.service.unreadable_records import EVERY, UnreadableRecords
from tidegate.service.views import alarms_of
from tidegate.store import SqlStore, open_store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STRANGE = "what a later version wrote"
GOOD = Endpoint("good", NOW, NOW, serving=version("v1"))
RUN = LiveRun("lab", "lab-1", "shown", "ann", NOW, NOW + timedelta(hours=1))


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    opened = open_store("sqlite://")
    yield opened
    await opened.close()


def plant(tx: Tx, kind: Kind[Any], name: str = "bad", body: object = STRANGE) -> None:
    present = tx.versions(kind).get(name, 0)
    tx.put(Kind(kind.name, object), name, body, expect=present, now=NOW)


def plant_all(tx: Tx, kind: Kind[Any], names: Iterable[str]) -> None:
    for name in names:
        plant(tx, kind, name)


def plant_good(tx: Tx) -> None:
    tx.put(ENDPOINT, "good", GOOD, expect=0, now=NOW)
    tx.put(ALARM, "errors", replace(metric_alarm(NOW), name="errors"), expect=0, now=NOW)
    tx.put(LIVE_RUN, "lab", RUN, expect=0, now=NOW)


READERS: dict[str, Callable[[Tx], Any]] = {
    "alarms that are judged": alarm_loop.readable,
    "endpoints that alarms guard": lambda tx: alarms.guarded_endpoints(tx, ["errors"]),
    "alarms that are shown": alarms.find_all,
    "queues": queues._read,
    "scaling": scaling.read,
    "experiments": experiment_loop._list_running,
    "drift": lambda tx: drift.find_due(tx, NOW),
    "monitoring": lambda tx: monitoring_schedules.find_due_executions(tx, timedelta(0), NOW),
    "executions": monitoring_schedules.find_executions,
    "processing jobs": processing_jobs.find_unended,
    "live runs": live_runs.find_open,
    "activities": activities.find,
    "old activities": lambda tx: activities.prune(tx, NOW),
    "scalable targets": scalables.list_all,
    "histories": history.read_all,
    "some histories": lambda tx: history.read_some(tx, ["bad", "good"]),
    "the console's list": lambda tx: _join(_read_changed(tx, {}), []),
    "models": lambda tx: models.list_models(tx, Filter(), 10, None),
}
"""What loops and lists read, each for all records of a kind."""


def read_around(tx: Tx, kind: Kind[Any]) -> None:
    """Whatever reads many records, with one of this kind that cannot be read."""
    plant(tx, kind)
    with pytest.raises(UnreadableRecord, match=f"{kind.name} 'bad'"):
        tx.get(kind, "bad")
    with pytest.raises(Stale):
        tx.put(Kind(kind.name, object), "bad", {}, expect=0, now=NOW)
    page = tx.find(kind)
    assert [(one.kind, one.name, one.created_at) for one in page.unreadable] == [(kind.name, "bad", NOW)]
    with pytest.raises(UnreadableRecord):
        page.require_all()
    for name, read in READERS.items():
        try:
            read(tx)
        except UnreadableRecord as error:
            pytest.fail(f"{name} stopped: {error}")
    assert live_runs.find_open(tx) == [RUN]
    assert [saved.name for saved in alarm_loop.readable(tx)] == ["errors"]
    listed = _join(_read_changed(tx, {}), [])
    assert "good" in {one.endpoint.name for one in listed}
    assert {one.endpoint.name for one in _join(_read_changed(tx, _read_changed(tx, {})), listed)} == {"good"}


async def test_an_unreadable_record_of_any_kind_is_there_is_named_and_stops_no_loop(store: SqlStore) -> None:
    await store.run(plant_good)
    for kind in all_kinds():
        await store.run(partial(read_around, kind=kind))
        (found,) = await UnreadableRecords([kind]).find(store, NOW)
        assert (found.kind, found.name) == (kind.name, "bad")
        assert f'tidegate_unreadable_records{{kind="{kind.name}",name="bad"}} 1' in render({}, (), (), (), [found])
        await store.run(lambda tx, kind=kind: tx.delete(kind, "bad", expect=None, now=NOW))  # type: ignore[misc]


async def test_a_record_that_can_be_read_again_is_no_longer_named(store: SqlStore) -> None:
    names, records = [f"m{number:02}" for number in range(30)], UnreadableRecords()
    await store.run(lambda tx: plant_all(tx, MODEL, names))
    assert [one.name for one in await records.find(store, NOW)] == names
    model = Model("m07", (ContainerDefinition("tidegate/xgboost", "file:///m"),), NOW)
    await store.run(lambda tx: tx.put(MODEL, "m07", model, expect=1, now=NOW))
    await store.run(lambda tx: plant(tx, MODEL, "m08"))
    await store.run(lambda tx: tx.delete(MODEL, "m09", expect=None, now=NOW))
    assert len(await records.find(store, NOW)) == 30, "it does not look again at once"
    again = [one.name for one in await records.find(store, NOW + EVERY)]
    assert again == [name for name in names if name not in ("m07", "m09")]


async def test_pages_of_a_list_go_on_past_what_cannot_be_read(store: SqlStore) -> None:
    def work(tx: Tx) -> list[str]:
        for number in range(5):
            tx.put(ENDPOINT, f"e{number}", replace(GOOD, name=f"e{number}"), expect=0, now=NOW)
        for name in ("e1", "e2"):
            plant(tx, ENDPOINT, name)
        seen, after = list[str](), None
        while True:
            page = tx.find(ENDPOINT, Filter(sort_by="name", descending=False), 2, after)
            seen += sorted([*(one.name for one in page.items), *(one.name for one in page.unreadable)])
            if page.next is None:
                return seen
            after = page.next

    assert await store.run(work) == ["e0", "e1", "e2", "e3", "e4"]


async def test_the_name_of_an_unreadable_endpoint_is_taken_whatever_its_letter_case(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        plant(tx, ENDPOINT, "Fraud")
        for name in ("Fraud", "fraud"):
            with pytest.raises(AlreadyExists, match='"Fraud"'):
                endpoints.require_free_name(tx, name)

    await store.run(work)


async def test_an_unreadable_alarm_is_never_ok(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        plant(tx, ALARM, "errors")
        (shown,), _ = alarms.find(tx, alarms.AlarmFilter())
        (named,), _ = alarms.find(tx, alarms.AlarmFilter(names=("errors", "none")))
        (of_endpoint,) = alarms_of(tx, replace(GOOD, deployment=DeploymentConfig(alarms=("errors",))))
        for one in (shown, named, of_endpoint):
            assert (one.name, one.state) == ("errors", AlarmState.INSUFFICIENT_DATA)
            assert "cannot be read" in one.state_reason
        with pytest.raises(UnreadableRecord):
            endpoints.read_guards(tx, DeploymentConfig(alarms=("errors",)))

    await store.run(work)


async def test_an_unreadable_alarm_can_be_deleted(store: SqlStore) -> None:
    """Also with what made it, which it would hold up."""

    def work(tx: Tx) -> None:
        plant(tx, ALARM, "errors")
        plant(tx, TAGS, "alarm/errors")
        alarms.delete(tx, ["errors", "none"], NOW)
        assert not tx.versions(ALARM) and not tx.versions(TAGS)
        assert [line.name for line in tx.journal(kind=ALARM.name)] == ["errors", "errors"]

    await store.run(work)


def rolling_out() -> Endpoint:
    """v2 in place of v1, with an alarm."""
    rollout = Rollout(
        "r1", GOOD.serving, version("v2", 2), DeploymentConfig(), RolloutPlan((), alarms=("errors",)), NOW
    )
    return replace(GOOD, rollout=rollout)


@pytest.mark.parametrize("kind", [HISTORY, USAGE, EVIDENCE, REPLAY, ALARM], ids=lambda kind: kind.name)
async def test_a_rollout_turns_back_whatever_lies_beside_its_record(store: SqlStore, kind: Kind[Any]) -> None:
    def work(tx: Tx) -> None:
        name = "errors" if kind is ALARM else "good"
        tx.put(ENDPOINT, "good", rolling_out(), expect=0, now=NOW)
        plant(tx, kind, name)
        loaded = engine.load(tx, "good")
        assert loaded is not None and loaded.alarms == {}
        ended = replace(loaded.endpoint, rollout=None)
        engine.save(tx, loaded, RolloutDecision(ended, (), None, ()), NOW)
        saved = tx.get(ENDPOINT, "good")
        assert saved is not None and saved.body.rollout is None
        assert name in tx.versions(kind), "what cannot be read is not written over"
        gone = engine.load(tx, "good")
        assert gone is not None
        engine.save(tx, gone, RolloutDecision(None, (), None, ()), NOW)
        assert tx.get(ENDPOINT, "good") is None

    await store.run(work)


async def test_what_an_unreadable_endpoint_may_use_is_not_removed_with_a_live_run(store: SqlStore) -> None:
    made = (RunPart("model", "used"), RunPart("model", "unused"))

    def work(tx: Tx) -> set[str]:
        for name in ("used", "unused"):
            tx.put(MODEL, name, Model(name, (ContainerDefinition("a", "file:///m"),), NOW), expect=0, now=NOW)
        tx.put(LIVE_RUN, "lab", replace(RUN, made=made, ending_at=NOW, ended_by="ann"), expect=0, now=NOW)
        plant(tx, ENDPOINT, "bad", {"serving": {"variants": [{"model": {"name": "used"}}]}})
        assert live_runs.remove_some(tx, "lab", NOW)
        return set(tx.versions(MODEL))

    assert await store.run(work) == {"used"}


async def test_a_live_run_ends_although_something_that_it_made_cannot_be_read(store: SqlStore) -> None:
    made = (RunPart("model", "bad"), RunPart("alarm", "errors"))

    def work(tx: Tx) -> tuple[dict[str, int], dict[str, int]]:
        plant_good(tx)
        plant(tx, MODEL)
        ending = replace(RUN, made=made, ending_at=NOW, ended_by="ann")
        tx.put(LIVE_RUN, "lab", ending, expect=None, now=NOW)
        assert live_runs.remove_some(tx, "lab", NOW)
        return tx.versions(MODEL), tx.versions(ALARM)

    assert await store.run(work) == ({"bad": 1}, {})


async def test_an_unreadable_scalable_target_still_keeps_its_variant_awake(
    store: SqlStore,
) -> None:
    def work(tx: Tx) -> queues.Followed:
        plant(tx, SCALABLE, "fraud/main/DesiredInstanceCount")
        return queues._read(tx).followed

    assert await store.run(work) == {("fraud", "main")}


async def test_quotas_that_cannot_be_counted_admit_nothing(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        plant(tx, ENDPOINT)
        asked = replace(GOOD, name="more")
        quotas.check(tx, None, asked, {})
        with pytest.raises(UnreadableRecord):
            quotas.check(tx, None, asked, {"local": 100, "ml.m5.large": 100, "ml.m5.xlarge": 100})
        with pytest.raises(UnreadableRecord):
            live_runs.require_room(tx, 1, Capabilities(quotas={live_runs.INSTANCE_TYPE: 100}))

    await store.run(work)


async def test_model_data_is_not_removed_while_a_history_cannot_be_read(store: SqlStore) -> None:
    assert await store.run(history.all_known)
    await store.run(lambda tx: plant(tx, HISTORY))
    assert not await store.run(history.all_known)


async def test_tags_that_cannot_be_read_hold_up_no_state_change(store: SqlStore) -> None:
    def work(tx: Tx) -> list[dict[str, Any]]:
        tx.put(ENDPOINT, "good", GOOD, expect=0, now=NOW)
        plant(tx, TAGS, "endpoint/good")
        return state_events.read_events(tx, 0, state_events.AccountRegion("r", "1")).events

    (event,) = await store.run(work)
    assert event["detail"]["EndpointName"] == "good" and "Tags" not in event["detail"]
