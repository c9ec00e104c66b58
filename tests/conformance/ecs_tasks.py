"""A simulator of what ECS runs: for each service of moto's ECS its tasks, as tidegate's real worker processes on
ports of their own. A task is registered with its target group once its ping is answered. There are no containers."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from moto.ecs.models import ecs_backends

from tests.conformance.aws_credentials import ENVIRONMENT, REGION
from tidegate.host.platform import free_port

ACCOUNT = "123456789012"
"""moto's."""
LOOK_EVERY = 0.1
FAILURES = 3
"""Tasks in a row that end before they are healthy, after which the circuit breaker opens (ECS's smallest number)."""
START = "TIDEGATE_START"
_NUMBERS = itertools.count(1)


@dataclass
class Task:
    process: subprocess.Popen[bytes]
    port: int
    number: int
    healthy: bool = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def registered(self) -> list[dict[str, object]]:
        """As a target. moto knows targets by their ids alone, so each task has another loopback address."""
        return [{"Id": f"127.77.{self.number // 250}.{self.number % 250 + 1}", "Port": self.port}]

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.address}/ping", timeout=1).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@dataclass
class ServiceTasks:
    running: list[Task] = field(default_factory=list)
    failures: int = 0


@dataclass
class EcsTasks:
    """``balancer``: boto3's client of moto's elbv2. ``variables``: what every task has, such as the address of S3."""

    balancer: Any
    folder: Path
    variables: Mapping[str, str]
    services: dict[str, ServiceTasks] = field(default_factory=dict)
    healthy: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """ARN of a target group -> addresses of its healthy tasks."""
    troubles: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _ending: list[Task] = field(default_factory=list)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            backend = ecs_backends[ACCOUNT][REGION]
            for service in list(backend.services.values()):
                try:
                    self._look(service)
                except Exception as error:  # a thread's failure would be seen by nobody
                    self.troubles.append(repr(error))
            self._ending = [one for one in self._ending if one.process.poll() is None]

    def end(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        left = [*self._ending, *(one for each in self.services.values() for one in each.running)]
        for task in left:
            task.process.kill()
        for task in left:
            task.process.wait()

    def _look(self, service: Any) -> None:
        group = service.load_balancers[0]["targetGroupArn"]
        mine = self.services.setdefault(service.arn, ServiceTasks())
        for task in [one for one in mine.running if one.process.poll() is not None]:
            mine.failures += not task.healthy
            self._leave(group, mine, task)
        wanted = service.desired_count if service.status == "ACTIVE" else 0
        if mine.failures >= FAILURES and wanted:
            reason = "ECS deployment circuit breaker: tasks failed to start."
            service.deployments[0] |= {"rolloutState": "FAILED", "rolloutStateReason": reason}
            wanted = 0
        for task in mine.running[wanted:]:
            self._leave(group, mine, task)
            task.process.terminate()
            self._ending.append(task)
        while len(mine.running) < wanted:
            mine.running.append(self._start(service))
        for task in mine.running:
            if not task.healthy and task.answers():
                task.healthy = True
                mine.failures = 0
                self.healthy[group] = (*self.healthy.get(group, ()), task.address)
                self.balancer.register_targets(TargetGroupArn=group, Targets=task.registered)
        service.running_count = sum(task.healthy for task in mine.running)

    def _leave(self, group: str, mine: ServiceTasks, task: Task) -> None:
        mine.running.remove(task)
        if task.healthy:
            self.healthy[group] = tuple(one for one in self.healthy[group] if one != task.address)
            with contextlib.suppress(self.balancer.exceptions.TargetGroupNotFoundException):
                self.balancer.deregister_targets(TargetGroupArn=group, Targets=task.registered)

    def _start(self, service: Any) -> Task:
        number, port = next(_NUMBERS), free_port()
        family, _, revision = service.task_definition.rpartition("/")[2].partition(":")
        definition = ecs_backends[ACCOUNT][REGION].task_definitions[family][int(revision)]
        container: Any = definition.container_definitions[0]
        given = {one["name"]: one["value"] for one in container["environment"]}
        folder = self.folder / f"task-{number}-{time.monotonic_ns()}"
        folder.mkdir()
        start = folder / "start.json"  # what the container's command does with its variable
        listen = {"host": "127.0.0.1", "port": port, "control_port": 0, "drain_notice": 1.0}
        start.write_text(json.dumps({**json.loads(given.pop(START)), "listen": listen}))
        environment = {
            **os.environ,
            **ENVIRONMENT,
            **given,
            **self.variables,
            "TIDEGATE_WORK": str(folder / "work"),
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidegate.serving.process.serve", str(start)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, "TIDEGATE_REPLICA": f"task-{number}"},
                start_new_session=True,
            )
        return Task(process, port, number)
