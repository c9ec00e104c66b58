"""The rollout as a picture, actions, alarms and evidence of an endpoint's page, from the real machine's records."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.gateway_harness import GatewayHarness
from tests.metric_alarm import metric_alarm
from tests.samples import linear, percent, version
from tidegate.console import alarm_meters, endpoint_parts, operate_pages, palette, rollout_picture
from tidegate.console.activity import RecentActivity
from tidegate.console.identity import Reader
from tidegate.console.page_context import PageContext
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    EvidenceAction,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Verdict,
)
from tidegate.domain.history import HistoryEntry
from tidegate.domain.rollout import Phase
from tidegate.features.evidence.rows import describe_action, evidence_rows
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.gateway.app import build_app
from tidegate.monitoring.samples import Datapoint
from tidegate.ports.store import JournalLine
from tidegate.rollout import commands
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.views import endpoint_view
from tidegate.simulation.world import START, World

LINEAR = linear(percent(25), 60, 120)


def update() -> World:
    return make_updating_world(version("v1", 4), version("v2", 4), LINEAR)


def record(world: World) -> Endpoint:
    assert world.record is not None
    return world.record


def lines(world: World) -> list[JournalLine]:
    return [
        JournalLine(
            number, START + timedelta(seconds=entry.at), "endpoint", world.name, number, None, entry.events
        )
        for number, entry in enumerate(world.journal, 1)
    ]


def until(world: World, phase: Phase, stage: int = 0) -> World:
    return world.run(
        7200,
        lambda w: (
            w.record is not None
            and w.record.rollout is not None
            and (w.record.rollout.phase, w.record.rollout.stage) == (phase, stage)
        ),
    )


def keys(endpoint: Endpoint) -> list[str]:
    return [action.command for action in endpoint_parts.actions(endpoint)]


def test_going_back_names_its_version_and_is_found_by_its_command() -> None:
    endpoint = record(update().run(7200))
    assert endpoint.last is not None and endpoint.last.old is not None
    back = HistoryEntry(1, "r", endpoint.last.old, endpoint.last.deployment, "ada", START, "digest")
    operator = Reader("ada", "operator", "", True, True, False)
    found = palette.list_of_endpoint(endpoint, operator, [], back)
    for words in (["undo"], ["go", "back"]):
        (one,) = palette.choose_entries(found, words)
        assert one.title == f"{endpoint.name}: Go back to version 1"


def test_the_share_follows_the_journal_to_the_end() -> None:
    world = update().run(7200)
    last = record(world).last
    assert last is not None and last.phase is Phase.SUCCEEDED
    points = rollout_picture.share_points(last, lines(world))
    assert [share for _, share in points] == [0, 2500, 5000, 7500, 10_000]
    assert {step["state"] for step in rollout_picture.stage_steps(last)} == {"done"}
    chart = rollout_picture.draw_chart(last, points, lines(world), START + timedelta(hours=3))
    assert (chart.planned, chart.now) == ("", rollout_picture.WIDTH)
    assert chart.done.endswith("1000,0")


def test_what_is_planned_is_drawn_behind_the_bake_in_progress() -> None:
    world = until(update(), Phase.BAKING, 1)
    rollout = record(world).rollout
    assert rollout is not None and rollout.bake_until is not None
    points = rollout_picture.planned_points(rollout)
    assert [share for _, share in points] == [7500, 10_000, 10_000]
    assert points[0][0] == rollout.bake_until
    assert points[-1][0] == rollout.bake_until + timedelta(seconds=60 + 120)
    assert [step["state"] for step in rollout_picture.stage_steps(rollout)] == ["done", "now", "ahead", "ahead"]


def test_nothing_is_planned_while_a_rollout_is_held() -> None:
    world = until(update(), Phase.BAKING)
    held = commands.pause(record(world), "ada", START + timedelta(seconds=world.now))
    assert held.rollout is not None
    assert rollout_picture.planned_points(held.rollout) == []
    view = endpoint_parts.rollout_view(
        held, endpoint_view(held, None, ()), lines(world), START + timedelta(hours=1)
    )
    assert view is not None and (view["paused"], view["bake"]["held"]) == ("ada", True)
    assert keys(held)[0] == "resume"


def test_a_rollback_turns_in_its_stage_and_ends_at_no_share() -> None:
    world = until(update(), Phase.BAKING, 1)
    world.record = commands.abort(record(world), "ada", START + timedelta(seconds=world.now))
    world.wake(0)
    world.run(7200)
    last = record(world).last
    assert last is not None and last.phase is Phase.ROLLED_BACK
    assert rollout_picture.share_points(last, lines(world))[-1][1] == 0
    states = [step["state"] for step in rollout_picture.stage_steps(last)]
    assert states == ["done", "turned", "never", "never"]
    assert keys(record(world)) == ["retry"]
    assert json.loads(endpoint_parts.actions(record(world))[0].body) == {"rollout": last.id, "override": False}


def test_a_rollout_that_shifted_nothing_has_no_drawing() -> None:
    world = until(update(), Phase.PROVISIONING)
    under_way = record(world)
    now = START + timedelta(seconds=world.now)
    seen = endpoint_parts.rollout_view(under_way, endpoint_view(under_way, None, ()), lines(world), now)
    assert seen is not None and seen["chart"] is not None
    world.record = commands.abort(under_way, "ada", now)
    world.wake(0)
    world.run(7200)
    over = record(world)
    assert over.last is not None and over.last.phase is Phase.ROLLED_BACK
    told = endpoint_parts.rollout_view(over, endpoint_view(over, None, ()), lines(world), now)
    assert told is not None and told["chart"] is None


def test_only_what_can_be_done_is_offered() -> None:
    assert keys(record(update())) == ["pause", "promote", "promote", "abort"]
    final = until(update(), Phase.BAKING, 3)
    assert keys(record(final)) == ["pause", "promote", "abort"]
    assert keys(record(final.run(7200))) == []


def test_skipping_a_bake_is_bound_to_its_stage_and_rolling_back_to_its_rollout() -> None:
    rollout = record(world := until(update(), Phase.BAKING, 1)).rollout
    assert rollout is not None
    pause, skip, _, abort = endpoint_parts.actions(record(world))
    assert json.loads(skip.body) == {"rollout": rollout.id, "stage": 2}
    assert json.loads(abort.body) == json.loads(pause.body) == {"rollout": rollout.id}
    later = endpoint_parts.actions(record(until(world, Phase.BAKING, 2)))
    assert (later[0].key, later[1].key) == (pause.key, skip.key.removesuffix("2") + "3")


def test_fleets_show_what_is_ready_and_what_is_not_known() -> None:
    world = until(update(), Phase.BAKING)
    document: dict[str, Any] = endpoint_view(record(world), world.look(), ())
    variant = document["fleets"][1]["variant"]
    old, new = endpoint_parts.fleet_views(document, {("v2", variant): RecentActivity(12.0, 0.25, 3.0, 900.0)})
    assert (old["side"], old["units"], old["rate"], old["p99"]) == ("old", [True] * 4, "0/s", "–")
    assert (new["side"], new["rate"], new["p99"], new["errors"]) == ("new", "12/s", "900 ms", "25 %")


def test_an_alarm_stands_against_its_threshold() -> None:
    alarm = metric_alarm(START)
    row = alarm_meters.alarm_row(alarm, [Datapoint(0, 0.01), Datapoint(10, 0.1), None])
    assert (row["value"], row["breaches"], row["meter"]) == ("10 %", True, 100.0)
    assert row["condition"] == "Average of Invocation5XXErrors above 5 %"
    unknown = alarm_meters.alarm_row(alarm, [None])
    assert (unknown["value"], unknown["breaches"], unknown["meter"]) == ("–", False, None)
    assert alarm_meters.missing_row("gone")["tone"] == "bad"


def test_latencies_of_alarms_are_told_in_milliseconds() -> None:
    alarm = metric_alarm(START, metric="ModelLatency", statistic="p99", threshold=80_000.0)
    assert alarm_meters.format_value(alarm, 80_000.0) == "80 ms"
    assert [alarm_meters.format_value(alarm, value) for value in (0.0, 1.0, 250.0)] == ["0.0 ms", "1 µs", "0.2 ms"]


@pytest.mark.parametrize(
    ("finding", "tone"), [(Finding.PASS, "good"), (Finding.FAIL, "bad"), (Finding.NO_DATA, "warn")]
)
def test_too_little_evidence_is_no_good_news(finding: Finding, tone: str) -> None:
    result = ComparisonResult(Comparison.ERRORS, "main", finding, 0.5, "errors", (100, 1, 0, 0))
    found = EvidenceRecord(
        "fraud", "r", "v1", "v2", EvidenceConfig(), ("main",), Verdict(finding, 0, "why", (result,)), 0
    )
    (row,) = evidence_rows(found)
    assert (row["tone"], row["meter"], row["old"], row["new"]) == (tone, 45.0, "1 % of 100", "– of 0")


def test_what_a_difference_does_is_told() -> None:
    assert "decides nothing" in describe_action(None)
    assert "holds" in describe_action(EvidenceConfig(action=EvidenceAction.GATE))


def test_pairs_are_shown_by_what_they_differ_in() -> None:
    pairs = (120, 66.0, 40.0)
    result = ComparisonResult(
        Comparison.PAIRED,
        "main",
        Finding.FAIL,
        1.2,
        "moved",
        stage_requests=(110, 110),
        pairs=pairs,
        lost=(120, 2),
    )
    verdict = Verdict(Finding.FAIL, 0, "why", (result,))
    found = EvidenceRecord("fraud", "r", "v1", "v2", EvidenceConfig(), ("main",), verdict, 0)
    (row,) = evidence_rows(found)
    assert (row["old"], row["new"], row["stage"]) == ("moved", "+0.55 in 120", "110 of 120")


# The pages of an endpoint lead to each other, that of its models only where it has many.


NOW = datetime(2030, 1, 1, tzinfo=UTC)


def make_endpoint(many: bool) -> Endpoint:
    serving = version("c")
    (one,) = serving.variants
    if many:
        containers = tuple(replace(each, mode="MultiModel") for each in one.model.containers)
        one = replace(one, model=replace(one.model, containers=containers))
    return Endpoint("fraud", NOW, NOW, serving=replace(serving, variants=(one,)))


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("page", ["", "/history"])
async def test_the_tab_of_the_models_is_on_every_page_of_an_endpoint_of_many(many: bool, page: str) -> None:
    house = GatewayHarness()
    await house.store.run(lambda tx: tx.put(ENDPOINT, "fraud", make_endpoint(many), expect=0, now=NOW))
    app = build_app(house.gateway, operate_pages.routes(PageContext(house.gateway, {})))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=house.gateway.settings.url
    ) as client:
        answer = await client.get(f"/console/endpoints/fraud{page}", headers={"accept": "text/html"})
    await house.store.close()
    assert answer.status_code == 200
    assert ('<li><a href="/console/endpoints/fraud/models">Models</a></li>' in answer.text) is many
