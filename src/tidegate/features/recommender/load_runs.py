"""Real loads: a tidegate of its own on a free port, one endpoint for each configuration, an open-loop generator."""

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx
import psutil

from tidegate.domain.errors import TidegateError, Unavailable
from tidegate.features.recommender.configurations import CandidateConfiguration, LoadProbe, Objective
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator
from tidegate.load.report import LoadReport

WARM_UP = 0.4
"""Part of a load's seconds that is sent before anything is counted."""
STARTS_WITHIN = 300.0
CONNECTIONS = 128
TICK = 1.0 / os.sysconf("SC_CLK_TCK")
"""Seconds: the grain of a process's CPU time. Nothing is free, so less than one counts as one."""


@dataclass
class LoadEnvironment:
    """A context manager. ``model`` is a spec's model: image and data; ``bodies`` are sent in turn."""

    model: dict[str, Any]
    bodies: Sequence[bytes]
    content_type: str
    objective: Objective
    platform: Platform = field(default_factory=Platform)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _serving: tuple[CandidateConfiguration, str] | None = None

    def __enter__(self) -> "LoadEnvironment":
        self.platform.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.platform.stop()

    def measure(self, candidate: CandidateConfiguration, rate: float, seconds: float) -> LoadProbe:
        """A ``space.Measure``. Raises Unavailable where the configuration does not come up."""
        name = self._endpoint(candidate)
        self._load(name, rate, max(0.3, seconds * WARM_UP))
        cpu, own, began = self._cpu(), _own_cpu(), time.monotonic()
        report = self._load(name, rate, seconds)
        took = time.monotonic() - began
        used, mine = self._cpu() - cpu, _own_cpu() - own
        total = report.total
        latency = total.percentile(self.objective.percent)
        return LoadProbe(
            rate=rate,
            answered=total.count / took,
            latency=float("inf") if latency is None else latency,
            failed=report.failed,
            cpu=max(TICK, used) / max(1, total.count),
            cores=max(0.1, cores() - mine / took),
            memory=self._memory(),
        )

    def _endpoint(self, candidate: CandidateConfiguration) -> str:
        if self._serving is not None and self._serving[0] == candidate:
            return self._serving[1]
        before = self._serving
        name = f"trial-{next(self._numbers)}"
        model = {**self.model, "environment": {**self.model.get("environment", {}), **candidate.environment}}
        spec = {
            "endpoint": name,
            "model": model,
            "instances": candidate.instances,
            "routing": "least_outstanding_requests",
        }
        self._ask("PUT", "/tidegate/v1/deploy", {"spec": spec})
        why = wait_until(lambda: self._find_end(name), f"{candidate} to serve", STARTS_WITHIN)
        if why != "InService":
            raise Unavailable(f"{candidate}: the model could not be served: {why}")
        if before is not None:
            self._ask("DELETE", f"/tidegate/v1/endpoints/{before[1]}")
        self._serving = candidate, name
        return name

    def _find_end(self, name: str) -> str | None:
        """Return InService, or the reason why the endpoint failed; None while it is in neither state."""
        found = self._ask("GET", f"/tidegate/v1/endpoints/{name}")
        if found["status"] == "InService":
            return "InService"
        return str(found["why"]) if found["status"] == "Failed" else None

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = httpx.request(method, self.platform.url + path, json=body, timeout=30)
        told = answer.json() if answer.content else {}
        if answer.is_error:
            raise TidegateError(str(told.get("error", {}).get("message", answer.status_code)))
        return told

    def _load(self, name: str, rate: float, seconds: float) -> LoadReport:
        generator = LoadGenerator(
            self.platform.url,
            f"/endpoints/{name}/invocations",
            self.bodies,
            {"Content-Type": self.content_type},
            rate,
            connections=CONNECTIONS,
            timeout=30.0,
        )
        generator.start()
        time.sleep(seconds)
        return generator.stop(grace=5.0)

    def _cpu(self) -> float:
        """Return the CPU seconds of all processes of the platform."""
        total = 0.0
        for process in self.platform.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def _memory(self) -> int:
        """Return the memory of the largest worker in bytes."""
        sizes = [0]
        for process in self.platform.processes():
            try:
                if "tidegate.serving" in process.cmdline():
                    sizes.append(int(process.memory_info().rss))
            except psutil.Error:
                continue
        return max(sizes)


def _own_cpu() -> float:
    """Return the CPU seconds of the load generator, which runs in this process."""
    times = os.times()
    return times.user + times.system


def cores() -> int:
    """Return the number of this machine's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
