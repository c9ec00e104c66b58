"""Generations and fences of a new record are above all that its name ever had, whatever became of the records."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.memory_store import MemoryTx
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.service.endpoints import UpdateRequest, create_endpoint
from tidegate.service.record_kinds import CONFIG, ENDPOINT, MODEL

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def store() -> MemoryTx:
    tx = MemoryTx()
    tx.put(
        MODEL,
        "m",
        Model("m", (ContainerDefinition("tidegate/xgboost", "file:///m.ubj"),), START),
        expect=0,
        now=START,
    )
    config = EndpointConfig("c", (ProductionVariant("main", "m", 1, "local"),), START)
    tx.put(CONFIG, "c", config, expect=0, now=START)
    return tx


def create(tx: MemoryTx, now: datetime) -> Endpoint:
    create_endpoint(tx, "e", UpdateRequest("c"), {}, rollout_id="r", can=Capabilities(), now=now)
    saved = tx.get(ENDPOINT, "e")
    assert saved is not None and saved.body.rollout is not None
    assert saved.body.rollout.new.generation == saved.body.generation
    return saved.body


def test_a_record_in_another_store_has_higher_numbers() -> None:
    """The first store is lost, or an older backup of it is restored; what it started may run still."""
    first = create(store(), START)
    later = create(store(), START + timedelta(seconds=2))
    assert later.generation > first.generation
    assert later.fence > first.fence


@pytest.mark.parametrize("shift", [0, -86_400, 1])
def test_a_record_after_a_deletion_has_higher_numbers_whatever_the_clock_says(shift: int) -> None:
    tx = store()
    first = create(tx, START)
    tx.delete(ENDPOINT, "e", expect=None, now=START)
    again = create(tx, START + timedelta(seconds=shift))
    assert again.generation > first.generation
    assert again.fence > first.fence
