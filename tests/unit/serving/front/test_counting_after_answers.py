"""What an answer counts is aggregated once the answer is on its way: it takes as long as some requests."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import msgspec
import pytest

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Done
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.request_stats import RequestStats, SecondStats
from tidegate.serving.front.server import Server

NOTES = 5
"""Measurements of a request to one of many models."""


class Noting:
    """An engine whose every answer has measurements."""

    healthy = True

    def submit(self, call: Call, done: Done) -> None:
        for number in range(NOTES):
            call.note(f"N{number}", 1)
        done(Answer(b"1", "text/csv"))

    async def close(self) -> None: ...


class Client:
    """A connection that notes when it is answered."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def reply(self, response: bytes, close: bool) -> None:
        assert response.startswith(b"HTTP/1.1 200")
        self.events.append("answered")


def test_no_answer_waits_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    record = RequestStats._record

    def recorded(self: RequestStats, second: int) -> SecondStats:
        events.append("aggregated")
        return record(self, second)

    monkeypatch.setattr(RequestStats, "_record", recorded)
    page = asyncio.run(ask(events, 200))
    assert "aggregated" in events
    series = [one for second in page["seconds"] for one in second["series"] if one["name"] == "N0"]
    assert sum(one["spread"]["count"] for one in series) == 200
    assert sum(second["invocations"] for second in page["seconds"]) == 200


async def ask(events: list[str], number: int) -> dict[str, Any]:
    """Ask so many times, and return the statistics."""
    with TemporaryDirectory(prefix="tg-") as folder:
        container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.PROGRAM, ("true",)), model_dir=folder)
        spec = ReplicaSpec(
            replica="r-1",
            fleet=FleetId("fraud", 1, "main"),
            config_name="v1",
            containers=(container,),
            socket=f"{folder}/s",
        )
        server = Server(spec, Path(folder))
        server.engine = Noting()
        connection = cast(Connection, Client(events))
        request = Request(b"POST", b"/invocations", (), {}, None, b"1", 1, 1, True, True)
        for _ in range(number):
            before = len(events)
            server.serve(connection, request)
            assert events[before:] == ["answered"]
            await asyncio.sleep(0)
        found: dict[str, Any] = msgspec.json.decode(server.statistics(0, 2**40, over=False))
        return found
