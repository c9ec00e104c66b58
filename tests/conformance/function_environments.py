"""A simulator of what Lambda runs: environments of a function's versions, as processes with AWS's own runtime client,
and the routing of an alias by weight. There are no microVMs, and an environment starts in a fraction of a second."""

import json
import random
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lambda_runtime import Ended, FunctionProcess, RuntimeServer

PYTHON = Path(__file__).parents[2] / ".clients" / "lambda" / "bin" / "python"
MOST = 12
"""Environments of a version: further requests wait, where AWS would start more."""


@dataclass
class Environment:
    """One process, for one request at a time."""

    server: RuntimeServer
    process: FunctionProcess
    read: int = 0
    """Bytes of its log that were read."""

    def invoke(self, event: object) -> tuple[Ended, list[Mapping[str, Any]]]:
        """What it answered, and the metrics that it wrote to its log meanwhile (embedded metric format)."""
        ended = self.server.invoke(event)
        with self.process.log.open("rb") as log:
            log.seek(self.read)
            written = log.read()
        self.read += len(written)
        lines = [line for line in written.splitlines() if line.startswith(b'{"_aws"')]
        return ended, [json.loads(line) for line in lines]

    def end(self) -> None:
        self.process.stop()
        self.server.__exit__(None, None, None)


@dataclass
class VersionPool:
    """The environments of one version. ``task``: its unpacked package."""

    task: Path
    folder: Path
    variables: Mapping[str, str]
    idle: list[Environment] = field(default_factory=list)
    started: int = 0
    busy: int = 0
    used_at: float = 0.0
    ended: bool = False
    """Environments that answer a last request end once they are given back."""
    free: threading.Condition = field(default_factory=threading.Condition)

    def invoke(self, event: object) -> tuple[Ended, list[Mapping[str, Any]]]:
        taken = self._take()
        try:
            ended, metrics = taken.invoke(event)
        except BaseException:
            self._give_back(taken, alive=False)
            raise
        self._give_back(taken, alive=taken.process.alive)
        return ended, metrics

    def end(self) -> None:
        with self.free:
            self.ended, ended, self.idle = True, self.idle, []
        for one in ended:
            one.end()

    def _take(self) -> Environment:
        with self.free:
            self.used_at = time.monotonic()
            while not self.idle and self.busy >= MOST:
                self.free.wait()
            self.busy += 1
            if self.idle:
                return self.idle.pop()
            self.started += 1
            number = self.started
        server = RuntimeServer().__enter__()
        process = FunctionProcess(PYTHON, self.task, self.folder / f"{number}.log", server.address, self.variables)
        process.start()
        return Environment(server, process)

    def _give_back(self, one: Environment, alive: bool) -> None:
        with self.free:
            self.busy -= 1
            kept = alive and not self.ended
            if kept:
                self.idle.append(one)
            self.free.notify()
        if not kept:
            one.end()


@dataclass(frozen=True)
class Version:
    """``sha256``: of its package."""

    number: str
    sha256: str
    variables: Mapping[str, str]


@dataclass
class Functions:
    """``describe``: a function and one of its versions, as the control plane has them."""

    folder: Path
    describe: Callable[[str, str], Version]
    packages: dict[str, bytes] = field(default_factory=dict)
    """By their hash."""
    pools: dict[tuple[str, str], VersionPool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def invoke(self, function: str, number: str, event: object) -> tuple[Ended, list[Mapping[str, Any]]]:
        return self._pool(function, number).invoke(event)

    def keep(self, function: str, numbers: set[str]) -> None:
        """End the environments of all other versions, once nobody has used them for a while."""
        with self._lock:
            old = time.monotonic() - 5
            gone = [key for key, one in self.pools.items() if key[0] == function and key[1] not in numbers]
            ended = [self.pools.pop(key) for key in gone if self.pools[key].used_at < old]
        for pool in ended:
            pool.end()

    def end(self) -> None:
        for pool in self.pools.values():
            pool.end()

    def _pool(self, function: str, number: str) -> VersionPool:
        with self._lock:
            if (function, number) not in self.pools:
                found = self.describe(function, number)
                folder = self.folder / f"{function}-{number}-{len(self.pools)}-{time.monotonic_ns()}"
                folder.mkdir()
                task = self._unpacked(found.sha256)
                named = {"AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_VERSION": number}
                self.pools[function, number] = VersionPool(task, folder, {**named, **found.variables})
            return self.pools[function, number]

    def _unpacked(self, sha256: str) -> Path:
        task = self.folder / f"package-{sha256.replace('/', '_')}"
        if not task.exists():
            packed = self.folder / "package.zip"
            packed.write_bytes(self.packages[sha256])
            with zipfile.ZipFile(packed) as archive:
                archive.extractall(task)
        return task


def choose(alias: Mapping[str, Any]) -> tuple[str, bool]:
    """The version for one request, and whether the alias routes to two."""
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    drawn = random.random()
    for number, weight in weights.items():
        drawn -= float(weight)
        if drawn < 0:
            return str(number), True
    return str(alias["FunctionVersion"]), bool(weights)
