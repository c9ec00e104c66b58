"""Where versions came from, as status, console and release records show it."""

import io

import pytest
from rich.console import Console

from tests.features.model_registry.follow_world import FollowWorld, begin
from tidegate.cli.status_panel import render_status
from tidegate.console.endpoint_card import render_card
from tidegate.features.model_registry.card import RegistryCard
from tidegate.features.model_registry.endpoint import EXTENSION, name_version
from tidegate.features.model_registry.kinds import VERSION, RegistryVersion
from tidegate.features.release_record.command import make_report
from tidegate.features.release_record.document import describe_release
from tidegate.service import history
from tidegate.service.views import endpoint_view

pytestmark = pytest.mark.anyio
KNOWN = RegistryVersion("models:/fraud/2", "run-7", "0a1b2c3d", ("train (d41d8c)",), {"auc": 0.875})


async def roll_out() -> FollowWorld:
    """Version 2 serves, and the alias points to version 1 again."""
    world = await begin()
    await world.store.run(
        lambda tx: tx.put(VERSION, name_version(KNOWN.version), KNOWN, expect=0, now=world.now())
    )
    world.champion = 2
    await world.turn()
    await world.end_rollout()
    world.champion = 1
    await world.turn()
    return world


async def test_status_and_console_show_run_commit_data_and_metrics() -> None:
    world = await roll_out()
    endpoint = await world.endpoint()
    found = await world.store.read(lambda tx: EXTENSION.find(tx, "fraud"))
    assert (await world.store.read(EXTENSION.find))["fraud"].versions == {KNOWN.version: KNOWN}
    section = EXTENSION.describe(found["fraud"], endpoint, None)
    assert section is not None and section["rolling_out"] is None
    assert section["serving"]["metrics"] == {"auc": 0.875}
    console = Console(width=200, record=True, file=io.StringIO())
    document = {**endpoint_view(endpoint, None, {}), "registry": section}
    console.print(render_status(document, [], [], boxed=False))
    text = console.export_text()
    assert "serving: models:/fraud/2, run run-7, commit 0a1b2c3d, data train (d41d8c), auc 0.875" in text
    assert "follows models:/fraud@champion" in text and "models:/fraud/1 was deployed before" in text
    page = render_card(RegistryCard(), section)
    assert all(one in page for one in ("models:/fraud/2", "run-7", "0a1b2c3d", "train (d41d8c)", "0.875"))


async def test_a_release_record_says_where_its_version_came_from() -> None:
    world = await roll_out()
    endpoint = await world.endpoint()
    record = await world.store.read(
        lambda tx: describe_release(tx, endpoint, history.read(tx, "fraud").entries[-1], world.now())
    )
    assert record["requested_by"] == "models:/fraud@champion"
    assert record["models"][0]["registry"]["commit"] == KNOWN.commit
    report = make_report({"record": record, "public_key": "key"}, "none")
    (table,) = [one for one in report.tables if one.title == "Registry"]
    assert table.rows == [["models:/fraud/2", "run-7", "0a1b2c3d", "train (d41d8c)", "auc 0.875"]]


async def test_an_endpoint_without_a_registry_shows_nothing() -> None:
    world = await begin()
    endpoint = await world.endpoint()
    assert EXTENSION.describe(None, endpoint, None) is None
    await world.store.run(lambda tx: EXTENSION.delete(tx, "fraud", world.now()))
    found = await world.store.read(lambda tx: EXTENSION.find(tx, "fraud"))
    assert EXTENSION.describe(found["fraud"], endpoint, None) is None
