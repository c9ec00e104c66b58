"""What a controller does while it waits to lead, and while it leads and cannot do all that it should."""

import asyncio
import json

import pytest

from tidegate.compose.leadership import LastingTrouble, LeaseOffers, answer_to, standing_by
from tidegate.domain.errors import Unavailable
from tidegate.host.platform import free_port


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /readyz HTTP/1.1", 200),
        (b"GET /readyz?x=1 HTTP/1.1", 200),
        (b"GET /healthz HTTP/1.1", 503),
        (b"POST / HTTP/1.1", 503),
        (b"", 503),
        (b"\xff\xff \xff", 503),
    ],
)
def test_standby_is_ready_and_answers_nothing_else(line: bytes, status: int) -> None:
    head, _, body = answer_to(line + b"\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert int(head.split(b" ")[1]) == status
    said = json.loads(body)
    assert "stands by" in (said.get("reason") or said["message"])
    assert f"Content-Length: {len(body)}".encode() in head


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def test_port_is_answered_while_it_waits_and_free_afterwards() -> None:
    async def scenario() -> None:
        port = free_port()
        async with standing_by("127.0.0.1", port):
            assert b"200 OK" in await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")
            assert await ask(port, b"no request") == b""
            assert b"200 OK" in await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")
            async with standing_by("127.0.0.1", port):  # the leader on the same machine has it
                assert b"200 OK" in await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")

    asyncio.run(scenario())


def test_trouble_counts_once_it_has_lasted() -> None:
    now, why = [0.0], [None]
    lasting = LastingTrouble(lambda: why[0], 30.0, lambda: now[0])
    assert lasting() is None
    why[0] = "the proxy is down"  # type: ignore[call-overload]
    assert lasting() is None
    now[0] = 29.0
    assert lasting() is None
    why[0] = None
    assert lasting() is None
    why[0] = "the proxy is down"  # type: ignore[call-overload]
    now[0] = 31.0
    assert lasting() is None, "it is new"
    now[0] = 61.0
    assert lasting() == "the proxy is down"


def test_lease_is_offered_while_the_controller_is_unfit_and_kept_again_afterwards() -> None:
    offers: list[str | None] = []
    story: list[str | None] = [None, "away", "away for longer", "away", None, None]

    class Lease:
        async def offer(self, why: str | None) -> None:
            offers.append(why)
            if len(offers) == 1:
                raise Unavailable("the database is away")

    async def scenario() -> None:
        looks = iter(story)
        turns = LeaseOffers(Lease(), lambda: next(looks))  # type: ignore[arg-type]
        for _ in story:
            await turns.turn()

    asyncio.run(scenario())
    assert offers == ["away", "away for longer", None]
