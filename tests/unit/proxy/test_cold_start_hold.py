"""Who hears that a request waits."""

import asyncio
import time
from pathlib import Path

from tidegate.domain.fleet import FleetId
from tidegate.proxy.agent import FORGOTTEN, WaitingRequests
from tidegate.proxy.cold_start_hold import WakeSocket, render_script


async def heard(socket: Path, *lines: bytes) -> tuple[list[tuple[str, float]], list[str]]:
    asleep, news = list[tuple[str, float]](), list[str]()
    wakes = WakeSocket(socket, lambda slot, since: asleep.append((slot, since)), news.append)
    await wakes.start()
    try:
        for line in lines:
            reader, writer = await asyncio.open_unix_connection(str(socket))
            writer.write(line)
            await writer.drain()
            writer.write_eof()
            await reader.read()
            writer.close()
    finally:
        wakes.close()
    return asleep, news


async def test_a_call_names_the_slot_and_since_when_a_request_waits(tmp_path: Path) -> None:
    since = round(time.time() - 5, 3)
    asleep, news = await heard(tmp_path / "s", f"s3 {since}\n".encode(), b"fraud/1/main\n")
    assert asleep == [("s3", since)]
    assert news == ["fraud/1/main"]


async def test_malformed_wake_calls_are_ignored(tmp_path: Path) -> None:
    assert await heard(tmp_path / "s", b"", b"s3 soon\n", b"cut off", b"\n") == ([], [])


async def test_wrong_clock_does_not_lengthen_the_wait(tmp_path: Path) -> None:
    before = time.time()
    [(_, long_ago), (_, ahead)], _ = await heard(tmp_path / "s", b"s1 0\n", b"s1 99999999999\n")
    assert before - 3600 <= long_ago <= ahead <= time.time()


def test_the_script_has_its_socket_and_its_limit() -> None:
    text = render_script("/run/wake.sock", 60)
    assert 'connect("unix@/run/wake.sock")' in text
    assert "< 60 do" in text


# Fleets for which a request waits, by what HAProxy says.


FLEET = FleetId("fraud", 1, "AllTraffic")


def test_first_request_counts_until_no_call_comes() -> None:
    now = [0.0]
    waiting = WaitingRequests(lambda: now[0])
    waiting.note(FLEET, 100.0)
    now[0] = FORGOTTEN / 2
    waiting.note(FLEET, 100.5)
    assert waiting.now() == {FLEET: 100.0}
    now[0] = FORGOTTEN
    assert waiting.now() == {FLEET: 100.0}
    now[0] = 2 * FORGOTTEN
    assert waiting.now() == {}
    waiting.note(FLEET, 103.0)
    assert waiting.now() == {FLEET: 103.0}
