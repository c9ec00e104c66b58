"""``python -m tidegate.proxy.agent_main AGENT.json``: the process of a gateway (``ports/gateway_agent.py``)."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import uvloop

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.host.http_server import serve
from tidegate.host.unix_sockets import make_private
from tidegate.ports.gateway_agent import AgentSettings
from tidegate.proxy.agent import GatewayAgent
from tidegate.proxy.agent_http import build_app, build_public_app
from tidegate.proxy.cold_start_hold import WakeSocket
from tidegate.proxy.haproxy import HAProxy
from tidegate.settings import Settings

log = logging.getLogger("tidegate")

PROXY_CHECK = 0.5
"""Seconds between looks whether the proxy lives."""
SIGNED = {"gateway": "verified by the workers"}
"""Stands for the access keys, which the workers alone have: the proxy asks only whether there are some."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tidegate.proxy.agent_main AGENT.json", file=sys.stderr)
        return 2
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form, force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = read(Path(arguments[0]))
        uvloop.run(run(settings, TokenFile(Path(settings.token_file))))
    except StartupError as error:
        print(f"tidegate gateway: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tidegate gateway: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def read(path: Path) -> AgentSettings:
    """Read the agent's settings from a file. Raises StartupError, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(AgentSettings))
    except msgspec.DecodeError as error:
        raise StartupError(f"{path} is not an agent's file: {error}") from None


def proxy_settings(given: AgentSettings, environment: Mapping[str, str]) -> Settings:
    proxy = msgspec.convert(given.proxy, prepare_type(Settings))
    own = (environment.get(name, "") for name in given.own_hosts)
    hosts = dict.fromkeys(filter(None, (*proxy.allowed_hosts, *own)))
    return replace(proxy, allowed_hosts=tuple(hosts), access_keys=SIGNED if given.signed else {})


class TokenFile:
    """The token as its file has it: somebody may replace it while the agent runs. One that cannot be read, or is
    empty, leaves the last one in force. Raises OSError where there is none at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = path.read_text().strip()

    def __call__(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._token = self._path.read_text().strip() or self._token
        return self._token


async def run(settings: AgentSettings, token: Callable[[], str]) -> None:
    """Serve until SIGTERM. Raises StartupError."""
    stopping, state = asyncio.Event(), Path(settings.state)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    state.mkdir(parents=True, exist_ok=True)
    make_private(state / "run")
    behind = state / "run" / "controller.sock"
    behind.unlink(missing_ok=True)
    agent = GatewayAgent(HAProxy(proxy_settings(settings, os.environ), state, behind))
    agent.proxy.copies_port = settings.copies_port
    await agent.proxy.start_or_adopt()
    wakes = WakeSocket(agent.proxy.wakes, agent.note_waiting, lambda fleet: None)
    await wakes.start()
    keeping = asyncio.create_task(agent.keep_proxy(PROXY_CHECK))
    servers = [
        await serve(build_public_app(agent), behind),
        await serve(build_app(agent, token), settings.port, settings.host),
    ]
    log.info("the agent of the gateway listens on port %d", settings.port)
    try:
        await stopping.wait()
        agent.synced = (
            False  # not ready: it gets no new connections, and takes those of clients who do not know yet
        )
        await asyncio.sleep(settings.leave_after)
    finally:
        keeping.cancel()
        await agent.proxy.stop()
        wakes.close()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in servers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
