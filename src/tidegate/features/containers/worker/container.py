"""Runs a container image and forwards calls to it.

The container listens on a port of its own network, which is published on a free port of loopback. It gets

- the arguments of the spec; without any, SageMaker's ``serve`` if the image follows SageMaker's contract;
- the model data in /opt/ml/model, which it cannot write to;
- the variables of its definition, and ``PORT``, ``SAGEMAKER_BIND_TO_PORT``, ``SAGEMAKER_SAFE_PORT_RANGE``,
  ``SM_MODEL_DIR`` and ``MODEL_DIR``;
- the replica's memory and processors as limits, and its accelerators by their CDI names;
- no privilege beyond ``CAPABILITIES``, and none that a program in it could gain.

At the end it gets SIGTERM, and SIGKILL after 30 seconds; if the worker is killed it is removed (``keeper``).
"""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, StartTimeout
from tidegate.domain.image_name import ImageName
from tidegate.domain.registry import Upstream
from tidegate.features.containers.worker import keeper
from tidegate.features.containers.worker.end_reasons import ContainerEnd, explain_end
from tidegate.features.containers.worker.engine_command import (
    OWNER,
    WORKER,
    ContainerEngine,
    ContainerState,
    command_environment,
    find_engine,
    identify_process,
)
from tidegate.features.containers.worker.images import require_image
from tidegate.host.atomic_write import write_private
from tidegate.host.installation import own_installation
from tidegate.host.log_files import read_own_end
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import HttpReply, LongBody, StreamedReply, Streaming, Unreachable
from tidegate.serving.contract.beside import (
    DATA_FOLDER,
    SERVE,
    container_arguments,
    container_environment,
    container_port,
    health_path,
)
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.invocation import Call, Done
from tidegate.serving.contract.replica_spec import ContainerSpec, Died, ReplicaSpec
from tidegate.serving.runtimes.dialects import make_dialect
from tidegate.serving.runtimes.listeners import find_free_port
from tidegate.serving.runtimes.liveness import GOOD, PING_EVERY, HealthWatch, ping
from tidegate.serving.runtimes.upstream_calls import UpstreamCalls
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders

# --- a client of a container that may be ending: its engine says so a moment after the port is closed ---


PATIENCE = 3.0
"""Seconds: the engine's command ends, and says how the container did, well within."""
PAUSE = 0.1
T = TypeVar("T")


class PatientClient:
    """An ``UpstreamClient``. While no connection can be made, no request was processed: it waits. Either the
    container listens again, or its instance is told of its end, and the proxy sends the request to another one."""

    def __init__(self, client: HttpClient, patience: float = PATIENCE) -> None:
        self._client = client
        self._patience = patience

    async def request(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> HttpReply:
        """Send a request and return the whole response. Raises ConnectionBroken or ValueError."""
        return await self._insist(lambda: self._client.request(method, path, headers, body))

    async def stream(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | LongBody,
        streaming: Streaming,
    ) -> HttpReply | StreamedReply:
        """Like ``request``; a response that is streamed is returned with its head."""
        return await self._insist(lambda: self._client.stream(method, path, headers, body, streaming))

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time
        until = now() + self._patience
        while True:
            try:
                return await ask()
            except Unreachable:
                if now() >= until:
                    raise
            await asyncio.sleep(PAUSE)


KILL_AFTER = 30
PIDS = 4096
"""Processes and threads of a container: many for a server, few for a machine."""
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""What the entrypoints of ordinary web servers use as root: they give files to the user that they then become
(CHOWN, FOWNER, DAC_OVERRIDE, SETGID, SETUID), end its processes (KILL), and listen on port 80 (NET_BIND_SERVICE)."""
_SAFE_PORTS = "20000-20015"
"""In a network of its own, so every port is free."""
_LINES = 20
_VARIABLE = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


class Container:
    """The engine of a container. ``died`` is called if it ends by itself."""

    def __init__(self, spec: ReplicaSpec, container: ContainerSpec, died: Died, engine: ContainerEngine) -> None:
        self._spec = spec
        self._container = container
        self._died = died
        self._engine = engine
        upstream = container.runtime.upstream or Upstream()
        number = spec.containers.index(container)
        self._name = "-".join(filter(None, ("tidegate", own_installation(), spec.replica, str(number or ""))))
        self._state = Path(spec.socket).with_suffix(f".app{number or ''}.state")
        self._variables = self._state.with_suffix(".env")
        self._headers = UpstreamHeaders(upstream.headers, spec.secrets)
        self._dialect = make_dialect(upstream, self._headers)
        self._calls = UpstreamCalls(spec, container.name, self._dialect, hide=self._headers.hide)
        self._arguments = container_arguments(upstream)
        self._port = container_port(upstream)
        self._health_path = health_path(upstream)
        self._health = HealthWatch(self._calls, spec.invocation_timeout, self._health_path)
        self._keeper: asyncio.subprocess.Process | None = None
        self._client: HttpClient | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def healthy(self) -> bool:
        return self._health.good

    async def start(self, until: float) -> None:
        """Start the container and wait for the first 200 to a ping. Raises StartTimeout if there is none by ``until``
        (the event loop's time), Invalid for an environment that a model may not set, ArtifactError or Transient."""
        write_private(self._variables, render_variables(self._container).encode())
        image = await require_image(
            self._engine, ImageName.parse(self._container.runtime.image), self._spec.replica
        )
        port = find_free_port()
        self._state.unlink(missing_ok=True)
        self._keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", keeper.__file__, str(self._state), self._name),
            *self._engine.removal(self._name),
            "--",
            *self._command(image, port),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=command_environment(os.environ),
        )
        self._watchers.append(asyncio.create_task(self._wait(self._keeper)))
        self._client = HttpClient(port, self._spec.max_body)
        try:
            async with asyncio.timeout_at(until):
                while await ping(self._client, self._health_path) != GOOD:
                    await asyncio.sleep(PING_EVERY)
        except TimeoutError:
            raise StartTimeout(
                f"The {self._container.name} container for production variant {self._spec.fleet.variant} did not pass"
                f" the ping health check within {self._spec.startup_timeout:g} s (GET {self._health_path} on port"
                f" {self._port} of the image {self._container.runtime.image})."
            ) from None
        self._variables.unlink(missing_ok=True)
        await self._dialect.prepare(self._client)
        self._calls.client = PatientClient(self._client)
        self._watchers.append(asyncio.create_task(self._watch(self._client)))

    def _command(self, image: str, port: int) -> list[str]:
        spec = self._spec
        words = [self._engine.path, "run", "--name", self._name, "--pull", "never", "--log-driver", "none"]
        words += ["--sig-proxy=false", "--label", f"{OWNER}={own_installation()}"]
        words += ["--label", f"{WORKER}={identify_process(os.getpid())}"]
        words += ["--publish", f"127.0.0.1:{port}:{self._port}", "--env-file", str(self._variables)]
        words += ["--cap-drop", "ALL", *(word for one in CAPABILITIES for word in ("--cap-add", one))]
        words += ["--security-opt", "no-new-privileges", "--pids-limit", str(PIDS)]
        if self._container.data_url is not None:
            words += ["--volume", f"{Path(self._container.model_dir).resolve()}:{DATA_FOLDER}:ro"]
        if spec.memory_limit:
            words += ["--memory", str(spec.memory_limit), "--memory-swap", str(spec.memory_limit)]
        if spec.cpu_limit:
            words += ["--cpus", str(spec.cpu_limit)]
        for device in spec.devices:
            words += ["--device", f"nvidia.com/gpu={device}"]
        return [*words, image, *self._arguments]

    def submit(self, call: Call, done: Done) -> None:
        self._calls.submit(call, done)

    async def close(self) -> None:
        """End the container and what runs in it."""
        self._closing = True
        for task in self._watchers[1:]:
            task.cancel()
        self._calls.cancel()
        if self._client is not None:
            self._client.close()
        if self._keeper is not None and self._keeper.returncode is None:
            with contextlib.suppress(Exception):
                await self._engine.run("stop", "--time", str(KILL_AFTER), self._name, seconds=KILL_AFTER + 15)
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()  # the keeper removes what is left
            await self._keeper.wait()
        for path in (self._state, self._variables):
            path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Let go of a container that did not start: it is killed and removed."""
        self._closing = True
        for task in self._watchers:
            task.cancel()
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()

    # --- health ---

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if self._closing:
            return
        if not self._state.exists():  # the keeper was killed
            await self._engine.run(*self._engine.removal(self._name)[1:])
        end = ContainerEnd(
            self._container.runtime.image,
            abs(code),
            self._read_state(),
            read_own_end(_LINES),
            self._spec.memory_limit,
            self._arguments == SERVE,
        )
        reason = explain_end(end)
        self._died(self._container, code, reason.text, permanent=reason.repeats)

    def _read_state(self) -> ContainerState:
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=prepare_type(ContainerState))
        except (OSError, msgspec.DecodeError):
            return ContainerState()

    async def _watch(self, client: HttpClient) -> None:
        """End a container that hangs, and with it the worker, which will be replaced."""
        reply = await self._engine.run("container", "inspect", "--format", "{{.State.Pid}}", self._name)
        pid = int(reply.output) if reply.output.isdecimal() else 0
        why = await self._health.run(client, pid, self._look_at_secrets)
        print(
            f"tidegate worker {self._spec.replica}: container {self._container.name}: {why}; ending it", flush=True
        )
        await self._engine.run(*self._engine.removal(self._name)[1:])

    def _look_at_secrets(self) -> str:
        with contextlib.suppress(Invalid):  # the former text is as good as none
            self._headers.look()
        return ""


async def open_container(spec: ReplicaSpec, container: ContainerSpec, died: Died, until: float) -> Container:
    """Start a container and wait until it answers its ping. Raises what ``Container.start`` does."""
    opened = Container(spec, container, died, find_engine())
    try:
        await opened.start(until)
    except BaseException:
        opened.abandon()
        raise
    return opened


def render_variables(container: ContainerSpec) -> str:
    """The file of the container's variables; later ones win. Raises Invalid for one that no such file can have."""
    check_environment(container.environment, contained=True)
    upstream = container.runtime.upstream or Upstream()
    variables = {
        "PYTHONUNBUFFERED": "1",
        **container_environment(upstream, container.environment),
        "PORT": str(container_port(upstream)),
        "SAGEMAKER_SAFE_PORT_RANGE": _SAFE_PORTS,
    }
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise Invalid(f"environment variable {name!r}: a container cannot get a variable of this name")
        if "\n" in value or "\r" in value:
            raise Invalid(f"environment variable {name}: a container cannot get a value of several lines")
    return "".join(f"{name}={value}\n" for name, value in variables.items())
