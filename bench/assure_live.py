"""Rollouts with an assurance on a whole platform: ``python -m bench.assure --live 40``.

Several endpoints at a time, each under load, roll out versions one after the other: some are equal to the one that
serves, the others do one of the named harms. The journal says which share each of them got.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from bench import tables
from bench.evidence_live import pack_code
from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.domain.rollout import Phase
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

ENDPOINTS, RATE = 4, 25.0
"""Requests per second to each endpoint."""
BEFORE = 50
"""Percent of the traffic that a version may have before every harm is ruled out."""
LONGEST = 900.0
ROWS = [f"{Random(place).uniform(-1, 1):.6f},0.2,0.3,0.4".encode() for place in range(50_000)]
MODEL = """
import random, time

def model_fn(folder):
    return None

def transform_fn(model, data, content_type, accept):
    if random.random() < {failing}:
        raise RuntimeError("not this time")
    time.sleep({delay})
    return str(float(data.split(",")[0]) * {slope} + {shift}), "text/csv"
"""
OLD = {"failing": 0.005, "delay": 0.005, "slope": 2.0, "shift": 0.0}
VERSIONS: dict[str, dict[str, float]] = {
    "equal": {},
    "a little other": {"shift": 0.02, "failing": 0.008, "delay": 0.0055},
    "fails 3 % more": {"failing": 0.035},
    "fails 4.5 % more": {"failing": 0.05},
    "0.25 higher": {"shift": 0.25},
    "inverted": {"slope": -2.0},
}
HARM = {"errors": "3%", "predictions": {"bias": 0.2, "distance": 0.6}}


@dataclass
class Outcome:
    """``shares``: the largest share, in percent, that each version of a kind got. ``seconds``: of those that got all
    traffic."""

    shares: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def show_live(wanted: int, *, keep: bool) -> None:
    """Run so many rollouts of each version and show the share that each kind got."""
    found: dict[str, Outcome] = defaultdict(Outcome)
    work, lock = [name for _ in range(wanted) for name in VERSIONS], threading.Lock()

    def follow(endpoint: str) -> None:
        for name in _take(work, lock):
            _run_one(platform, scene, endpoint, Path(folder), name, found[name])
            print(
                f"{len(work)} left, {name}: {found[name].shares[-1]:g} %, load {os.getloadavg()[0]:.0f}",
                flush=True,
            )

    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="tg-assure-"))
        platform = stack.enter_context(Platform(environment={"TIDEGATE_TRUST": "code"}))
        scene = Scene(platform)
        threads = [threading.Thread(target=follow, args=(f"assured-{number}",)) for number in range(ENDPOINTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    header = ["version", "rollouts", f"got more than {BEFORE} %", "seconds until all traffic (median)", "most"]
    rows = [_show_row(name, found[name]) for name in VERSIONS]
    title = f"Live rollouts with an assurance before {BEFORE} %"
    tables.show("assure-live", title, header, rows, keep=keep, command=f"assure --live {wanted}")
    for name in VERSIONS:
        print(name, *found[name].reasons, sep="\n  ")


def _take(work: list[str], lock: threading.Lock) -> Iterator[str]:
    while True:
        with lock:
            if not work:
                return
            name = work.pop(0)
        yield name


def _show_row(name: str, found: Outcome) -> list[object]:
    over = f"{sum(share > BEFORE for share in found.shares)}"
    if not found.seconds:
        return [name, len(found.shares), over, "-", "-"]
    return [
        name,
        len(found.shares),
        over,
        f"{tables.percentile(found.seconds, 50):.0f}",
        f"{max(found.seconds):.0f}",
    ]


def _run_one(platform: Platform, scene: Scene, endpoint: str, folder: Path, name: str, found: Outcome) -> None:
    """Deploy the old version on a new endpoint and roll the other out over it."""
    endpoint = f"{endpoint}-{len(found.shares)}-{list(VERSIONS).index(name)}"
    old, new = (
        _pack(folder / f"{endpoint}-{at}", {**OLD, **more}) for at, more in enumerate(({}, VERSIONS[name]))
    )
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(_spec(endpoint, old), "bench", override=False, supersede=False)
        scene.settled(endpoint, LONGEST)
        path, headers = f"/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
        with LoadGenerator(platform.url, path, ROWS, headers, RATE, connections=4):
            created, begun = server.events(endpoint, 0)["events"][-1]["seq"], time.monotonic()
            server.deploy(_spec(endpoint, new), "bench", override=True, supersede=False)
            ended = scene.settled(endpoint, LONGEST)
            seconds = time.monotonic() - begun
        events = server.events(endpoint, created)["events"]
        shares = [one["data"]["share"] / 100 for one in events if one["kind"] == f"rollout.{Phase.BAKING}"]
        passed = "FailureReason" not in ended
        found.shares.append(max(shares, default=0.0))
        found.seconds += [seconds] if passed else []
        found.reasons += [] if passed else [str(ended["FailureReason"])[:200]]
        server.delete(endpoint, "bench", force=True)


def _pack(folder: Path, given: dict[str, float]) -> str:
    folder.mkdir()
    return pack_code(folder / "model.tar.gz", MODEL.format(**given))


def _spec(endpoint: str, data: str) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "model": {"image": "tidegate/script", "data": data},
        "rollout": {"strategy": "linear", "step": f"{BEFORE}%", "wait": "10s"},
        "evidence": {
            "compare": ["errors", "paired"],
            "deadline": "5m",
            "assure": {"harm": HARM, "before": f"{BEFORE}%"},
        },
    }
