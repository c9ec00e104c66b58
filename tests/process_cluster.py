"""A fake cluster whose pods are processes of this machine, each with a loopback address of its own.

The API server is the one in memory, behind a port; the kubelet here starts the same commands that containers get:
``serve`` and the gateway's agent, with the files of their Secrets and ConfigMaps. Images, nodes and the network are
not real: those are tested in ``tests/kubernetes``.
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
import psutil
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.process_job_pods import ProcessJobPods
from tests.unit.targets.kubernetes.memory_api_server import Object, is_leaving
from tests.unit.targets.kubernetes.memory_jobs import MemoryJobServer
from tidegate.host.http_server import serve
from tidegate.host.platform import free_port

TURN = 0.1
PRE_STOP = 2.0
"""Seconds between a pod's end being decided and its SIGTERM, in place of the manifest's."""
METHODS = ["GET", "POST", "PATCH", "DELETE"]


@dataclass
class Process:
    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    leaving_since: float | None = None
    restarts: int = 0


@dataclass
class ProcessCluster:
    """Use it in a ``with`` statement."""

    server: MemoryJobServer = field(default_factory=lambda: MemoryJobServer(start=_pending))
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tg-pods-")))
    processes: dict[str, Process] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: threading.Event = field(default_factory=threading.Event)
    _count: int = 0
    _block: int = field(default_factory=lambda: secrets.randbelow(250 * 250))
    """Where its addresses begin: clusters of other test runs on this machine have others."""

    def __post_init__(self) -> None:
        self.job_pods = ProcessJobPods(self.server, self.folder)

    def __enter__(self) -> "ProcessCluster":
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *reason: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)
        self._loop.close()
        for process in psutil.process_iter(["cmdline"]):  # a gateway's HAProxy is in a session of its own
            if str(self.folder) in " ".join(process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        for one in self.processes.values():
            _kill(one.process)
        self.job_pods.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}
        user = {"name": "u", "user": {"token": "t"}}
        whole = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
        path.write_text(yaml.safe_dump(whole))
        return path

    def write_targets(self, folder: Path, **options: Any) -> Path:
        """A file of targets in ``folder`` that makes this cluster the default one; ``options`` of the target."""
        settings = {"kubeconfig": str(self.kubeconfig), "image": "processes", "allow_unsigned": True, **options}
        path = folder / "targets.yaml"
        path.write_text(yaml.safe_dump({"default": "kubernetes", "kubernetes": settings}))
        return path

    def addresses(self, component: str) -> list[str]:
        """Of pods that are ready."""
        pods = [pod for pod in self.server.pods(component) if not is_leaving(pod) and _is_ready(pod)]
        return sorted(pod["status"]["podIP"] for pod in pods)

    def kill(self, name: str) -> None:
        _kill(self.processes[name].process)

    # --- the API server and the kubelet, in one loop ---

    async def _run(self) -> None:
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=METHODS)])
        server, task = await serve(app, self.port, "127.0.0.1")
        self._ready.set()
        async with httpx.AsyncClient(timeout=1.0) as probes:
            while not self._stopping.is_set():
                for pod in self.server.pods():
                    await self._turn(pod, probes)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), TURN)
        server.should_exit = True
        await task

    async def _answer(self, request: Request) -> Response:
        asked = httpx2.Request(request.method, str(request.url), content=await request.body())
        try:
            answer = await self.server.handle_async_request(asked)
        except httpx2.TransportError:
            return Response(status_code=503)
        kind = answer.headers.get("content-type", "application/json")
        return Response(answer.content, answer.status_code, media_type=kind)

    async def _turn(self, pod: Object, probes: httpx.AsyncClient) -> None:
        name = pod["metadata"]["name"]
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "transform":
            return await self.job_pods.turn(pod, self._next_address, probes)
        one = self.processes.get(name)
        if one is None:
            if not is_leaving(pod):
                self._start(name, pod)
            else:
                self.server.objects.pop(("pods", name), None)
            return
        code = one.process.poll()
        if is_leaving(pod):
            now = self._loop.time()
            one.leaving_since = one.leaving_since or now
            if code is not None:
                self.server.objects.pop(("pods", name), None)
                del self.processes[name]
            elif now - one.leaving_since > PRE_STOP:
                one.process.send_signal(signal.SIGTERM)
            return
        if code is not None:
            self._note_end(pod, one, code)
            return
        self._mount_share(pod, one.folder)
        await self._probe(pod, one, probes)

    def _next_address(self) -> str:
        self._count += 1
        first, second = divmod(self._block + self._count // 250, 250)
        return f"127.{first + 1}.{second}.{self._count % 250 + 1}"

    def _start(self, name: str, pod: Object) -> None:
        address, folder = self._next_address(), self.folder / name
        folder.mkdir(exist_ok=True)
        pod["status"] |= {"phase": "Running", "podIP": address}
        gateway = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"
        command = self._gateway(folder, address) if gateway else self._worker(folder, address, pod)
        environment = {**os.environ, "TIDEGATE_REPLICA": name, "TIDEGATE_WORK": str(folder), "POD_IP": address}
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.processes[name] = Process(address, folder, process)

    def _worker(self, folder: Path, address: str, pod: Object) -> list[str]:
        secret = next(one["secret"]["secretName"] for one in pod["spec"]["volumes"] if one["name"] == "start")
        start = self._file("secrets", secret, "start.json")
        start["listen"] = {"host": address, "control_host": address}
        if start.get("mirror"):
            start["mirror"] |= {"share_file": str(folder / "share")}
            self._mount_share(pod, folder)
        (folder / "start.json").write_text(json.dumps(start))
        return [sys.executable, "-m", "tidegate.serving.process.serve", str(folder / "start.json")]

    def _mount_share(self, pod: Object, folder: Path) -> None:
        """The share of copied requests, which may change; a node's kubelet takes a minute for it."""
        for volume in pod["spec"]["volumes"]:
            if volume["name"] == "share":
                data = self.server.objects["secrets", volume["secret"]["secretName"]]["data"]["share"]
                # A worker that reads half of a file copies nothing until it reads again, so the file is exchanged, as
                # a kubelet does.
                (folder / "share.new").write_bytes(base64.b64decode(data))
                (folder / "share.new").replace(folder / "share")

    def _gateway(self, folder: Path, address: str) -> list[str]:
        agent = json.loads(self.server.objects["configmaps", "tidegate-gateway"]["data"]["agent.json"])
        token = self.server.objects["secrets", "tidegate-gateway-token"]["data"]["token"]
        (folder / "token").write_bytes(base64.b64decode(token))
        agent |= {"host": address, "state": str(folder / "state"), "token_file": str(folder / "token")}
        agent["proxy"] |= {"host": address}
        (folder / "agent.json").write_text(json.dumps(agent))
        return [sys.executable, "-m", "tidegate.proxy.agent_main", str(folder / "agent.json")]

    def _file(self, plural: str, name: str, file: str) -> Any:
        return json.loads(base64.b64decode(self.server.objects[plural, name]["data"][file]))

    async def _probe(self, pod: Object, one: Process, probes: httpx.AsyncClient) -> None:
        gateway = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"
        url = f"http://{one.address}:8082/ready" if gateway else f"http://{one.address}:8081/ping"
        ready = "False"
        with contextlib.suppress(httpx.HTTPError):
            ready = "True" if (await probes.get(url)).status_code == 200 else "False"
        pod["status"]["conditions"] = [{"type": "Ready", "status": ready}]

    def _note_end(self, pod: Object, one: Process, code: int) -> None:
        """A container that ended is started again, as often as the manifest's cluster would in that time."""
        message = ""
        with contextlib.suppress(OSError):
            message = (one.folder / "failure.json").read_text()
        ended = {"exitCode": code, "message": message}
        status = {
            "name": "worker",
            "ready": False,
            "restartCount": one.restarts,
            "lastState": {"terminated": ended},
        }
        pod["status"]["containerStatuses"] = [{**status, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        if one.restarts < 3:
            restarts = one.restarts + 1
            self._start(pod["metadata"]["name"], pod)
            self.processes[pod["metadata"]["name"]].restarts = restarts


def _pending(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "conditions": []}


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With what it started: a container's end takes all of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def why_not() -> str | None:
    """Why pods cannot have addresses of their own here, in one line; None if they can."""
    for port in (8080, 8081, 8082):
        with socket.socket() as probe:
            try:
                probe.bind(("127.77.0.1", port))
            except OSError as error:
                return f"port {port} of the loopback address 127.77.0.1 cannot be used: {error.strerror}"
    return None
