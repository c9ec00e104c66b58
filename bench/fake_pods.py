"""Plays all pods of a cluster whose nodes run nothing: ``python -m bench.fake_pods``.

Workers show the statistics of RATE requests a second. Gateways keep what they are given, and say that it is in
force. Each pod is known by the address that it is asked by, so this machine must take their addresses for its own.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvloop

from tests.unit.targets.kubernetes.memory_gateway import MemoryAgent
from tidegate.domain.errors import Conflict
from tidegate.monitoring import sketch
from tidegate.ports.gateway_agent import EndpointPlan
from tidegate.targets.kubernetes.names import AGENT, STATISTICS

RATE = 100
"""Requests of each worker in each second."""
LATENCY = 1000.0
"""Microseconds."""
Answer = Callable[[str, str, str, bytes], Awaitable[tuple[int, bytes]]]
"""Address, method, target and body -> status and body."""

_agents: defaultdict[str, MemoryAgent] = defaultdict(MemoryAgent)
_begun = int(time.time())


async def answer_worker(address: str, method: str, target: str, body: bytes) -> tuple[int, bytes]:
    query = parse_qs(urlsplit(target).query)
    now = time.time()
    since, before = int(query.get("since", ["0"])[0]), int(query.get("before", [str(int(now))])[0])
    first = max(since, _begun, int(now) - 180)
    spread = {
        "count": RATE,
        "total": RATE * LATENCY,
        "low": LATENCY,
        "high": LATENCY,
        "bins": {sketch.index(LATENCY): RATE},
    }
    errors = {"4xx": 0, "5xx": 0, "model_errors": 0}
    seconds = [
        {"second": one, "invocations": RATE, **errors, "latency": spread, "overhead": spread, "series": []}
        for one in range(first, min(before, int(now)))
    ]
    answered = RATE * (int(now) - _begun)
    return 200, msgspec.json.encode({"now": now, "in_flight": 0, "answered": answered, "seconds": seconds})


async def answer_agent(address: str, method: str, target: str, body: bytes) -> tuple[int, bytes]:
    agent, url = _agents[address], urlsplit(target)
    match [method, *url.path.strip("/").split("/")[1:]]:
        case ["GET", "state"]:
            found: object = await agent.state()
        case ["GET", "endpoints", name]:
            found = await agent.view(name)
        case ["GET", "endpoints", name, "plan"]:
            found = await agent.plan(name)
        case ["PUT", "endpoints", name]:
            try:
                found = await agent.put(name, msgspec.json.decode(body, type=EndpointPlan))
            except Conflict as error:
                return 409, msgspec.json.encode({"message": str(error)})
        case ["POST", "synced"]:
            found = await agent.mark_synced(int(parse_qs(url.query)["controller"][0]))
        case ["GET", "passed"]:
            found = await agent.passed()
        case _:
            return 404, b"{}"
    return 200, msgspec.json.encode(found)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    address = writer.get_extra_info("sockname")[0]
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            request, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, target, _ = request.split(" ")
            status, content = await answer(address, method, target, body)
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(content)) + content)
            await writer.drain()
            if headers.get("connection") == "close":
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    for port, answer in ((STATISTICS, answer_worker), (AGENT, answer_agent)):
        await asyncio.start_server(
            lambda reader, writer, answer=answer: _serve(reader, writer, answer),  # type: ignore[misc]
            *("0.0.0.0", port),
            limit=2**24,
            backlog=4096,
        )
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
