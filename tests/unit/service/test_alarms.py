"""Alarms in the store: defining, finding, deleting, setting by hand, and their history."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.metric_alarm import metric_alarm
from tests.samples import canary, percent, version
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.errors import Invalid, NotFound
from tidegate.domain.metric import MetricId
from tidegate.domain.rollout import DeploymentConfig, RolloutPlan, Version
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.monitoring.alarm_definition import check
from tidegate.ports.store import Tx
from tidegate.service import alarms as use
from tidegate.service.record_kinds import ENDPOINT, TAGS
from tidegate.service.views import of_present_versions
from tidegate.store import open_store

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ERRORS = metric_alarm(
    NOW,
    period=60,
    evaluation_periods=3,
    datapoints_to_alarm=2,
    alarm_actions=("arn:aws:sns:us-east-1:000000000000:pager",),
    ok_actions=("arn:aws:sns:us-east-1:000000000000:calm",),
)
SLOW = replace(ERRORS, name="slow", metric="ModelLatency", statistic="p99.9", period=10)


def in_store(url: str, *steps: Callable[[Tx], Any]) -> Any:
    """Each step in a transaction of its own; what the last one returned."""

    async def run() -> Any:
        store = open_store(url)
        try:
            for step in steps[:-1]:
                await store.run(step)
            return await store.run(steps[-1])
        finally:
            await store.close()

    return asyncio.run(run())


def put(*alarms: Alarm, at: datetime = NOW) -> Callable[[Tx], object]:
    def work(tx: Tx) -> None:
        for alarm in alarms:
            use.put(tx, alarm, at)

    return work


def names(where: use.AlarmFilter, limit: int | None = None, after: str | None = None) -> Callable[[Tx], object]:
    def work(tx: Tx) -> tuple[list[str], bool]:
        found, more = use.find(tx, where, limit, after)
        return [alarm.name for alarm in found], more

    return work


def one(name: str) -> Callable[[Tx], Alarm]:
    return lambda tx: use.find(tx, use.AlarmFilter(names=(name,)))[0][0]


def to_alarm(name: str, at: datetime = LATER) -> Callable[[Tx], object]:
    return lambda tx: use.set_state(tx, name, AlarmState.ALARM, "by hand", '{"why": 1}', at)


def test_a_new_alarm_has_insufficient_data(sqlite_url: str) -> None:
    alarm = in_store(sqlite_url, put(ERRORS), one("errors"))
    assert alarm == ERRORS
    assert (alarm.state, alarm.state_reason) == (AlarmState.INSUFFICIENT_DATA, "Unchecked: Initial alarm creation")


def test_redefining_keeps_the_state_and_replaces_the_rest(sqlite_url: str) -> None:
    again = replace(ERRORS, threshold=0.5, alarm_actions=())
    alarm = in_store(sqlite_url, put(ERRORS), to_alarm("errors"), put(again, at=LATER), one("errors"))
    assert (alarm.threshold, alarm.alarm_actions, alarm.configured_at) == (0.5, (), LATER)
    assert (alarm.state, alarm.state_reason, alarm.state_changed_at) == (AlarmState.ALARM, "by hand", LATER)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"period": 45}, "period 45"),
        ({"period": 0}, "period 0"),
        ({"period": 90}, "period 90"),
        ({"datapoints_to_alarm": 4}, "datapoints to alarm (4)"),
        ({"datapoints_to_alarm": 0}, "datapoints to alarm (0)"),
        ({"evaluation_periods": 1441}, "longer than 1 day"),
        ({"period": 3600, "evaluation_periods": 169}, "longer than 7 day"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"threshold": float("inf")}, "threshold inf"),
        ({"statistic": "p101"}, "p101"),
        ({"statistic": "p100.5"}, "p100.5"),
        ({"statistic": "tm101"}, "tm101"),
        ({"statistic": "Median"}, "Median"),
    ],
    ids=lambda v: str(v),
)
def test_an_alarm_that_cannot_be_evaluated_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(replace(ERRORS, **wrong))  # type: ignore[arg-type]
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "right",
    [
        {"period": 1},
        {"period": 5},
        {"period": 10},
        {"period": 20},
        {"period": 30},
        {"evaluation_periods": 1440},
        {"period": 3600, "evaluation_periods": 168},
        {"period": 86_400, "evaluation_periods": 7},
        {"statistic": "p0.0"},
        {"statistic": "p100"},
        {"statistic": "SampleCount"},
    ],
    ids=lambda v: str(v),
)
def test_the_limits_themselves_are_allowed(right: dict[str, object]) -> None:
    check(replace(ERRORS, **right))  # type: ignore[arg-type]


def test_finding(sqlite_url: str) -> None:
    fill = [put(replace(ERRORS, name=name)) for name in ("b", "B", "a1", "a2", "é")]

    def look(where: use.AlarmFilter, limit: int | None = None, after: str | None = None) -> object:
        return in_store(sqlite_url, names(where, limit, after))

    in_store(sqlite_url, *fill, put(replace(SLOW, alarm_actions=())), to_alarm("b"))
    assert look(use.AlarmFilter()) == (["B", "a1", "a2", "b", "slow", "é"], False)
    assert look(use.AlarmFilter(prefix="a")) == (["a1", "a2"], False)
    assert look(use.AlarmFilter(names=("slow", "gone", "a1", "a1"))) == (["a1", "slow"], False)
    assert look(use.AlarmFilter(names=())) == ([], False)
    assert look(use.AlarmFilter(state=AlarmState.ALARM)) == (["b"], False)
    assert look(use.AlarmFilter(action_prefix="arn:aws:sns:us-east-1:000000000000:p", prefix="a")) == (
        ["a1", "a2"],
        False,
    )
    assert look(use.AlarmFilter(action_prefix="arn:aws:autoscaling")) == ([], False)


def test_paging_shows_each_once(sqlite_url: str) -> None:
    wanted = sorted(f"alarm-{n}" for n in range(7))
    in_store(sqlite_url, *[put(replace(ERRORS, name=name)) for name in wanted])

    def pages(tx: Tx) -> list[list[str]]:
        seen: list[list[str]] = []
        after, more = None, True
        while more:
            found, more = use.find(tx, use.AlarmFilter(), 3, after)
            seen.append([alarm.name for alarm in found])
            after = found[-1].name
        return seen

    assert in_store(sqlite_url, pages) == [wanted[:3], wanted[3:6], wanted[6:]]


def test_for_metric_matches_the_exact_set_of_dimensions(sqlite_url: str) -> None:
    def look(dims: dict[str, str], **also: str | int) -> Callable[[Tx], list[str]]:
        series = MetricId.of("AWS/SageMaker", "ModelLatency", dims)
        return lambda tx: [a.name for a in use.find_for_metric(tx, series, **also)]  # type: ignore[arg-type]

    in_store(sqlite_url, put(ERRORS, SLOW))
    assert in_store(sqlite_url, look({"EndpointName": "fraud", "VariantName": "main"})) == ["slow"]
    assert in_store(sqlite_url, look({"EndpointName": "fraud"})) == []
    assert in_store(sqlite_url, look(dict(SLOW.dimensions), statistic="p99.9", period=10)) == ["slow"]
    assert in_store(sqlite_url, look(dict(SLOW.dimensions), statistic="Sum")) == []
    assert in_store(sqlite_url, look(dict(SLOW.dimensions), unit="Seconds")) == []


def test_deleting_passes_over_what_is_not_there(sqlite_url: str) -> None:
    in_store(sqlite_url, put(ERRORS, SLOW))
    in_store(sqlite_url, lambda tx: use.delete(tx, ["errors", "gone"], LATER))
    assert in_store(sqlite_url, names(use.AlarmFilter())) == (["slow"], False)
    in_store(sqlite_url, lambda tx: use.delete(tx, ["errors", "slow", "slow"], LATER))
    assert in_store(sqlite_url, names(use.AlarmFilter())) == ([], False)


def test_tags_come_with_the_first_definition_and_go_with_the_alarm(sqlite_url: str) -> None:
    def tags(tx: Tx) -> object:
        saved = tx.get(TAGS, "alarm/errors")
        return saved and saved.body.tags

    def tagged(value: str) -> Callable[[Tx], object]:
        return lambda tx: use.put(tx, ERRORS, NOW, {"team": value})

    assert in_store(sqlite_url, tagged("risk"), tags) == {"team": "risk"}
    assert in_store(sqlite_url, tagged("other"), tags) == {"team": "risk"}
    assert in_store(sqlite_url, lambda tx: use.delete(tx, ["errors"], LATER), tags) is None


def test_setting_the_state(sqlite_url: str) -> None:
    alarm = in_store(sqlite_url, put(ERRORS), to_alarm("errors"), one("errors"))
    assert (alarm.state, alarm.state_reason, alarm.state_reason_data) == (
        AlarmState.ALARM,
        "by hand",
        '{"why": 1}',
    )
    assert alarm.state_updated_at == alarm.state_changed_at == LATER
    again = in_store(sqlite_url, to_alarm("errors", LATER + timedelta(seconds=1)), one("errors"))
    assert (again.state_updated_at, again.state_changed_at) == (LATER + timedelta(seconds=1), LATER)
    with pytest.raises(NotFound, match="gone"):
        in_store(sqlite_url, to_alarm("gone"))


def test_switching_actions(sqlite_url: str) -> None:
    def switch(on: bool) -> Callable[[Tx], object]:
        return lambda tx: use.set_actions(tx, ["errors", "gone"], on, LATER)

    in_store(sqlite_url, put(ERRORS))
    assert in_store(sqlite_url, switch(False), one("errors")).actions_enabled is False
    assert in_store(sqlite_url, switch(True), one("errors")).actions_enabled is True


def look_back(where: use.HistoryFilter) -> Callable[[Tx], list[use.HistoryItem]]:
    return lambda tx: use.history(tx, where, 100)[0]


def test_history_tells_definitions_states_and_actions(sqlite_url: str) -> None:
    steps = [put(ERRORS), to_alarm("errors"), lambda tx: use.delete(tx, ["errors"], LATER)]
    in_store(sqlite_url, *steps, put(SLOW))
    items = in_store(sqlite_url, look_back(use.HistoryFilter(name="errors", newest_first=False)))
    assert [(item.item, item.summary) for item in items] == [
        ("ConfigurationUpdate", 'Alarm "errors" created'),
        ("StateUpdate", "Alarm updated from INSUFFICIENT_DATA to ALARM"),
        ("Action", "Action due, not carried out: arn:aws:sns:us-east-1:000000000000:pager"),
        ("ConfigurationUpdate", 'Alarm "errors" deleted'),
    ]
    change = json.loads(items[1].data)
    assert change["oldState"]["stateValue"] == "INSUFFICIENT_DATA"
    assert change["newState"] == {"stateValue": "ALARM", "stateReason": "by hand"}
    states = in_store(sqlite_url, look_back(use.HistoryFilter(item="StateUpdate")))
    assert [(item.name, item.at) for item in states] == [("errors", LATER)]
    newest = in_store(sqlite_url, look_back(use.HistoryFilter()))
    assert newest[0].name == "slow"
    early = in_store(sqlite_url, look_back(use.HistoryFilter(name="errors", until=NOW + timedelta(seconds=1))))
    assert [item.summary for item in early] == ['Alarm "errors" created']


def test_actions_that_are_off_are_not_due(sqlite_url: str) -> None:
    in_store(sqlite_url, put(replace(ERRORS, actions_enabled=False)), to_alarm("errors"))
    items = in_store(sqlite_url, look_back(use.HistoryFilter()))
    assert [item.item for item in items] == ["StateUpdate", "ConfigurationUpdate"]


def test_history_items_fit_however_long_the_reasons(sqlite_url: str) -> None:
    def long(state: AlarmState) -> Callable[[Tx], object]:
        return lambda tx: use.set_state(tx, "errors", state, '"' * 1023, "x" * 4000, LATER)

    in_store(sqlite_url, put(ERRORS), long(AlarmState.OK), long(AlarmState.ALARM))
    items = in_store(sqlite_url, look_back(use.HistoryFilter(item="StateUpdate")))
    assert len(items) == 2
    for item in items:
        assert 0 < len(item.data) <= 4095
        json.loads(item.data)


@pytest.mark.parametrize("newest_first", [True, False])
def test_history_pages_miss_nothing(sqlite_url: str, newest_first: bool) -> None:
    flips = [
        lambda tx, s=state: use.set_state(tx, "errors", s, "flip", None, LATER)
        for state in [AlarmState.ALARM, AlarmState.OK] * 60
    ]
    in_store(sqlite_url, put(ERRORS, SLOW), *flips)

    def pages(tx: Tx) -> tuple[list[use.HistoryItem], int]:
        where = use.HistoryFilter(name="errors", item="Action", newest_first=newest_first)
        seen: list[use.HistoryItem] = []
        after: int | None = 0
        count = 0
        while after is not None:
            found, after = use.history(tx, where, 50, after)
            seen += found
            count += 1
        return seen, count

    items, count = in_store(sqlite_url, pages)
    assert len(items) == 120 and count == 3
    assert {item.item for item in items} == {"Action"}


def test_watchers_are_endpoints_whose_rollout_names_the_alarm(sqlite_url: str) -> None:
    def endpoint(name: str, *alarms: str) -> Endpoint:
        version = Version(1, "c", ())
        plan = RolloutPlan((), alarms=alarms)
        return Endpoint(name, NOW, NOW, rollout=Rollout("r", None, version, DeploymentConfig(), plan, NOW))

    def fill(tx: Tx) -> None:
        for one in (endpoint("fraud", "errors", "slow"), endpoint("other", "slow"), Endpoint("calm", NOW, NOW)):
            tx.put(ENDPOINT, one.name, one, expect=0, now=NOW)

    assert in_store(sqlite_url, fill, lambda tx: use.guarded_endpoints(tx, ["errors", "gone"])) == ["fraud"]


# Which alarms are shown as an endpoint's.


NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_alarms_of_a_version_that_is_gone_are_not_the_endpoints() -> None:
    world = make_updating_world(version("v1", 2), version("v2", 2), canary(percent(10), 60, 60))
    world.run(1000, lambda w: w.record is not None and w.record.rollout is not None)
    updating = world.record
    assert updating is not None and updating.rollout is not None
    old, new = updating.rollout.old, updating.rollout.new
    assert old is not None
    alarms = [
        metric_alarm(NOON, name="whole"),
        metric_alarm(NOON, name="old", dimensions={"EndpointConfigName": old.config_name}),
        metric_alarm(NOON, name="new", dimensions={"EndpointConfigName": new.config_name}),
    ]
    assert [one.name for one in of_present_versions(updating, alarms)] == ["whole", "old", "new"]
    rolled_back = replace(updating, rollout=None, serving=old)
    assert [one.name for one in of_present_versions(rolled_back, alarms)] == ["whole", "old"]
