"""The /metrics page, read back with Prometheus's own client library."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.rollout import DeploymentConfig, Phase, RolloutPlan, Version
from tidegate.domain.traffic import build_route_table
from tidegate.monitoring import sketch
from tidegate.service.fleet_totals import MOST_CONFIGS, SILENT, FleetKey, Totals, add
from tidegate.service.prometheus import render

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GREEN = FleetId("fraud", 2, "main")
LATENCY = Latency({sketch.index(700.0): 3, sketch.index(40_000.0): 1}, 42_100.0, 700.0, 40_000.0)
SECOND = FleetSecond(GREEN, "fraud-2", 10, 1, 4, 1, 2, 2, LATENCY, LATENCY)
LABELS = {"endpoint": "fraud", "variant": "main", "config": "fraud-2"}
ALARM = metric_alarm(
    NOW,
    name='a "quoted"\\ name',
    metric="ModelLatency",
    dimensions={},
    statistic="p99",
    threshold=1.0,
    state=AlarmState.ALARM,
)
ROLLOUT = Rollout(
    id="r1",
    old=Version(1, "fraud-1", ()),
    new=Version(2, "fraud-2", ()),
    deployment=DeploymentConfig(),
    plan=RolloutPlan(()),
    started_at=NOW,
    phase=Phase.BAKING,
)
ENDPOINT = Endpoint("fraud", NOW, NOW, rollout=ROLLOUT)
SEEN = Observation(
    {GREEN: FleetStatus(GREEN, 2, 1)},
    build_route_table("fraud", 1, [(1, 7500, {"main": 1.0}), (2, 2500, {"main": 1.0})]),
)


def read(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample on the page; a page with one sample twice, or one that cannot be read, fails."""
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    found = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
    assert len(found) == len(samples) > 0
    return found


def value(page: str, name: str, labels: dict[str, str]) -> float:
    return read(page)[name, frozenset(labels.items())]


def page() -> str:
    totals = add(
        add({}, [SECOND]), [SECOND, replace(SECOND, config_name="fraud-3", fleet=FleetId("fraud", 3, "main"))]
    )
    return render(totals, [ALARM], [(ENDPOINT, SEEN), (Endpoint("calm", NOW, NOW), None)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tidegate_invocations_total", 8),
        ("tidegate_invocation_4xx_errors_total", 2),
        ("tidegate_invocation_5xx_errors_total", 4),
        ("tidegate_invocation_model_errors_total", 4),
        ("tidegate_model_latency_seconds_count", 8),
        ("tidegate_overhead_latency_seconds_count", 8),
        ("tidegate_model_latency_seconds_sum", 0.0842),
    ],
)
def test_counters_add_up_per_config(name: str, expected: float) -> None:
    assert value(page(), name, LABELS) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bound", "expected"), [("0.001", 6), ("0.025", 6), ("0.05", 8), ("60.0", 8), ("+Inf", 8)]
)
def test_histogram_is_cumulative(bound: str, expected: int) -> None:
    assert value(page(), "tidegate_model_latency_seconds_bucket", {**LABELS, "le": bound}) == expected


def test_a_request_beyond_the_last_bucket_counts_in_infinity_alone() -> None:
    slow = replace(SECOND, model_latency=Latency({sketch.index(9e7): 1}, 9e7, 9e7, 9e7))
    text = render(add({}, [slow]), [], [])
    assert value(text, "tidegate_model_latency_seconds_bucket", {**LABELS, "le": "60.0"}) == 0
    assert value(text, "tidegate_model_latency_seconds_bucket", {**LABELS, "le": "+Inf"}) == 1


@pytest.mark.parametrize("state", list(AlarmState))
def test_alarm_states(state: AlarmState) -> None:
    labels = {"alarm": 'a "quoted"\\ name', "state": state.value}
    assert value(page(), "tidegate_alarm_state", labels) == (state is AlarmState.ALARM)


def test_rollout() -> None:
    phases = {p: value(page(), "tidegate_rollout_phase", {"endpoint": "fraud", "phase": p}) for p in Phase}
    assert [phase for phase, on in phases.items() if on] == [Phase.BAKING]
    assert value(page(), "tidegate_rollout_new_share_ratio", {"endpoint": "fraud"}) == 0.25
    ready = {"endpoint": "fraud", "variant": "main", "generation": "2"}
    assert value(page(), "tidegate_ready_instances", ready) == 1


def test_how_the_last_rollout_ended_stays_on_the_page() -> None:
    ended = replace(ROLLOUT, phase=Phase.ROLLED_BACK, ended_at=NOW)
    text = render({}, [], [(replace(ENDPOINT, rollout=None, last=ended), SEEN)])
    labels = {"endpoint": "fraud", "outcome": "RolledBack"}
    assert value(text, "tidegate_last_rollout_ended_timestamp_seconds", labels) == NOW.timestamp()


def test_what_cannot_be_seen_is_left_out() -> None:
    text = render({}, [], [(ENDPOINT, Observation(None, None))])
    names = {name for name, _ in read(text)}
    assert names == {"tidegate_rollout_phase"}


def test_adding_leaves_the_earlier_totals_alone() -> None:
    before = add({}, [SECOND])
    add(before, [SECOND])
    assert before[FleetKey("fraud", "main", "fraud-2")].invocations == 4


def test_copies_are_counted_where_there_is_a_shadow() -> None:
    def noted(name: str, good: int, bad: int = 0) -> WorkerSeries:
        bins: dict[int, float] = {sketch.index(1.0): good, sketch.index(0.0): bad}
        return WorkerSeries(name, (), Latency(bins, good, 0.0, 1.0))

    series = (noted("MirrorCopies", 9, 1), noted("MirrorDropped", 3), noted("MirrorAgreement", 7, 2))
    totals = add(add({}, [replace(SECOND, series=series)]), [replace(SECOND, second=11, series=series)])
    found = read(render(totals, (), ()))
    key = frozenset(LABELS.items())
    counted = {name: found[f"tidegate_mirror_{name}_total", key] for name in ("copies", "failed", "dropped")}
    assert counted == {"copies": 20, "failed": 2, "dropped": 6}
    assert found["tidegate_mirror_agreed_total", key] / found["tidegate_mirror_compared_total", key] == 14 / 18
    assert "tidegate_mirror" not in render(add({}, [SECOND]), (), ())


def test_captured_requests_are_counted() -> None:
    def noted(name: str, each: float) -> WorkerSeries:
        return WorkerSeries(name, (), Latency({sketch.index(each): 1.0}, each, each, each))

    second = replace(SECOND, series=(noted("CapturedRequests", 7.0), noted("CaptureDropped", 2.0)))
    page = render(add(add({}, [second]), [second]), (), ())
    assert value(page, "tidegate_captured_requests_total", LABELS) == 14
    assert value(page, "tidegate_capture_dropped_total", LABELS) == 4


def test_what_waits_and_what_was_turned_away() -> None:
    def one(name: str, value: float) -> WorkerSeries:
        return WorkerSeries(name, (), Latency({sketch.index(value): 1.0}, value, value, value))

    second = FleetSecond(GREEN, "v1", 1, 2, series=(one("RefusedRequests", 3.0), one("ThrottledRequests", 4.0)))
    seen = FleetStatus(GREEN, 2, 2, in_flight=5, queued=6, queue_time=0.25)
    unclear = FleetStatus(FleetId("fraud", 99, "main"), 2, 2)
    look = Observation({GREEN: seen, unclear.id: unclear}, None)
    page = render(add(add({}, [second]), [second]), [], [(Endpoint("fraud", NOW, NOW), look)])
    config = {"endpoint": "fraud", "variant": "main", "config": "v1"}
    assert value(page, "tidegate_refused_requests_total", config) == 6
    assert value(page, "tidegate_throttled_requests_total", config) == 8
    fleet = {"endpoint": "fraud", "variant": "main", "generation": "2"}
    assert value(page, "tidegate_in_flight_requests", fleet) == 5
    assert value(page, "tidegate_queued_requests", fleet) == 6
    assert value(page, "tidegate_queue_seconds", fleet) == 0.25
    assert page.count("tidegate_queued_requests{") == 1, "what is not known is not told"


def of_configs(names: list[str], at: int, endpoint: str = "fraud") -> list[FleetSecond]:
    fleet = FleetId(endpoint, 2, "main")
    return [replace(SECOND, fleet=fleet, config_name=name, second=at) for name in names]


def test_totals_of_former_configs_are_not_kept_for_ever_and_those_of_late_are() -> None:
    former = [f"v{number:03}" for number in range(60)]
    totals = add({}, of_configs(former, 1_000))
    assert len(totals) == 60, "each may still be within a window of rate()"
    for number in range(60):
        totals = add(totals, of_configs([f"w{number:03}"], 1_000 + SILENT))
    assert len(totals) == 60 and not {key.config for key in totals} & set(former)
    totals = add(totals, of_configs(["idle"], 2_000, "another"))
    assert FleetKey("another", "main", "idle") in totals, "those with the latest requests stay, however long ago"


def test_totals_have_a_bound_whatever_is_deployed() -> None:
    totals = add({}, of_configs([f"v{number}" for number in range(MOST_CONFIGS + 50)], 1_000))
    assert len(totals) == MOST_CONFIGS


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3 * SILENT)), max_size=120))
def test_a_counter_rises_or_begins_anew_at_what_came_since(reports: list[tuple[int, int]]) -> None:
    totals: Totals = {}
    for number, at in reports:
        seconds = of_configs([f"v{number}"], at)
        after = add(totals, seconds)
        for key, one in after.items():
            before = totals[key].invocations if key in totals else 0
            came = sum(second.invocations for second in seconds if second.config_name == key.config)
            assert one.invocations == before + came
        totals = after
    assert len(totals) <= 31
