"""Which target an endpoint runs on, and what a target refuses."""

from dataclasses import replace

import pytest

from tests.memory_store import MemoryTx
from tests.unit.service.needy_versions import configure
from tests.unit.service.test_deploy import ANN, LATER, START, known, wish
from tidegate.domain.errors import Conflict, Invalid, TidegateError
from tidegate.domain.observation import Capabilities
from tidegate.domain.targets import TARGET_TAG, TargetTable
from tidegate.service.deploy import deploy
from tidegate.service.endpoints import UpdateRequest, create_endpoint
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.targets import choose_target, find_capabilities

PLAIN = Capabilities(
    serverless=False,
    asynchronous=False,
    shadow=False,
    multi_model=False,
    capture=False,
    devices=False,
    admission=False,
)
TABLE = TargetTable({"local": Capabilities(), "cluster": PLAIN}, default="local")


def put(tx: MemoryTx, target: str | None, table: TargetTable = TABLE, version: str = "1") -> str:
    asked = replace(wish(version), target=target)
    deploy(tx, asked, ANN, runnable=known, rollout_id="r", targets=table, now=START)
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None
    return saved.body.target


def test_new_endpoint_runs_where_its_spec_says() -> None:
    assert put(MemoryTx(), "cluster") == "cluster"


@pytest.mark.parametrize("default", ["local", "cluster"])
def test_new_endpoint_without_a_target_runs_on_the_default(default: str) -> None:
    assert put(MemoryTx(), None, replace(TABLE, default=default)) == default


def test_tag_names_the_target_for_clients_of_sagemakers_api() -> None:
    tx = MemoryTx()
    assert choose_target(tx, "fraud", None, {TARGET_TAG: "cluster"}, TABLE) == "cluster"


def test_later_deployment_without_a_target_stays_where_the_endpoint_is() -> None:
    tx = MemoryTx()
    put(tx, "cluster")
    assert choose_target(tx, "fraud", None, {}, TABLE) == "cluster"
    assert find_capabilities(tx, "fraud", TABLE) == PLAIN


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("local", Conflict, 'endpoint "fraud" runs on target cluster and cannot move to local'),
        ("clutser", Conflict, "cannot move to clutser"),
    ],
)
def test_an_endpoint_cannot_move_to_another_target(target: str, error: type[TidegateError], message: str) -> None:
    tx = MemoryTx()
    put(tx, "cluster")
    with pytest.raises(error, match=message):
        deploy(
            tx, replace(wish("1"), target=target), ANN, runnable=known, rollout_id="r", targets=TABLE, now=LATER
        )


def test_unknown_target_is_refused_with_a_suggestion_and_nothing_is_saved() -> None:
    tx = MemoryTx()
    with pytest.raises(Invalid, match=r"target 'clutser' is not set up on this server, did you mean 'cluster'\?"):
        put(tx, "clutser")
    assert tx.get(ENDPOINT, "fraud") is None


def test_target_that_is_set_up_no_more_is_named() -> None:
    tx = MemoryTx()
    put(tx, "cluster")
    with pytest.raises(Invalid, match="target 'cluster' is not set up on this server"):
        find_capabilities(tx, "fraud", TargetTable())


@pytest.mark.parametrize(
    "lacking", ["serverless", "asynchronous", "shadow", "multi_model", "capture", "devices", "admission"]
)
def test_version_that_the_target_cannot_run_is_refused_before_anything_starts(lacking: str) -> None:
    tx = MemoryTx()
    config, words = configure(tx, lacking)
    with pytest.raises(Invalid, match=f"target cluster has no {words}"):
        create_endpoint(tx, "e", UpdateRequest(config), {}, rollout_id="r", can=PLAIN, now=START, target="cluster")
    create_endpoint(
        tx, "e", UpdateRequest(config), {}, rollout_id="r", can=Capabilities(), now=START, target="cluster"
    )
