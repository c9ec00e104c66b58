"""Pods of transform jobs as processes: a worker and a runner each, with the files of their Secrets."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.unit.targets.kubernetes.memory_api_server import Object, is_leaving
from tests.unit.targets.kubernetes.memory_jobs import MemoryJobServer

CONTAINERS = ("worker", "runner")


@dataclass
class JobPod:
    """``ended``: containers that have ended with success."""

    address: str
    folder: Path
    containers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    asked_to_end: bool = False


@dataclass
class ProcessJobPods:
    server: MemoryJobServer
    folder: Path
    pods: dict[str, JobPod] = field(default_factory=dict)

    async def turn(self, pod: Object, next_address: Callable[[], str], probes: httpx.AsyncClient) -> None:
        name = pod["metadata"]["name"]
        one = self.pods.get(name)
        if is_leaving(pod):
            if one is None or self._has_left(one):
                self.server.objects.pop(("pods", name), None)
                self.pods.pop(name, None)
            return
        if one is None:
            one = self.pods[name] = self._prepare(pod, next_address())
            pod["status"] |= {"phase": "Running", "podIP": one.address}
        for container in CONTAINERS:
            self._keep(one, name, container)
        if len(one.ended) == len(CONTAINERS):
            pod["status"] |= {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]}
            self.server.settle()
        else:
            ready = await _answers(probes, f"http://{one.address}:8081/ping")
            pod["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]

    def kill(self, name: str) -> None:
        """As when its node is lost: nothing of it ends by itself, and nothing that it wrote on the node is left."""
        one = self.pods[name]
        for process in one.containers.values():
            _kill(process)
        shutil.rmtree(one.folder, ignore_errors=True)
        self.server.objects.pop(("pods", name), None)
        self.server.settle()

    def kill_container(self, name: str, container: str) -> None:
        """The kubelet starts it again, and its folder is as it was."""
        _kill(self.pods[name].containers[container])

    def close(self) -> None:
        for one in self.pods.values():
            for process in one.containers.values():
                _kill(process)

    def _keep(self, one: JobPod, name: str, container: str) -> None:
        """restartPolicy: OnFailure."""
        if container in one.ended:
            return
        process = one.containers.get(container)
        code = None if process is None else process.poll()
        if code == 0:
            one.ended.add(container)
        elif (process is None or code is not None) and one.folder.exists():
            one.containers[container] = self._start(one, name, container)

    def _prepare(self, pod: Object, address: str) -> JobPod:
        folder = self.folder / pod["metadata"]["name"]
        for container in CONTAINERS:
            (folder / container).mkdir(parents=True)
        volumes = {one["name"]: one["secret"] for one in pod["spec"]["volumes"] if "secret" in one}
        start = json.loads(self._file(volumes["start"]))
        start["listen"] |= {"host": address, "control_host": address}
        (folder / "start.json").write_text(json.dumps(start))
        (folder / "url").write_bytes(self._file(volumes["database"]))
        runner = json.loads(self._file(volumes["runner-start"]))
        runner |= {"worker": [address, 8080], "ended": str(folder / "ended"), "database_file": str(folder / "url")}
        (folder / "runner.json").write_text(json.dumps({**runner, "lease": 3.0}))
        return JobPod(address, folder)

    def _file(self, volume: Any) -> bytes:
        """The only file of a Secret's volume."""
        (item,) = volume["items"]
        return base64.b64decode(self.server.objects["secrets", volume["secretName"]]["data"][item["key"]])

    def _start(self, one: JobPod, name: str, container: str) -> subprocess.Popen[bytes]:
        program = {
            "worker": ("tidegate.serving.process.serve", str(one.folder / "start.json")),
            "runner": ("tidegate.features.batch.pod", str(one.folder / "runner.json")),
        }
        work = {"TIDEGATE_WORK": str(one.folder / container), "TIDEGATE_UNTIL": str(one.folder / "ended")}
        environment = {**os.environ, "TIDEGATE_REPLICA": name, **work}
        with (self.folder / f"{name}-{container}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *program[container]],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _has_left(self, one: JobPod) -> bool:
        for process in one.containers.values():
            if not one.asked_to_end and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        one.asked_to_end = True
        return all(process.poll() is not None for process in one.containers.values())


async def _answers(probes: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return (await probes.get(url)).status_code == 200
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
