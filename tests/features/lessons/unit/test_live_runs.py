"""Live runs: an endpoint of their own, what they made removed again, and nothing of anybody else's touched."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.memory_store import MemoryTx
from tests.metric_alarm import metric_alarm
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.errors import Conflict, Invalid, NotFound
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import BlueGreen, DeploymentConfig, TrafficRouting
from tidegate.domain.targets import TargetTable
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.run_records import LIVE_RUN, MAX_RATE, TAG, LiveRun, RunPart, RunTraffic
from tidegate.service import deploy as deploying
from tidegate.service import tags
from tidegate.service.deploy import DeployOptions
from tidegate.service.endpoint_extension import DeploymentIds
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN = LiveRun("lab", "lab-1", "shown", "ann", START, START + timedelta(hours=1))
ALL_AT_ONCE = DeploymentConfig(BlueGreen(TrafficRouting.ALL_AT_ONCE), alarms=("shown-errors",))


def wish(version: str, endpoint: str = "shown") -> DesiredDeployment:
    model = Model(f"{endpoint}-{version}", (ContainerDefinition("tidegate/xgboost", f"file:///{version}"),), START)
    config = EndpointConfig(model.name, (ProductionVariant("main", model.name, 1, "local"),), START)
    alarm = replace(metric_alarm(START), name="shown-errors")
    return DesiredDeployment(endpoint, (model,), config, ALL_AT_ONCE, (alarm,), {"team": "risk"})


def deploy(tx: MemoryTx, asked: DesiredDeployment) -> None:
    live_runs.deploy(
        tx,
        "lab",
        asked,
        DeployOptions("ann"),
        runnable=lambda container: None,
        rollout_id="rollout-1",
        targets=TargetTable(),
        now=START,
        ids=DeploymentIds(),
    )


def deploy_by_command(tx: MemoryTx, asked: DesiredDeployment) -> None:
    deploying.deploy(
        tx,
        asked,
        DeployOptions("bob"),
        runnable=lambda container: None,
        rollout_id="rollout-2",
        targets=TargetTable(),
        now=START,
    )


def begun() -> MemoryTx:
    tx = MemoryTx()
    live_runs.begin(tx, RUN)
    return tx


def make_gone(tx: MemoryTx, name: str = "shown") -> None:
    """As the engine does once all requests are answered."""
    tx.delete(ENDPOINT, name, expect=None, now=START)


def test_a_second_run_of_a_kind_is_refused_until_the_first_has_ended() -> None:
    tx = begun()
    with pytest.raises(Conflict, match="begun by ann"):
        live_runs.begin(tx, replace(RUN, id="lab-2"))
    live_runs.begin(tx, replace(RUN, what="peak", id="peak-1", endpoint="other"))
    live_runs.ask_to_end(tx, "lab", "bob", START)
    with pytest.raises(Conflict, match="is being ended"):
        live_runs.begin(tx, replace(RUN, id="lab-2"))
    assert live_runs.remove_some(tx, "lab", START)
    live_runs.mark_ended(tx, "lab", START)
    live_runs.begin(tx, replace(RUN, id="lab-2"))
    assert {run.id for run in live_runs.find_open(tx)} == {"lab-2", "peak-1"}


@pytest.mark.parametrize("lasting", [timedelta(0), timedelta(hours=5), timedelta(seconds=-1)])
def test_no_run_lasts_for_ever(lasting: timedelta) -> None:
    with pytest.raises(Invalid, match="lasts"):
        live_runs.begin(MemoryTx(), replace(RUN, until=START + lasting))


def test_an_endpoint_of_somebody_else_is_neither_taken_nor_deployed_to_nor_removed() -> None:
    tx = MemoryTx()
    deploy_by_command(tx, wish("theirs"))
    with pytest.raises(Conflict, match=r"another endpoint .*'tidegate delete shown'"):
        live_runs.begin(tx, RUN)

    tx = begun()
    deploy_by_command(tx, wish("theirs"))
    with pytest.raises(Conflict, match="not touched"):
        deploy(tx, wish("v1"))
    assert tx.get(MODEL, "shown-v1") is None, "a refused deployment leaves nothing"
    live_runs.ask_to_end(tx, "lab", "ann", START)
    assert live_runs.remove_some(tx, "lab", START)
    saved = tx.get(ENDPOINT, "shown")
    assert saved is not None and not saved.body.deleting
    assert tx.get(CONFIG, "shown-theirs") is not None and tx.get(ALARM, "shown-errors") is not None


def test_a_tag_of_another_run_does_not_make_an_endpoint_its_own() -> None:
    tx = begun()
    deploy_by_command(tx, replace(wish("old"), tags={TAG: "lab-0"}))
    assert not live_runs.is_own(tx, RUN)


def test_all_that_it_made_is_removed_step_by_step_and_no_more() -> None:
    tx = begun()
    deploy_by_command(tx, wish("v1", "neighbour"))  # has made the alarm that both name
    deploy(tx, wish("v1"))
    assert tags.read(tx, ENDPOINT, "shown") == {"team": "risk", TAG: "lab-1"}
    run = live_runs.find(tx, "lab")
    assert run is not None and set(run.made) == {RunPart("config", "shown-v1"), RunPart("model", "shown-v1")}

    live_runs.ask_to_end(tx, "lab", "bob", START)
    with pytest.raises(Conflict, match="is being ended by bob"):
        deploy(tx, wish("v2"))
    assert not live_runs.remove_some(tx, "lab", START)
    saved = tx.get(ENDPOINT, "shown")
    assert saved is not None and saved.body.deleting
    assert not live_runs.remove_some(tx, "lab", START), "it waits for the endpoint's requests"
    assert tx.get(CONFIG, "shown-v1") is not None
    make_gone(tx)
    assert live_runs.remove_some(tx, "lab", START)
    assert live_runs.remove_some(tx, "lab", START), "once more, as after a crash"
    assert tx.get(CONFIG, "shown-v1") is None and tx.get(MODEL, "shown-v1") is None
    assert tx.get(ALARM, "shown-errors") is not None and tx.get(CONFIG, "neighbour-v1") is not None


def test_what_a_command_deployed_is_removed_as_well_but_not_what_another_endpoint_uses() -> None:
    tx = begun()
    live_runs.expect_deployments(tx, "lab", [wish("v1"), wish("v2")], START)
    deploy_by_command(tx, replace(wish("v1"), tags={TAG: "lab-1"}))
    kept = wish("v2")
    deploy_by_command(tx, replace(kept, endpoint="neighbour"))
    live_runs.ask_to_end(tx, "lab", "ann", START)
    assert not live_runs.remove_some(tx, "lab", START)
    make_gone(tx)
    assert live_runs.remove_some(tx, "lab", START)
    assert tx.get(MODEL, "shown-v1") is None
    assert tx.get(CONFIG, "shown-v2") is not None and tx.get(MODEL, "shown-v2") is not None
    assert tx.get(ALARM, "shown-errors") is not None, "the neighbour's rollouts are guarded by it"


def test_it_deploys_to_its_own_endpoint_alone() -> None:
    with pytest.raises(Invalid, match='not to "payroll"'):
        deploy(begun(), wish("v1", "payroll"))


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [(MAX_RATE + 1, 10), (-1, 10), (float("nan"), 10), (1, 0), (1, float("inf")), (1, 1e9)],
)
def test_traffic_without_bounds_is_refused(rate: float, seconds: float) -> None:
    tx = begun()
    with pytest.raises(Invalid, match="expected"):
        live_runs.send(tx, "lab", rate, seconds, START)
    run = live_runs.find(tx, "lab")
    assert run is not None and run.traffic is None


@pytest.mark.parametrize("file", ["../../tidegate.db", "/etc/passwd", ".hidden", ".."])
def test_requests_come_from_the_runs_own_folder(file: str) -> None:
    with pytest.raises(Invalid, match="not a file in the run's folder"):
        live_runs.send(begun(), "lab", 1, 1, START, file)


def test_traffic_ends_with_the_run() -> None:
    tx = begun()
    run = live_runs.send(tx, "lab", 50, 7_200, START)
    assert run.traffic_at(START) == RunTraffic(START, 7_200, 50)
    assert run.traffic_at(run.until) is None
    assert live_runs.halt(tx, "lab", START).traffic_at(START) is None
    live_runs.send(tx, "lab", 50, 60, START)
    assert live_runs.ask_to_end(tx, "lab", "ann", START).traffic is None
    with pytest.raises(Conflict, match="being ended"):
        live_runs.send(tx, "lab", 50, 60, START)


def test_what_is_not_under_way_cannot_be_ended() -> None:
    tx = MemoryTx()
    with pytest.raises(NotFound, match="lab is not under way"):
        live_runs.ask_to_end(tx, "lab", "ann", START)
    assert tx.get(LIVE_RUN, "lab") is None
