"""A queue is emptied by the native API: what is said, what ends, and what stays."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.gateway_harness import GatewayHarness
from tests.samples import version
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.asynchronous import AsyncConfig, Backlog, Item, ItemOutcome, ItemState, OutcomeKind
from tidegate.domain.endpoint import Endpoint
from tidegate.features.asynchronous.card import SHOWN_FAILURES, empty_queue, queue_view
from tidegate.features.asynchronous.loop import backlog_samples
from tidegate.gateway.app import build_app
from tidegate.ports.queue import QueueRow
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT
from tidegate.store.queue import SqlQueue

URL = "http://127.0.0.1:8471"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
ITEM = Item("a", "fraud", "a", 100.0, 9e9, 900.0, "file:///out/a.out")


def write(tx: Tx) -> None:
    wanted, config = version("c"), AsyncConfig("file:///out")
    queued = replace(wanted, variants=tuple(replace(one, asynchronous=config) for one in wanted.variants))
    tx.put(ENDPOINT, "fraud", Endpoint("fraud", NOW, NOW, serving=queued), expect=0, now=NOW)
    tx.put(ENDPOINT, "plain", Endpoint("plain", NOW, NOW, serving=wanted), expect=0, now=NOW)


@dataclass
class QueueScene:
    house: GatewayHarness
    queue: SqlQueue
    client: httpx.AsyncClient

    async def empty(self, name: str, body: str) -> httpx.Response:
        path, headers = f"/tidegate/v1/endpoints/{name}/queue/empty", {"content-type": "application/json"}
        return await self.client.post(path, content=body, headers=headers)

    async def accept(self, id: str, at: float) -> None:
        await self.queue.accept(lambda tx: replace(ITEM, id=id, accepted_at=at), b"1")


@pytest.fixture
async def scene() -> AsyncIterator[QueueScene]:
    house = GatewayHarness()
    await house.store.run(write)
    queue = SqlQueue(house.store.database)
    gateway = replace(house.gateway, context=replace(house.gateway.context, queue=queue))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app(gateway)), base_url=URL) as client:
        yield QueueScene(house, queue, client)
    await house.store.close()


async def test_what_waited_when_somebody_looked_fails_and_journal_audit_and_requests_say_who(
    scene: QueueScene,
) -> None:
    for id, at in (("a", 100.0), ("b", 110.0), ("late", 120.0)):
        await scene.accept(id, at)
    asked = {"by": "ada", "reason": "a broken <b>export</b>", "through": 110.0}
    answer = await scene.empty("fraud", json.dumps(asked))
    assert answer.json() == {
        "endpoint": "fraud",
        "emptied": 2,
        "backlog": {"waiting": 1, "working": 0, "oldest": 120.0},
    }
    rows = {row.item.id: row for row in await scene.queue.rows("fraud", 9)}
    assert rows["late"].state is ItemState.WAITING
    outcome = rows["a"].outcome
    assert outcome is not None and outcome.end is OutcomeKind.FAILED
    assert outcome.reason == "The queue was emptied by ada: a broken <b>export</b>."
    events = (await scene.client.get("/tidegate/v1/endpoints/fraud/events")).json()["events"]
    assert events[-1]["message"] == "emptying the queue, 3 waiting, asked for by ada: a broken <b>export</b>"
    (entry,) = await scene.house.trail.audit.read(before=0, limit=9, who="", about="fraud")
    assert entry.reason == "a broken <b>export</b>" and entry.detail == "2 requests"


@pytest.mark.parametrize(
    ("name", "body", "status", "why"),
    [
        ("plain", "{}", 400, "Endpoint plain is not asynchronous: it has no queue"),
        ("nobody", "{}", 404, 'there is no endpoint "nobody"'),
        ("fraud", '{"through": "now"}', 400, "'through' must be a time in seconds since 1970"),
        ("fraud", '{"through": true}', 400, "'through' must be a time in seconds since 1970"),
        ("fraud", '{"through": NaN}', 400, "NaN is not a JSON number"),
        ("fraud", '{"endpoint": "x"}', 400, "'endpoint' is not a member of this request"),
        ("fraud", '{"reason": "two\\nlines"}', 400, "'reason' must be text"),
    ],
)
async def test_a_request_that_says_anything_else_is_refused_and_ends_nothing(
    scene: QueueScene, name: str, body: str, status: int, why: str
) -> None:
    await scene.accept("a", 100.0)
    answer = await scene.empty(name, body)
    assert answer.status_code == status and why in answer.json()["error"]["message"]
    assert (await scene.queue.backlogs())["fraud"].waiting == 1


async def test_a_time_to_come_or_none_ends_what_is_there_now(scene: QueueScene) -> None:
    await scene.accept("a", 100.0)
    early = await scene.empty("fraud", f'{{"through": -1{"0" * 400}}}')
    assert (early.status_code, early.json()["emptied"]) == (200, 0)
    assert (await scene.empty("fraud", '{"through": 1e999}')).json()["emptied"] == 1
    assert (await scene.empty("fraud", "{}")).json()["emptied"] == 0


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"


def ended(number: int, end: OutcomeKind, reason: str = "") -> QueueRow:
    item = Item(f"r{number}", "ocr", f"r{number}", 0.0, 1.0, 60.0, "file:///out", "file:///failed")
    return QueueRow(item, ItemState.DONE, 1, ItemOutcome(end, NOON.timestamp() - 120, reason))


def test_failed_requests_of_a_queue_are_counted_and_told_with_their_reasons() -> None:
    latest = [
        ended(0, OutcomeKind.COMPLETED),
        *(ended(number, OutcomeKind.FAILED, HOSTILE) for number in range(1, 8)),
        ended(9, OutcomeKind.EXPIRED),
        replace(ended(10, OutcomeKind.FAILED), outcome=None, state=ItemState.WAITING),
    ]
    view = queue_view(Backlog(3, 1, NOON.timestamp() - 600), latest, NOON)
    assert (view["waiting"], view["oldest"], view["failed"], view["ended"]) == (3, "10 min ago", 8, 9)
    assert len(view["failures"]) == SHOWN_FAILURES
    parts: Any = TEMPLATES.get_template("queue_card.html").module
    shown = str(parts.card({"queue": view, "emptying": empty_queue("fraud", view)}))
    assert "3 waiting requests of fraud fail" in shown
    assert "8 of the last 9" in shown and "&lt;script&gt;" in shown and HOSTILE not in shown


def test_an_idle_queue_has_no_failures_and_no_age() -> None:
    view = queue_view(Backlog(), [], NOON)
    assert (view["failed"], view["oldest"], view["failures"]) == (0, "", [])
    assert empty_queue("fraud", view) is None


@pytest.mark.parametrize(
    ("size", "ready", "each", "without"),
    [(0, 0, 0, 0), (6, 0, 6, 1), (6, 2, 3, 0)],
    ids=["empty", "asleep", "awake"],
)
def test_a_queue_is_measured_by_instance_and_says_whether_it_needs_one(
    size: int, ready: int, each: float, without: float
) -> None:
    backlog = Backlog(size, oldest=90.0 if size else None)
    found = {sample.metric.name: sample.total for sample in backlog_samples("fraud", backlog, ready, 100.0)}
    assert found == {
        "ApproximateBacklogSize": size,
        "ApproximateBacklogSizePerInstance": each,
        "HasBacklogWithoutCapacity": without,
        "ApproximateAgeOfOldestRequest": 10.0 if size else 0.0,
    }
