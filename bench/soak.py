"""Random updates of an endpoint under load while everything around it goes wrong.

    python -m bench.soak [--minutes 30] [--rate 40] [--seed 1] [--keep]

Each update has a version that is good, or bad in one of five ways, and one fault in its course: processes killed or
stopped, the database locked, the disk full, the clock set. Good versions must finish, bad ones must be turned back;
every answer must come from the version that it names; every lost request must belong to a bad version or to a process
that was killed or stopped. Exits with 1 otherwise.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import tables
from bench.soak_faults import ROOM, Faults, Harm, faked_clock
from tests.scene import Scene, all_at_once, canary, linear
from tests.small_disk import mount_small_disk
from tidegate.host.platform import Platform, wait_until

IMAGE = "soak/model"
FLAWS = ("", "", "", "fails", "fails in part", "hangs", "slow", "never loads")
AFTERWARDS = 20.0
"""Seconds after a process was killed or stopped in which requests may still be lost to that."""
CONNECTIONS = 4


@dataclass
class Answer:
    at: float
    took: float
    status: int
    config: str
    body: str


@dataclass
class Clients:
    """Asks all the time and keeps every answer that is not the usual one."""

    url: str
    rate: float
    versions: dict[str, str] = field(default_factory=dict)
    """Config -> the version that its model says it is."""
    count: int = 0
    failed: list[Answer] = field(default_factory=list)
    misrouted: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Clients":
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=70)

    def _ask(self) -> None:
        with httpx.Client(timeout=65) as client:
            while not self._stop.wait(CONNECTIONS / self.rate):
                self._one(client)

    def _one(self, client: httpx.Client) -> None:
        began = time.time()
        try:
            answer = client.post(f"{self.url}/endpoints/soak/invocations", content=b"1")
            seen = Answer(
                began, 0.0, answer.status_code, answer.headers.get("x-tidegate-config", ""), answer.text[:80]
            )
        except httpx.HTTPError as error:
            seen = Answer(began, 0.0, 0, "", type(error).__name__)
        seen.took = time.time() - began
        self.count += 1
        if not 200 <= seen.status < 300:
            self.failed.append(seen)
        elif self.versions.get(seen.config) != seen.body:
            self.misrouted.append(seen)


@dataclass
class Outcome:
    flaw: str
    harm: str
    right: bool
    text: str


@dataclass
class Soak:
    platform: Platform
    faults: Faults
    clients: Clients
    chance: random.Random
    outcomes: list[Outcome] = field(default_factory=list)
    harms: list[Harm] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    trials: list[tuple[float, float]] = field(default_factory=list)
    """When updates to bad versions began and ended."""

    def run(self, seconds: float) -> None:
        current = self._config("")
        Scene(self.platform).create("soak", current)
        end = time.monotonic() + seconds
        with self.clients:
            while time.monotonic() < end:
                current = self._update(current)
                print(f"{len(self.outcomes)}: {self.outcomes[-1]} asked {self.clients.count}", flush=True)

    def _config(self, flaw: str) -> str:
        version = f"{flaw or 'good'}-{len(self.outcomes)}"
        environment = {"FLAW": flaw, "VERSION": version}
        timeouts = {"ContainerStartupHealthCheckTimeoutInSeconds": 60}
        config = Scene(self.platform).config(
            None, image=IMAGE, instances=2, environment=environment, variant=timeouts
        )
        self.clients.versions[config] = version
        if flaw:
            self.bad.add(config)
        return config

    def _update(self, current: str) -> str:
        flaw, name = self.chance.choice(FLAWS), self.chance.choice(self.faults.names())
        config, scene = self._config(flaw), Scene(self.platform)
        alarms = self._guard(scene, config)
        kinds = (
            canary(self.chance.choice([20, 50]), 8, alarms=alarms, final=5),
            linear(50, 6, alarms=alarms, final=5),
            all_at_once(alarms=alarms, final=10),
        )
        began = time.time()
        scene.update("soak", config, self.chance.choice(kinds))
        time.sleep(self.chance.uniform(0, 12))
        self.harms.append(self.faults.inject(name))
        settled = self._settled()
        if flaw:
            self.trials.append((began, time.time()))
        went = settled["EndpointConfigName"]
        right = went == (current if flaw else config)
        why = f"{went} serves, {config} was rolled out: {settled.get('FailureReason', '')}"
        self.outcomes.append(Outcome(flaw or "good", name, right, "" if right else why))
        return str(went)

    def _settled(self) -> dict[str, object]:
        def ask() -> dict[str, object] | None:
            try:
                return Scene(self.platform).settled("soak", 5)
            except Exception:  # the platform may be busy with what was done to it
                return None

        return wait_until(ask, "the update ended", 300)

    def _guard(self, scene: Scene, config: str) -> list[str]:
        """Alarms of this version alone. One that is redefined keeps its state until it is judged again, as on AWS."""
        names = [f"{what}-{len(self.outcomes)}" for what in ("errors", "slow")]
        named = {"EndpointName": "soak", "VariantName": "AllTraffic", "EndpointConfigName": config}
        dimensions = [{"Name": key, "Value": value} for key, value in named.items()]
        scene.alarm(names[0], "Invocation5XXErrors", 0.1, Dimensions=dimensions)
        scene.alarm(names[1], "ModelLatency", 300_000, ExtendedStatistic="p90", Dimensions=dimensions)
        return names

    def unexplained(self) -> list[Answer]:
        """Lost requests that belong neither to a bad version nor to a process that was killed or stopped. Those that
        the proxy answered itself name no version: they are a bad version's while one is tried."""
        loses = [harm for harm in self.harms if harm.loses]

        def explained(answer: Answer) -> bool:
            end = answer.at + answer.took
            tried = not answer.config and any(answer.at <= ended and end >= began for began, ended in self.trials)
            return (
                tried
                or answer.config in self.bad
                or any(answer.at <= harm.ended + AFTERWARDS and end >= harm.began for harm in loses)
            )

        return [answer for answer in self.clients.failed if not explained(answer)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    soak = run(given.minutes * 60, given.rate, given.seed)
    show(soak, keep=given.keep)
    wrong = [outcome for outcome in soak.outcomes if not outcome.right]
    lost = soak.unexplained()
    for thing in (*wrong, *soak.clients.misrouted[:20], *lost[:20]):
        print(thing)
    sys.exit(bool(wrong or lost or soak.clients.misrouted))


def run(seconds: float, rate: float, seed: int) -> Soak:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="tg-soak-") as name:
        folder = Path(name)
        table = folder / "images.yaml"
        program = Path(__file__).with_name("soak_model.py")
        table.write_text(f"images:\n  {IMAGE}:\n    command: [{sys.executable}, {program}]\n")
        clock = faked_clock(folder / "clock")
        environment = {"TIDEGATE_IMAGES": str(table), "TIDEGATE_DRAIN_TIMEOUT": "5", **clock}
        with contextlib.ExitStack() as stack:
            disk = None
            with contextlib.suppress(OSError):  # this user may mount nothing: no disk is filled
                disk = stack.enter_context(mount_small_disk(folder / "s", ROOM))
            platform = stack.enter_context(Platform(folder / "s", environment=environment))
            faults = Faults(platform, chance, disk, folder / "clock" if clock else None)
            soak = Soak(platform, faults, Clients(platform.url, rate), chance)
            soak.run(seconds)
            return soak


def show(soak: Soak, *, keep: bool) -> None:
    ended = Counter((outcome.harm, outcome.right) for outcome in soak.outcomes)
    rows: list[list[object]] = [
        [name, ended[name, True] + ended[name, False], ended[name, False]]
        for name in sorted({outcome.harm for outcome in soak.outcomes})
    ]
    lost = [answer for answer in soak.clients.failed if answer.config not in soak.bad]
    text = (
        f"{len(soak.outcomes)} updates, {soak.clients.count:,} requests, {len(soak.clients.misrouted)} misrouted, "
        f"{len(lost)} lost beside those of bad versions, {len(soak.unexplained())} of them without a killed process"
    )
    tables.show("soak", "A soak of faults", ["fault", "updates", "wrong end"], rows, keep=keep, picture=text + ".")


if __name__ == "__main__":
    main()
