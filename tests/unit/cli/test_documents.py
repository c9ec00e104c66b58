"""What the server shows of an endpoint is what the documents say, member by member, through a whole rollout."""

from datetime import timedelta
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.metric_alarm import metric_alarm
from tests.samples import linear, percent, version
from tidegate.cli.documents import EndpointDocument, output_schema
from tidegate.domain.endpoint import Endpoint
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands
from tidegate.service.views import endpoint_view
from tidegate.simulation.world import START, World

ALARM = metric_alarm(START, name="slow", metric="ModelLatency", dimensions={}, statistic="p99", threshold=1.0)


def show(world: World, record: Endpoint | None = None) -> dict[str, Any]:
    shown = record or world.record
    assert shown is not None
    return {**endpoint_view(shown, world.look(), [ALARM]), "scaling": []}


def shown_of_an_update() -> dict[str, dict[str, Any]]:
    """Status documents by what the rollout does then."""
    world = make_updating_world(version("v1", 4), version("v2", 4), linear(percent(25), 60, 120))
    found = {"start": show(world)}
    while (record := world.record) is not None and record.rollout is not None:
        found[str(record.rollout.phase)] = show(world)
        if record.rollout.pause is None and record.rollout.stage == 1:
            held = commands.pause(record, "ann", START + timedelta(seconds=world.now))
            found["paused"] = show(world, held)
        world = world.run(world.now + 5)
    return {**found, "over": show(world)}


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return shown_of_an_update()


def test_a_status_document_has_every_documented_member_and_no_other(documents: dict[str, dict[str, Any]]) -> None:
    assert set(documents) >= {"start", "Baking", "paused", "over"}
    for when, shown in documents.items():
        assert msgspec.to_builtins(msgspec.convert(shown, EndpointDocument)) == shown, when


def test_documents_fit_their_published_schema(documents: dict[str, dict[str, Any]]) -> None:
    jsonschema.validate({"endpoints": list(documents.values())}, output_schema("list"))
    jsonschema.validate({**documents["paused"], "live": []}, output_schema("status"))


def test_a_document_without_a_member_is_noticed(documents: dict[str, dict[str, Any]]) -> None:
    less = {name: value for name, value in documents["over"].items() if name != "why"}
    with pytest.raises(jsonschema.ValidationError, match="'why' is a required property"):
        jsonschema.validate({"endpoints": [less]}, output_schema("list"))
