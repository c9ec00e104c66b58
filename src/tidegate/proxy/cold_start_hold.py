"""Holds requests in HAProxy until an instance is ready, with the Lua action ``hold``, and tells the controller about
them.

The action checks every few milliseconds whether the backend has a server. Meanwhile it keeps sending the slot's name
to the controller's socket, so a controller that was restarted learns it while the request is still waiting. The
controller never sees the request itself.

A request may have to wait although a server was there when it came: the server had just ended, for which HAProxy has
no other word than its own 503. So the proxy itself is the backup server of each slot. A server that refuses one
connection is down at once, and the request comes again, is held, and goes to the next instance. A process from before
a reload gets no more servers: what it holds it sends the same way to the process that has taken its place.
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
"""Name of the server that is this proxy itself."""
NO_SERVER = "{ be_conn_free lt 0 }"
"""True if only the server ``AGAIN`` could take the request: it is the only one without a limit, and ``nbsrv`` counts
it."""
CAME_AGAIN = "{ var(txn.again) -m found }"
"""True for a request that this proxy, or the one before it, has sent again."""
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
  -- Counted from its first arrival, however often it comes again.
  local came = (tonumber(txn.f:req_hdr("X-Tidegate-Start")) or since * 1e6) / 1e6
  while tonumber(txn.f:be_conn_free(slot)) < 0 and math.abs(at - came) < {seconds} do
    tell(slot, since, at)
    if math.abs(at - checked) > {NOTIFY_EVERY} then
      checked = at
      if tonumber(core.get_info()["Stopping"]) == 1 then
        txn:set_var("txn.leave", true)
        return
      end
    end
    core.msleep({POLL_MILLISECONDS})
    at = now(txn)
  end
end, 0)
"""


def wait_rules(queue: int, seconds: int) -> list[str]:
    """Backend rules. A request that finds no server waits in ``hold`` until there is one. A request that finds all
    servers busy waits in HAProxy's queue for ``queue`` seconds and is then throttled. ``seconds``: how long it is
    held, and how long a model may take after that. A request whose instance died finds out by the second try that the
    instance is gone, and comes again with the third."""
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
        f"timeout server {2 * seconds + 4}s",
        "retries 2",
        f"http-request lua.hold if {NO_SERVER}",
        f"http-request return status 429 {unready} if {NO_SERVER} !{{ var(txn.leave) -m found }}",
        f"use-server {AGAIN} if {{ var(txn.leave) -m found }}",
        f"http-request disable-l7-retry if {CAME_AGAIN}",
        f"http-error status 503 {full}",
        f'http-after-response set-status 429 reason "Too Many Requests" if {{ status 503 }} {PROXY_MADE}',
    ]


def render_again(successor: str) -> str:
    """The line of the server ``AGAIN``. ``successor``: the socket on which the newest process takes requests."""
    return f"server {AGAIN} unix@{successor} send-proxy-v2 backup"


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
            self._server = await asyncio.start_unix_server(self._on_call, str(self._socket))
        finally:
            os.umask(before)

    def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        if self._server is not None:
            self._server.close()

    async def _on_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(2):
                line = (await reader.readuntil(b"\n"))[:_MAX_LINE].decode().split()
            if len(line) == 2:
                # Guards against a wrong clock: no request can have waited longer than that.
                self._asleep(line[0], min(time.time(), max(time.time() - 3600, float(line[1]))))
            elif line:
                self._kick(line[0])
        writer.close()
