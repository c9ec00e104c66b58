"""Runs a program that honours the container contract, as a child process that is called over HTTP.

The program gets its command as configured, the model folder as working folder, and in its environment

- ``PORT`` and ``SAGEMAKER_BIND_TO_PORT``: a free loopback port, or ``TIDEGATE_SOCKET``: the path of a unix socket
  that it may listen on instead; ``SAGEMAKER_SAFE_PORT_RANGE``: a few more loopback ports for its own use;
- ``SM_MODEL_DIR`` and ``MODEL_DIR``: the model folder;
- ``CUDA_VISIBLE_DEVICES``: the accelerators that are assigned to the replica, or none;
- the variables of the image table and the container, and a few general ones (PATH, HOME, LANG, ...); nothing else of
  the server's environment.

It answers ``GET /ping`` with 200 when it is ready, and then ``POST /invocations``. At the end it gets SIGTERM, and
SIGKILL after 30 seconds; if the worker is killed it is killed, too.
"""

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from tidegate.domain.devices import VARIABLE
from tidegate.domain.errors import StartTimeout, Transient
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.invocation import Call, Done
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.runtimes import launcher
from tidegate.serving.runtimes.listeners import Owner, find_free_port, listening, peer
from tidegate.serving.runtimes.liveness import GOOD, PING_EVERY, PING_TIMEOUT, HealthWatch, ping
from tidegate.serving.runtimes.upstream_calls import UpstreamCalls

KILL_AFTER = 30.0
_SAFE = (20_000, 30_000)
"""Below Linux's ephemeral ports."""
_SAFE_COUNT = 16
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


class Program:
    """The engine of a program. ``died`` is called with its exit code if it ends by itself."""

    def __init__(
        self, spec: ReplicaSpec, container: ContainerSpec, died: Callable[[ContainerSpec, int], None]
    ) -> None:
        self._spec = spec
        self._container = container
        self._died = died
        number = spec.containers.index(container)
        self._socket = Path(spec.socket).with_suffix(f".app{number or ''}")
        self._process: asyncio.subprocess.Process | None = None
        self._client: HttpClient | None = None
        self._calls = UpstreamCalls(spec, container.name)
        self._watchers: list[asyncio.Task[None]] = []
        self._health = HealthWatch(self._calls, spec.invocation_timeout)
        self._path: Path | None = None
        """The unix socket that it may listen on."""
        self._taken = False
        """Another process listens on its port."""
        self._closing = False
        self.execution_parameters = b"{}"
        """Its answer to ``GET /execution-parameters``, for transform jobs only."""

    @property
    def healthy(self) -> bool:
        return self._health.good

    async def start(self, until: float) -> None:
        """Start the program and wait for the first 200 to a ping. Raises StartTimeout if there is none by ``until``
        (the event loop's time), and Invalid for an environment that a model may not set."""
        check_environment(self._container.environment)
        port = find_free_port()
        self._socket.unlink(missing_ok=True)
        # From the main thread: Linux ties the child's life to the thread that started it.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *self._container.runtime.command),
            stdin=asyncio.subprocess.DEVNULL,
            cwd=self._container.model_dir,
            env=environment(self._container, port, self._socket, os.environ),
        )
        self._owner = Owner(self._process.pid)
        self._watchers.append(asyncio.create_task(self._wait(self._process)))
        try:
            async with asyncio.timeout_at(until):
                self._client = await self._first_ping(port)
        except TimeoutError:
            raise StartTimeout(
                f"The {self._container.name} container for production variant "
                f"{self._spec.fleet.variant} did not pass the ping health check within"
                f" {self._spec.startup_timeout:g} s (GET /ping on port {port} or on {self._socket})."
            ) from None
        self._calls.client = self._client
        if self._container.transforms:
            self.execution_parameters = await _parameters(self._client)
        self._watchers.append(asyncio.create_task(self._watch(self._client)))

    def submit(self, call: Call, done: Done) -> None:
        self._calls.submit(call, done)

    async def close(self) -> None:
        """End the program and its children."""
        self._closing = True
        for task in self._watchers[1:]:
            task.cancel()
        self._calls.cancel()
        if self._client is not None:
            self._client.close()
        process = self._process
        if process is not None:
            _signal(process, signal.SIGTERM)
            _signal(process, signal.SIGCONT)  # a stopped process would not handle SIGTERM
            with suppress(TimeoutError):
                async with asyncio.timeout(KILL_AFTER):
                    await process.wait()
            _signal(process, signal.SIGKILL)
            await process.wait()
        self._socket.unlink(missing_ok=True)

    # --- health ---

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if not self._closing:
            self._died(self._container, code)

    async def _first_ping(self, port: int) -> HttpClient:
        """From the program itself. Whoever else listens on its port has taken it: the program will not get it."""
        while True:
            for address in (str(self._socket), port) if self._socket.exists() else (port,):
                client = HttpClient(address, self._spec.max_body, partial(self._is_ours, address))
                if await ping(client) == GOOD:
                    self._path = self._socket if isinstance(address, str) else None
                    return client
                client.close()
            if self._taken:
                raise Transient(
                    f"port {port}, which the {self._container.name} container was given, was taken by another process"
                )
            await asyncio.sleep(PING_EVERY)

    def _is_ours(self, address: str | int, transport: asyncio.BaseTransport) -> bool:
        """Whether a new connection leads to the program."""
        if isinstance(address, int):
            ours = self._owner.listens_alone(address)
            self._taken = not ours and bool(listening(address))
        else:
            pid = peer(transport.get_extra_info("socket"))
            ours = pid is None or self._owner.is_peer(pid)
        if not ours and self._client is not None:
            self._end("another process listens in its place")
        return ours

    async def _watch(self, client: HttpClient) -> None:
        assert self._process is not None
        self._end(await self._health.run(client, self._process.pid, self._find_loss))

    def _find_loss(self) -> str:
        return "its socket is gone" if self._path is not None and not self._path.exists() else ""

    def _end(self, why: str) -> None:
        """End the program, and with it the worker, which will be replaced."""
        print(
            f"tidegate worker {self._spec.replica}: container {self._container.name}: {why}; ending it", flush=True
        )
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)


def environment(container: ContainerSpec, port: int, path: Path, server: Mapping[str, str]) -> dict[str, str]:
    """The program's complete environment; later entries win."""
    return {
        **{name: server[name] for name in _INHERITED if name in server},
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **container.runtime.environment,
        **container.environment,
        "PORT": str(port),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_SAFE_PORT_RANGE": _safe_ports(),
        "TIDEGATE_SOCKET": str(path),
        "SM_MODEL_DIR": container.model_dir,
        "MODEL_DIR": container.model_dir,
        **{name: server[name] for name in (VARIABLE,) if name in server},
    }


async def _parameters(client: HttpClient) -> bytes:
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            reply = await client.request("GET", "/execution-parameters")
    except (ConnectionBroken, TimeoutError, ValueError):
        return b"{}"
    return reply.body if reply.status == 200 else b"{}"


def _safe_ports() -> str:
    """``low-high`` of further loopback ports for a program; free now."""
    while True:
        low = random.randrange(*_SAFE)
        if all(_is_free(port) for port in range(low, low + _SAFE_COUNT)):
            return f"{low}-{low + _SAFE_COUNT - 1}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to the program's process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
    with suppress(ProcessLookupError):
        if process.returncode is None:
            process.send_signal(number)
