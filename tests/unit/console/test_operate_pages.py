"""The pages of those who operate, over a store in memory: what they show, escape, stream and refuse."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from typing import Any

import httpx
import pytest
import yaml

from tests.gateway_harness import GatewayHarness
from tidegate.console import live_stream, operate_pages
from tidegate.console.core_pages import first_routes
from tidegate.console.live_stream import LIFETIME, LiveStreams, Snapshot, changed_parts
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import Caller, Means, Role
from tidegate.domain.errors import NotFound, Unavailable
from tidegate.features.batch import pages as batch_pages
from tidegate.gateway.app import build_app

SPEC: dict[str, Any] = {
    "endpoint": "fraud",
    "model": {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"},
    "rollout": {"strategy": "canary", "size": "10%", "wait": "1h", "alarms": ["errors"]},
    "alarms": {"errors": {"metric": "Invocation5XXErrors", "statistic": "average", "above": "2%"}},
}
HOSTILE = "<script>alert(1)</script>"


def visit(
    *paths: str,
    deploy: bool = True,
    spec: dict[str, Any] = SPEC,
    commands: tuple[tuple[str, dict[str, object]], ...] = (),
    listed: list[dict[str, object]] | None = None,
) -> list[str]:
    """Texts of the pages, after a deployment and commands."""
    house = GatewayHarness(listed=listed)

    async def ask() -> list[str]:
        context = PageContext(house.gateway, {})
        app = build_app(house.gateway, [*first_routes(context), *batch_pages.page_routes(context)])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8471") as client:
            if deploy:
                (await client.put("/tidegate/v1/deploy", json={"spec": spec, "by": HOSTILE})).raise_for_status()
            for command, body in commands:
                path = f"/tidegate/v1/endpoints/fraud/rollout/{command}"
                (await client.post(path, json=body)).raise_for_status()
            answers = [await client.get(path, headers={"accept": "text/html"}) for path in paths]
        await house.store.close()
        return [f"{answer.status_code} {answer.text}" for answer in answers]

    return asyncio.run(ask())


def test_an_empty_server_says_what_to_do_next() -> None:
    (page,) = visit("/console", deploy=False)
    assert "Nothing is deployed yet" in page and "tidegate deploy" in page and "/console/planner" in page


def test_the_list_leads_to_each_endpoint() -> None:
    listed, one = visit("/console", "/console/endpoints/fraud")
    assert 'href="/console/endpoints/fraud"' in listed and "Creating" in listed
    assert one.startswith("200") and "creation with config" in one and "Alarms that roll it back" in one


def test_what_people_wrote_is_escaped() -> None:
    hostile: dict[str, object] = {"by": HOSTILE, "reason": '"><img src=x onerror=alert(1)>'}
    for page in visit("/console", "/console/endpoints/fraud", commands=(("pause", hostile),)):
        assert HOSTILE not in page and "<img src=x" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_without_batch_jobs_the_page_says_how_to_start_one() -> None:
    (page,) = visit("/console/jobs")
    assert page.startswith("200") and "There is no batch job" in page and "tidegate batch" in page


def test_names_of_alarms_are_escaped_in_texts_and_labels() -> None:
    cells: Any = TEMPLATES.get_template("endpoint_cells.html").module
    row = {"status": "InService", "tone": "good", "ringing": [HOSTILE], "detail": HOSTILE}
    assert HOSTILE not in cells.state(row) and "&lt;script&gt;" in cells.state(row)
    parts: Any = TEMPLATES.get_template("endpoint_parts.html").module
    label = str(parts.meter(50.0, "good", '1, "><b>'))
    assert "<b>" not in label and "&#34;&gt;&lt;b&gt;" in label


def test_versions_are_listed_and_a_number_that_is_not_there_is_said() -> None:
    path = "/console/endpoints/fraud/history"
    listed, wrong = visit(path, f"{path}?from=7&to=%3Cb%3E")
    assert listed.startswith("200") and "rolling out" in listed and HOSTILE not in listed
    assert wrong.startswith("200") and "there is no version 7: there are 1" in wrong


def test_a_page_of_no_endpoint_is_not_found() -> None:
    for page in visit("/console/endpoints/nowhere", "/console/endpoints/-x", "/console/endpoints/nowhere/history"):
        assert page.startswith("404")


@dataclass
class SteppingClock:
    """Just before the next second at each look, so that nothing waits."""

    second: int = 1_000

    def now(self) -> datetime:
        self.second += 1
        return datetime.fromtimestamp(self.second + 0.34, UTC)


@dataclass
class Feed:
    """Snapshots, one after the other, then the last again."""

    snapshots: list[Snapshot | Exception]
    taken: int = 0
    streams: LiveStreams = field(
        default_factory=lambda: LiveStreams(SteppingClock(), "this-process", asyncio.Event())
    )

    let_in: bool = True

    async def same(self) -> bool:
        return self.let_in

    async def make(self) -> Snapshot:
        found = self.snapshots[min(self.taken, len(self.snapshots) - 1)]
        self.taken += 1
        if self.taken >= len(self.snapshots):
            self.streams.stopping.set()
        if isinstance(found, Exception):
            raise found
        return found

    def events(self) -> list[tuple[str, dict[str, object]]]:
        async def collect() -> list[str]:
            stream: AsyncIterator[str] = self.streams.run("page", self.make, self.same)
            return [text async for text in stream]

        found = []
        for text in asyncio.run(collect()):
            kind, data = text.strip().split("\n")
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return found


def test_a_stream_sends_what_changed_and_the_whole_page_where_its_layout_did() -> None:
    two = Snapshot({"a": "1", "b": "1"}, ("a", "b"), lambda: "<ab>")
    feed = Feed(
        [
            two,
            Snapshot({"a": "2", "b": "1"}, ("a", "b"), lambda: "<ab>"),
            Snapshot({"a": "2"}, ("a",), lambda: "<a>"),
        ]
    )
    told = [(data["whole"], data["parts"]) for _, data in feed.events()]
    assert told == [("<ab>", {}), (None, {"a": "2"}), ("<a>", {})]


def test_a_stream_tells_of_trouble_and_goes_on_and_ends_with_the_endpoint() -> None:
    feed = Feed([Unavailable("the database is slow"), Snapshot({"a": "1"}), NotFound("there is no fraud")])
    found = feed.events()
    assert [kind for kind, _ in found] == ["trouble", "news", "gone"]
    assert found[0][1] == {"message": "the database is slow"}
    assert found[1][1] == {"instance": "this-process", "whole": None, "parts": {"a": "1"}}
    assert feed.streams.open == 0


def test_a_part_that_is_gone_becomes_empty() -> None:
    assert changed_parts({"a": "1", "b": "1"}, {"a": "1"}) == {"b": ""}


def test_a_stream_ends_by_asking_for_the_next_before_a_proxy_is_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIFETIME < 60
    monkeypatch.setattr(live_stream, "LIFETIME", 2)
    found = Feed([Snapshot({"a": str(number)}) for number in range(4)]).events()
    assert [kind for kind, _ in found] == ["news", "news", "renew"]


def test_too_many_open_pages_are_refused() -> None:
    streams = LiveStreams(SteppingClock(), "this-process", asyncio.Event(), open=10_000)
    with pytest.raises(Unavailable, match="close some"):
        feed = Feed([Snapshot({})])
        streams.respond("", feed.make, feed.same)


def test_one_reader_does_not_take_all_pages_that_may_be_open() -> None:
    async def work() -> None:
        streams, feed = LiveStreams(SteppingClock(), "this-process", asyncio.Event()), Feed([Snapshot({})] * 1_000)
        opened = [streams.run("page", feed.make, feed.same, "eve") for _ in range(live_stream.MAX_OF_ONE)]
        for one in opened:
            await anext(one)
        with pytest.raises(Unavailable, match="eve has"):
            streams.respond("page", feed.make, feed.same, "eve")
        streams.respond("page", feed.make, feed.same, "ann")
        await opened[0].aclose()
        streams.respond("page", feed.make, feed.same, "eve")
        for one in opened[1:]:
            await one.aclose()
        assert (streams.open, streams.readers.total()) == (0, 0)

    asyncio.run(work())


def test_a_reader_is_told_apart_by_name_where_there_are_names() -> None:
    assert operate_pages.name_reader(Caller("ann", Role.VIEWER, Means.SESSION)) == "ann"
    assert operate_pages.name_reader(Caller("ann", None, Means.LOOPBACK)) == ""


def test_views_that_nobody_looks_at_are_forgotten_while_others_are_open() -> None:
    async def work() -> None:
        streams = LiveStreams(SteppingClock(), "this-process", asyncio.Event())
        feed = Feed([Snapshot({})] * 1_000)
        kept = streams.run("kept", feed.make, feed.same)
        await anext(kept)
        missing = Feed([NotFound("there is no such endpoint")])
        for number in range(20):
            assert ["gone" in text async for text in streams.run(f"no-{number}", missing.make, missing.same)]
        assert set(streams.pages) == {"kept"}
        await kept.aclose()
        assert not streams.pages

    asyncio.run(work())


def test_what_runs_is_shown_as_a_spec_without_values_of_its_environment() -> None:
    model = {**SPEC["model"], "environment": {"SECRET_KEY": "hunter2"}}
    (page,) = visit("/console/endpoints/fraud/history", spec={**SPEC, "model": model})
    text = unescape(page.partition('aria-label="Spec file of fraud">')[2].partition("</pre>")[0])
    shown = yaml.safe_load(text)
    assert (
        shown["endpoint"] == "fraud" and shown["rollout"]["strategy"] == "canary" and "errors" in shown["alarms"]
    )
    assert shown["model"]["environment"] == {"SECRET_KEY": "(not shown)"} and "hunter2" not in page


def test_programs_are_shown_a_sample_that_is_made_from_the_columns() -> None:
    signature = {"form": "frame", "inputs": [{"name": "<it's>", "dtype": "float64", "shape": [-1, 1]}]}
    (page,) = visit("/console/endpoints/fraud", listed=[{"replica": "fraud-0", "signature": signature}])
    body = '{"dataframe_split": {"columns": ["<it\'s>"], "data": [[1.0]]}}'
    assert "<it's>" not in page and "The model takes rows of one column: <it's>." in unescape(page)
    blocks = re.findall(r'aria-label="(curl|Python|boto3|Sample request)">(.*?)</pre>', page, re.DOTALL)
    found = {name: unescape(text) for name, text in blocks}
    assert found["Sample request"] == body
    assert shlex.split(found["curl"])[-1] == body and "Content-Type: application/json" in found["curl"]
    for name in ("Python", "boto3"):
        compile(found[name], "snippet", "exec")
        assert repr(body.encode()) in found[name] and '"application/json"' in found[name]


def test_instances_are_not_asked_for_all_of_their_models_by_the_page_of_an_endpoint() -> None:
    signature = {"form": "table", "inputs": [{"name": "amount", "dtype": "float64", "shape": [-1, 1]}]}
    listed: list[dict[str, object]] = [{"replica": "fraud-0", "signature": signature}]
    many = {**SPEC, "model": {"data": "s3://models/clients/", "multi_model": {"memory": "2GiB"}}}
    (page,) = visit("/console/endpoints/fraud", spec=many, listed=listed)
    assert page.startswith("200") and "The model takes" not in page


def test_programs_are_shown_how_to_ask_the_endpoint() -> None:
    (page,) = visit("/console/endpoints/fraud")
    text = unescape(page)
    assert "What its model takes is not known" in text and "rows.csv" in text
    for words in ("curl http://", "urllib.request.Request(", 'boto3.client("sagemaker-runtime"'):
        assert words in text
    for block in re.findall(r'aria-label="(?:Python|boto3)">(.*?)</pre>', page, re.DOTALL):
        compile(unescape(block), "snippet", "exec")
    assert "/endpoints/fraud/invocations" in text
