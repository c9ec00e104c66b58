"""The card of an endpoint to print."""

from collections.abc import Callable
from typing import TypeVar

from tests.features.access.signed_in import House
from tests.gateway_harness import GatewayHarness
from tests.unit.gateway.test_native import SPEC
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT

R = TypeVar("R")


async def test_all_of_a_card_is_of_one_moment() -> None:
    """The endpoint is gone right after it was read."""
    house = House(GatewayHarness())
    store = house.harness.store
    read = store.read

    async def read_and_remove(work: Callable[[Tx], R]) -> R:
        found = await read(work)
        await store.run(lambda tx: tx.delete(ENDPOINT, "fraud", expect=None, now=house.harness.clock.now()))
        return found

    async with house.browser() as client:
        config = (await client.put("/tidegate/v1/deploy", json={"spec": SPEC})).json()["config"]
        store.read = read_and_remove  # type: ignore[method-assign]
        answer = await client.get("/console/endpoints/fraud/card")
    assert (answer.status_code, answer.text.count(config) > 0) == (200, True)
