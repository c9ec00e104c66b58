"""Holds requests in HAProxy until an instance is ready, with the Lua action ``hold``, and tells the controller about
them.

The action checks every few milliseconds whether the backend has a server. Meanwhile it keeps sending the slot's name
to the controller's socket, so a controller that was restarted learns it while the request is still waiting. The
controller never sees the request itself. A process from before a reload gets no more servers: what it holds it sends
once more, through the public port, to the process that has taken its place.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from tidegate.host.unix_sockets import keep_bound
from tidegate.proxy.responses import ENDPOINT, PROXY_MADE, retry_response

SCRIPT = "hold.lua"
POLL_MILLISECONDS = 3
"""Milliseconds between two checks."""
NOTIFY_EVERY = 0.05
"""Seconds between two notifications for one slot, however many requests wait."""
AGAIN = "again"
"""Name of the server that is this proxy itself. Its weight of 0 keeps all other requests away from it."""
_MAX_LINE = 200


def render_script(wakes: str, seconds: int) -> str:
    """Render the Lua script. ``wakes``: the socket to notify; ``seconds``: how long a request waits at most."""
    return f"""\
-- Written by tidegate at every start and reload of HAProxy; changes made here are lost.
local told = {{}}

local function now(txn)
  return tonumber(txn.f:date(0, "us")) / 1e6
end

local function tell(slot, since, at)
  if told[slot] and math.abs(at - told[slot]) < {NOTIFY_EVERY} then return end
  told[slot] = at
  local caller = core.tcp()
  caller:settimeout(1)
  if caller:connect("unix@{wakes}") then
    caller:send(string.format("%s %.6f\\n", slot, since))
  end
  caller:close()
end

core.register_action("hold", {{"http-req"}}, function(txn)
  local slot, since = txn.f:be_name(), now(txn)
  local at, checked = since, 0
  while txn.f:nbsrv(slot) == 0 and math.abs(at - since) < {seconds} do
    tell(slot, since, at)
    if math.abs(at - checked) > {NOTIFY_EVERY} then
      checked = at
      if tonumber(core.get_info()["Stopping"]) == 1 then
        txn:set_var("txn.again", true)
        return
      end
    end
    core.msleep({POLL_MILLISECONDS})
    at = now(txn)
  end
end, 0)
"""


def wait_rules(queue: int) -> list[str]:
    """Backend rules. A request that finds no server waits in ``hold`` until there is one. A request that finds all
    servers busy waits in HAProxy's queue for ``queue`` seconds and is then throttled."""
    unready = retry_response(
        "ModelNotReadyException", f"No instance of endpoint {ENDPOINT} is ready yet; try again.", "1"
    )
    full = retry_response(
        "ThrottlingException",
        f"Rate exceeded: endpoint {ENDPOINT} has reached its limit of concurrent requests; try again.",
        "1",
    )
    return [
        f"timeout queue {queue}s",
        "http-request lua.hold if { nbsrv lt 1 }",
        f"http-request return status 429 {unready} if {{ nbsrv lt 1 }} !{{ var(txn.again) -m found }}",
        f"use-server {AGAIN} if {{ var(txn.again) -m found }}",
        f"http-error status 503 {full}",
        f'http-after-response set-status 429 reason "Too Many Requests" if {{ status 503 }} {PROXY_MADE}',
    ]


def render_again(host: str, port: int) -> str:
    """The line of the server ``AGAIN``. ``host``, ``port``: where this proxy listens."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"server {AGAIN} {f'[{own}]' if ':' in own else own}:{port} weight 0"


class WakeSocket:
    """The socket that ``hold`` notifies. ``asleep`` receives the slot and since when (epoch seconds) a request waits
    in it; ``kick`` receives anything else, which is the name of a fleet with news (see
    ``serving.contract.cold_start``)."""

    def __init__(self, socket: Path, asleep: Callable[[str, float], None], kick: Callable[[str], None]) -> None:
        self._socket = socket
        self._asleep = asleep
        self._kick = kick
        self._server: asyncio.Server | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._listen()
        self._keeping = asyncio.create_task(keep_bound(self._socket, self._listen))

    async def _listen(self) -> None:
        if self._server is not None:
            self._server.close()
        before = os.umask(0o077)
        try:
            self._socket.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._called, str(self._socket))
        finally:
            os.umask(before)

    def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        if self._server is not None:
            self._server.close()

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(2):
                line = (await reader.readuntil(b"\n"))[:_MAX_LINE].decode().split()
            if len(line) == 2:
                # Guards against a wrong clock: no request can have waited longer than that.
                self._asleep(line[0], min(time.time(), max(time.time() - 3600, float(line[1]))))
            elif line:
                self._kick(line[0])
        writer.close()
