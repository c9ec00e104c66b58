"""The command palette: what fits a few letters, and what a role may do."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.gateway_harness import GatewayHarness
from tests.samples import version
from tidegate.console.identity import Reader
from tidegate.console.palette import MOST, list_of_endpoint, list_pages, rank_names, read_entries
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid
from tidegate.features.asynchronous.card import QueueCard
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT

NOW = datetime(2030, 1, 1, tzinfo=UTC)
VIEWER = Reader("eve", "viewer", "", True, False, False)
OPERATOR = replace(VIEWER, role="operator", may_operate=True)
ADMIN = replace(OPERATOR, role="admin", may_inspect=True)


def make_endpoint(name: str) -> Endpoint:
    serving = version("c")
    queued = tuple(replace(one, asynchronous=AsyncConfig("file:///out")) for one in serving.variants)
    return Endpoint(name, NOW, NOW, serving=replace(serving, variants=queued))


def test_nobody_is_offered_what_their_role_may_not_do() -> None:
    titles = {
        who.role: {one.title for one in list_of_endpoint(make_endpoint("fraud"), who, [QueueCard()])}
        for who in (VIEWER, OPERATOR)
    }
    assert titles["operator"] - titles["viewer"] == {"fraud: Empty the queue"}
    pages = {who.role: {one.title for one in list_pages(who)} for who in (VIEWER, OPERATOR, ADMIN)}
    assert pages["operator"] - pages["viewer"] == {"New endpoint"}
    assert pages["admin"] - pages["operator"] == {"Users", "Audit"}


def test_names_with_more_of_the_words_come_first() -> None:
    names = ["payroll", "a-fraud", "fraud-eu", "fraud"]
    assert rank_names(names, ["fraud", "eu"]) == ["fraud-eu", "fraud", "a-fraud"]
    assert rank_names(names, []) == sorted(names)
    assert rank_names(names, ["drift"]) == []


async def test_an_endpoint_its_pages_and_its_actions_are_found_among_a_thousand() -> None:
    house = GatewayHarness()

    def write(tx: Tx) -> None:
        for number in range(1_000):
            tx.put(ENDPOINT, f"e{number:03d}", make_endpoint(f"e{number:03d}"), expect=0, now=NOW)

    await house.store.run(write)
    first = (await read_entries(house.gateway, [QueueCard()], "E777", OPERATOR))[0]
    assert first == {"title": "e777", "about": "endpoint", "href": "/console/endpoints/e777"}
    (drift,) = await read_entries(house.gateway, [QueueCard()], "e777 drift", VIEWER)
    assert drift["href"] == "/console/endpoints/e777/drift"
    (empty,) = await read_entries(house.gateway, [QueueCard()], "empty e777", OPERATOR)
    without_name = await read_entries(house.gateway, [QueueCard()], "empty", OPERATOR)
    assert without_name[0]["href"] == "/console/endpoints/e000#do=empty-queue"
    assert empty["href"] == "/console/endpoints/e777#do=empty-queue"
    assert await read_entries(house.gateway, [QueueCard()], "empty e777", VIEWER) == []
    assert any(
        one["title"] == "Planner" for one in await read_entries(house.gateway, [QueueCard()], "plan", VIEWER)
    )
    assert len(await read_entries(house.gateway, [QueueCard()], "e", OPERATOR)) == MOST
    with pytest.raises(Invalid, match="101 characters"):
        await read_entries(house.gateway, [QueueCard()], "x" * 101, VIEWER)
    assert json.dumps(await read_entries(house.gateway, [QueueCard()], "", VIEWER))
    await house.store.close()
