"""A comparison says why requests failed: those that were never sent are no server's failure."""

import asyncio

from bench.sides import reasons
from tidegate.load import FailedRequest
from tidegate.load.generator import format_request
from tidegate.load.open_loop import LoadPlan, OpenLoop


def test_each_reason_is_counted_whichever_connection_it_was() -> None:
    broken = [FailedRequest(1.0, "socket", f"reset (request {n} on its connection)", "", 0.1) for n in (3, 7)]
    refused = FailedRequest(1.0, "503", "No instance", "", 0.1)
    assert reasons([refused, *broken]) == ["2 failed, socket: reset", "1 failed, 503: No instance"]


async def test_what_a_slow_round_left_unsent_is_told_as_such() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        request = format_request("h", "/", {}, b"{}")
        load = OpenLoop(LoadPlan("127.0.0.1", port, [request], None, 1, 30.0, schedule=[0.0, 0.0, 0.0]))
        load.start()
        async with asyncio.timeout(300):
            while not load.exhausted:
                await asyncio.sleep(0.001)
            report = await load.stop(grace=0.0)
    waiting = "socket: never sent: the run ended while it waited for a connection"
    assert report.total.failed == 3
    assert any(line.endswith(waiting) for line in reasons(report.failures))
