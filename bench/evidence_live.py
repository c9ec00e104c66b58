"""Rollouts of equal versions on a whole platform: how many does evidence turn back?

python -m bench.evidence --live 200: several endpoints at a time, each under load, each rolling out the same model
again and again. With --errors 3 both versions fail on that percentage of the requests, chosen at random. A rollout
that rolls back for another reason than evidence is counted apart.
"""

import io
import os
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.scene import Scene, train
from tidegate.cli.client import ApiClient
from tidegate.domain.errors import TidegateError
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

ENDPOINTS = 8
RATE = 12.0
"""Requests per second to each endpoint."""
ROWS = [f"{0.1 * place - 1:.1f},0.2,0.3,0.4".encode() for place in range(20)]
LONGEST = 600.0
"""Seconds of a rollout at most."""
FAILING = """
import random

def model_fn(folder):
    return None

def transform_fn(model, data, content_type, accept):
    if random.random() < {share}:
        raise RuntimeError("not this time")
    return str(float(data.split(",")[0]) * 2.0), "text/csv"
"""
"""Code of a model that fails on a share of its requests."""
PASSED, EVIDENCE, OTHER = "passed", "rolled back by evidence", "ended otherwise"


def pack_failing(folder: Path, share: float) -> str:
    """Pack a model that fails on this share of its requests; returns its address."""
    return pack_code(folder / "failing.tar.gz", FAILING.format(share=share))


def pack_code(path: Path, text: str) -> str:
    """Pack the code of a model; returns its address."""
    code = text.encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    return path.as_uri()


def spec(endpoint: str, data: str, number: int) -> dict[str, Any]:
    """Specify an endpoint whose versions are equal: only a variable that nothing reads differs."""
    image = {"image": "tidegate/script"} if data.endswith("failing.tar.gz") else {}
    return {
        "endpoint": endpoint,
        "model": {"data": data, "environment": {"NOTE": str(number)}, **image},
        "rollout": {"strategy": "canary", "size": "50%", "wait": "15s"},
        "evidence": {"compare": ["errors", "latency", "predictions"], "minimum": 100, "deadline": "5m"},
    }


@dataclass
class LiveRollouts:
    """``until``: on the monotonic clock, no rollout begins after it. ``reasons``: of those that did not pass."""

    platform: Platform
    scene: Scene
    data: str
    wanted: int
    until: float
    found: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    _begun: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, endpoint: str) -> None:
        """One endpoint, rollout after rollout."""
        self._deploy(endpoint, 0)
        self.scene.settled(endpoint, LONGEST)
        path, headers = f"/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
        with LoadGenerator(self.platform.url, path, ROWS, headers, RATE, connections=4):
            for number in self._numbers():
                before = self.scene.describe(endpoint)["EndpointConfigName"]
                self._deploy(endpoint, number)
                ended = self.scene.settled(endpoint, LONGEST)
                self._note(ended["EndpointConfigName"] != before, str(ended.get("FailureReason", "")))

    def _numbers(self) -> Iterator[int]:
        while True:
            with self._lock:
                if self._begun >= self.wanted or time.monotonic() >= self.until:
                    return
                self._begun += 1
                number = self._begun
            yield number

    def _deploy(self, endpoint: str, number: int) -> None:
        with ApiClient({"TIDEGATE_URL": self.platform.url}) as server:
            server.deploy(spec(endpoint, self.data, number), "bench", override=True, supersede=False)

    def _note(self, passed: bool, reason: str) -> None:
        with self._lock:
            kind = PASSED if passed else EVIDENCE if "differs: " in reason else OTHER
            self.found[kind] += 1
            if not passed:
                self.reasons.append(reason)
            done = sum(self.found.values())
            print(f"{done} of {self.wanted}: {dict(self.found)}, load {os.getloadavg()[0]:.0f}", flush=True)


def run_live(wanted: int, seconds: float, errors: float = 0.0) -> LiveRollouts:
    """Run so many rollouts, or as many as begin within these seconds. ``errors``: share of requests on which both
    versions fail."""
    allowed = {"TIDEGATE_TRUST": "code"}
    with TemporaryDirectory(prefix="tg-live-") as folder, Platform(environment=allowed) as platform:
        scene = Scene(platform)
        data = pack_failing(Path(folder), errors) if errors else train(Path(folder), 1, features=4, trees=5)
        live = LiveRollouts(platform, scene, data, wanted, time.monotonic() + seconds)
        threads = [threading.Thread(target=_survive, args=(live, f"equal-{n}")) for n in range(ENDPOINTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return live


def _survive(live: LiveRollouts, endpoint: str) -> None:
    """An endpoint that cannot go on ends alone; its rollouts are counted as what they were."""
    try:
        live.follow(endpoint)
    except (TidegateError, TimeoutError, OSError) as error:
        live.reasons.append(f"{endpoint} gave up: {error}")
