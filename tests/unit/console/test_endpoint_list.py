"""The list of endpoints is current, and reads no more than it has to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.gateway_harness import GatewayHarness
from tests.samples import canary, percent, version
from tidegate.console import core_pages, endpoint_list
from tidegate.console.activity import SPAN, RecentActivity, read_activity, read_rates
from tidegate.console.endpoint_list import HELD, EndpointList
from tidegate.console.list_query import ListQuery
from tidegate.console.page_context import PageContext
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.gateway.app import build_app
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.service import tags
from tidegate.service.record_kinds import ALARM, ENDPOINT

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = [f"e{number:02d}" for number in range(25)]
"""So many that their alarms are read together."""


def make_endpoint(name: str) -> Endpoint:
    serving = replace(version(f"{name}-v1", 1, created_at=NOW), generation=1)
    made = Endpoint(name, NOW, NOW, 1, serving, deployment=canary(percent(10), 600, alarms=(f"{name}-slow",)))
    return desired_state.route(made, 0)


def make_alarm(name: str) -> Alarm:
    threshold, above = 1e5, ComparisonOperator.GREATER
    return Alarm(name, SAGEMAKER, "ModelLatency", {}, "p99", 10, 3, 2, threshold, above, NOW)


def write(tx: Tx) -> None:
    for name in NAMES:
        tx.put(ENDPOINT, name, make_endpoint(name), expect=0, now=NOW)
        tx.put(ALARM, f"{name}-slow", make_alarm(f"{name}-slow"), expect=0, now=NOW)


@pytest.fixture
async def house() -> Any:
    made = GatewayHarness()
    await made.store.run(write)
    yield made
    await made.store.close()


def count_finds(house: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of the records that are read in lists, as they are read."""
    found, read = list[str](), type(house.store).read

    async def watched(store: Any, work: Callable[[Tx], Any]) -> Any:
        def wrapped(tx: Tx) -> Any:
            find = tx.find

            def spy(kind: Any, *rest: Any, **further: Any) -> Any:
                found.append(kind.name)
                return find(kind, *rest, **further)

            def count(kind: Any) -> Any:
                found.append(kind.name)
                return versions(kind)

            versions, tx.versions = tx.versions, count  # type: ignore[method-assign]
            tx.find = spy  # type: ignore[method-assign]
            return work(tx)

        return await read(store, wrapped)

    monkeypatch.setattr(type(house.store), "read", watched)
    return found


async def test_records_are_read_again_after_a_write_alone(
    house: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = EndpointList(PageContext(house.gateway, {}))
    finds = count_finds(house, monkeypatch)
    first = await listed.snapshot(ListQuery())
    assert first.layout[:-1] == tuple(NAMES) and finds
    finds.clear()
    assert (await listed.snapshot(ListQuery())).parts.keys() == first.parts.keys()
    assert finds == []

    def ring(tx: Tx) -> None:
        saved = tx.get(ALARM, "e03-slow")
        assert saved is not None
        tx.put(ALARM, "e03-slow", replace(saved.body, state=AlarmState.ALARM), expect=saved.version, now=NOW)
        tx.delete(ENDPOINT, "e00", expect=None, now=NOW)

    await house.store.run(ring)
    after = await listed.snapshot(ListQuery())
    assert finds and after.layout[:-1] == ("e03", "e01", "e02", *NAMES[4:])
    assert "alarm e03-slow" in after.parts["e03/state"] and "alarm" not in after.parts["e04/state"]


async def test_a_sparkline_that_is_continued_is_the_one_that_is_read_whole(house: GatewayHarness) -> None:
    """Also where requests were counted some seconds late."""
    listed = EndpointList(PageContext(house.gateway, {}))
    dimensions = (("EndpointName", "e05"), ("VariantName", "AllTraffic"))
    metric = MetricId(SAGEMAKER, "Invocations", dimensions)
    began = house.clock.now()
    for step in range(0, 90, 3):
        house.clock.shift = timedelta(seconds=step)
        second = int((began + house.clock.shift).timestamp())
        late = second - (step * 7) % 12
        count = float(1 + step % 5)
        await house.metrics.put([Sample(metric, late, count, count, 1.0, 1.0)])
        kept = await listed._read_sparkline("e05", ("AllTraffic",), second)
        listed._sparklines["e05"] = kept
    second = second // SPAN * SPAN + SPAN
    kept = await listed._read_sparkline("e05", ("AllTraffic",), second)
    assert list(kept.rates) == list(await read_rates(house.metrics, "e05", ["AllTraffic"], second))
    assert sum(kept.rates) > 0


async def test_other_variants_and_a_long_pause_are_read_anew(house: GatewayHarness) -> None:
    listed = EndpointList(PageContext(house.gateway, {}))
    metric = MetricId(SAGEMAKER, "Invocations", (("EndpointName", "e05"), ("VariantName", "b")))
    second = int(house.clock.now().timestamp()) // SPAN * SPAN
    await house.metrics.put([Sample(metric, second - 2 * SPAN, 5.0, 5.0, 1.0, 1.0)])
    listed._sparklines["e05"] = await listed._read_sparkline("e05", ("a",), second)
    assert sum(listed._sparklines["e05"].rates) == 0
    assert sum((await listed._read_sparkline("e05", ("a", "b"), second)).rates) == 1.0
    later = await listed._read_sparkline("e05", ("a",), second + 10_000)
    assert len(later.rates) == len(listed._sparklines["e05"].rates)


async def test_a_filter_shows_its_own_names_the_alarms_of_the_rest_and_reads_metrics_of_what_it_shows(
    house: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def watched(metrics: Any, name: str, *rest: Any) -> RecentActivity:
        asked.append(name)
        return await read_activity(metrics, name, *rest)

    monkeypatch.setattr(endpoint_list, "read_activity", watched)
    at = house.clock.now()
    monkeypatch.setattr(type(house.clock), "now", lambda self: at)

    def ring(tx: Tx) -> None:
        saved = tx.get(ALARM, "e03-slow")
        assert saved is not None
        tx.put(ALARM, "e03-slow", replace(saved.body, state=AlarmState.ALARM), expect=saved.version, now=NOW)
        tags.add(tx, ENDPOINT, "e07", {"team": "risk"}, NOW)

    await house.store.run(ring)
    listed = EndpointList(PageContext(house.gateway, {}))
    found = await listed.snapshot(ListQuery("team=risk"))
    assert found.layout[:-1] == ("e07",) and asked == ["e07"]
    assert found.parts["shown"] == "1 of 25 shown"
    assert "e03" in found.parts["hidden"] and "alarm e03-slow" in found.parts["hidden"]
    assert found.around == ("shown", "hidden")
    both = await listed.snapshot(ListQuery(sort="name", falling=True))
    assert both.layout[:-1] == tuple(reversed(NAMES)) and both.parts["hidden"] == ""
    assert sorted(asked) == NAMES  # of the one that was shown before in this second, nothing is read again


async def test_an_order_by_a_measured_column_stays_for_some_seconds_unless_endpoints_come_or_go(
    house: GatewayHarness,
) -> None:
    listed = EndpointList(PageContext(house.gateway, {}))
    query, began = ListQuery(sort="requests", falling=True), house.clock.now()

    async def ask(name: str, count: float) -> None:
        metric = MetricId(SAGEMAKER, "Invocations", (("EndpointName", name), ("VariantName", "AllTraffic")))
        second = int(house.clock.now().timestamp()) - 2
        await house.metrics.put([Sample(metric, second, count, count, 1.0, 1.0)])

    await ask("e09", 5)
    assert (await listed.snapshot(query)).layout[0] == "e09"
    await ask("e11", 50)
    house.clock.shift = timedelta(seconds=1)
    assert (await listed.snapshot(query)).layout[0] == "e09"
    house.clock.shift = timedelta(seconds=HELD + 1)
    assert (await listed.snapshot(query)).layout[:2] == ("e11", "e09")
    await house.store.run(lambda tx: tx.delete(ENDPOINT, "e11", expect=None, now=began))
    assert (await listed.snapshot(query)).layout[0] == "e09"


async def test_a_thousand_endpoints_are_shown_by_the_hundred_and_exported_whole(house: GatewayHarness) -> None:
    def write_many(tx: Tx) -> None:
        for number in range(25, 1_000):  # beside those that are there
            tx.put(ENDPOINT, f"f{number:03d}", make_endpoint(f"f{number:03d}"), expect=0, now=NOW)

    await house.store.run(write_many)
    listed = EndpointList(PageContext(house.gateway, {}))
    page = await listed.snapshot(ListQuery(sort="name", page=10))
    assert page.layout[-2:] == ("f999", "1000 of 1000") and len(page.layout) == 101
    assert page.parts["shown"] == "100 of 1,000 shown: page 10 of 10 of the 1,000 that match"
    assert "page=9" in page.parts["pages"] and "page=11" not in page.parts["pages"]
    assert [one["name"] for one in await listed.export(ListQuery("f99"))] == [
        f"f{number}" for number in range(990, 1000)
    ]


async def test_the_export_is_a_file_of_what_the_filter_lets_through(house: GatewayHarness) -> None:
    app = build_app(house.gateway, core_pages.list_routes(PageContext(house.gateway, {})))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=house.gateway.settings.url
    ) as client:
        answer = await client.get("/console/endpoints.csv?q=e01")
        assert answer.headers["content-disposition"] == 'attachment; filename="endpoints.csv"'
        assert [line.split(",")[:3] for line in answer.text.splitlines()] == [
            ["name", "target", "state"],
            ["e01", "local", "InService"],
        ]
        found = (await client.get("/console/endpoints.json?q=e0&sort=-name")).json()["endpoints"]
        assert [one["name"] for one in found] == [f"e0{number}" for number in range(9, -1, -1)]
        assert (await client.get("/console?sort=size")).status_code == 400


async def test_what_stands_around_the_rows_follows_endpoints_that_no_row_shows(house: GatewayHarness) -> None:
    """How many there are is said where no row is shown, too, and where only the page's own rows are."""
    listed, nothing = EndpointList(PageContext(house.gateway, {})), ListQuery(text="zzz")
    before = await listed.snapshot(nothing)
    await house.store.run(lambda tx: tx.put(ENDPOINT, "new", make_endpoint("new"), expect=0, now=NOW))
    after = await listed.snapshot(nothing)
    assert before.layout != after.layout and after.render_whole is not None
    assert f"Show all {len(NAMES) + 1}" in after.render_whole()


async def test_a_description_is_made_again_only_where_something_is_different(house: GatewayHarness) -> None:
    listed = EndpointList(PageContext(house.gateway, {}))
    first = await listed._look()

    def fail(tx: Tx) -> None:
        saved = tx.get(ENDPOINT, "e01")
        assert saved is not None
        tx.put(ENDPOINT, "e01", replace(saved.body, failure_reason="no room"), expect=saved.version, now=NOW)

    await house.store.run(fail)
    house.clock.shift += timedelta(seconds=1)
    second = await listed._look()
    kept = {name for name in NAMES if second.described[name] is first.described[name]}
    assert second is not first and kept == {*NAMES} - {"e01"}
    assert second.described["e01"].document["failure_reason"] == "no room"
