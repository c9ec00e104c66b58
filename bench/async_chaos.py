"""Asynchronous requests under SIGKILL: is one lost, has one two outputs, are times to live and retries kept?

Many clients queue requests while the controller, the dispatcher and the instances (on PostgreSQL the connections of
the database, too) are killed at random. What counts as accepted is what was answered with 202. There are five kinds:
plain ones; such that the model refuses; such that it fails on twice, of three tries; such that it always fails on;
and such that wait for an endpoint without instances until their time to live of 60 s is over. At the end each must
have exactly one output or exactly one failure, with the right content, and the last kind not before its time.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from bench.async_client import Answer, Ask, ask_all
from tests.scene import Scene, train
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform

PLAIN, SHAKY, PARKED = "bench-plain", "bench-shaky", "bench-parked"
STAY = 60
"""Seconds: the shortest time to live that a request can have."""
TRIES = 3
PATIENCE = 600.0
PAUSE = 0.4
"""Seconds between two kills, at least."""
CLIENTS = 32


class Kind(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused by the model"
    RETRIED = "answered at the third try"
    HOPELESS = "failed after three tries"
    EXPIRED = "expired"

    @property
    def good(self) -> bool:
        return self in (Kind.ANSWERED, Kind.RETRIED)


CONTENT = {
    Kind.REFUSED: "Received client error (4",
    Kind.RETRIED: "answered",
    Kind.HOPELESS: "Received server error (5",
    Kind.EXPIRED: f"longer than {STAY} s",
}
"""What an output, or a failure, has in it."""


def kind_of(number: int) -> Kind:
    """1 in 20 is refused, 1 in 40 each fails twice and always, 1 in 100 expires."""
    if number % 20 == 0:
        return Kind.REFUSED
    if number % 20 == 10:
        return Kind.RETRIED if number % 40 == 10 else Kind.HOPELESS
    return Kind.EXPIRED if number % 100 == 5 else Kind.ANSWERED


@dataclass(frozen=True)
class Due:
    """An accepted request: where its end is due. ``asked`` is when it was sent."""

    number: int
    kind: Kind
    name: str
    asked: float


@dataclass
class Found:
    accepted: dict[Kind, int]
    refused: int
    killed: dict[str, int]
    seconds: float
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    """Outputs or failures with another content than is due."""
    early: int = 0
    """Requests that expired before their time."""
    untried: int = 0
    """Requests that had fewer tries than they may have."""
    late: float = 0.0
    """Seconds after its time that the last of those expired."""
    again: int = 0
    """Requests of which the model saw more than three tries: a process died between its answer and the note of it."""

    def shown(self) -> dict[str, object]:
        kills = ", ".join(f"{kind} {times}" for kind, times in sorted(self.killed.items()))
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.accepted.items())
        total = sum(self.accepted.values())
        return {
            "accepted requests": f"{total:,} ({kinds})",
            "killed": f"{sum(self.killed.values())} times: {kills}",
            "lost": self.lost,
            "with two outputs, or half a one": self.doubled,
            "with a wrong content": self.wrong,
            "expired too early": self.early,
            "with too few tries": self.untried,
            "tried once more after a death": self.again,
            "last expiry after its time": f"{self.late:.1f} s",
            "told no, and asked again": self.refused,
            "requests a second, from the first to the last end": round(total / self.seconds),
        }


@dataclass
class Run:
    """What the threads of a run share."""

    platform: Platform
    out: Path
    count: int
    kills: int
    chance: random.Random
    database: str
    due: list[Due] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)


def run(count: int, kills: int, chance: random.Random, database: str = "") -> Found:
    with tempfile.TemporaryDirectory(prefix="tg-async-") as name:
        out = Path(name)
        (out / "counts").mkdir()
        program = Path(__file__).with_name("shaky_model.py")
        table = f"images:\n  bench/shaky:\n    command: [{sys.executable}, {program}]\n"
        (out / "images.yaml").write_text(f"{table}    environment: {{COUNTS: {out / 'counts'}}}\n")
        environment = {
            "TIDEGATE_OUTPUT_ROOTS": name,
            "TIDEGATE_IMAGES": str(out / "images.yaml"),
            "TIDEGATE_DRAIN_TIMEOUT": "5",
        }
        if database:
            environment["TIDEGATE_DATABASE_URL"] = database
        with Platform(environment=environment) as platform:
            prepare(platform, out)
            return measured(Run(platform, out, count, kills, chance, database))


def prepare(platform: Platform, out: Path) -> None:
    scene = Scene(platform)
    data = train(out / "models", 1, features=4, trees=5)
    places = {"output": (out / "good").as_uri(), "failure": (out / "bad").as_uri()}
    plain = {"image": "tidegate/xgboost", "data": data}
    specs: list[dict[str, Any]] = [
        {"endpoint": PLAIN, "model": plain, "instances": 2, "async": {**places, "max_concurrent": 16}},
        {"endpoint": PARKED, "model": plain, "async": places},
        {
            "endpoint": SHAKY,
            "model": {"image": "bench/shaky"},
            "async": {**places, "retries": TRIES - 1, "max_concurrent": 8},
        },
    ]
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        for spec in specs:
            server.deploy(spec, "bench", override=False, supersede=False)
    for spec in specs:
        scene.settled(spec["endpoint"])
    variant = scene.describe(PARKED)["ProductionVariants"][0]["VariantName"]
    scene.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=PARKED, DesiredWeightsAndCapacities=[{"VariantName": variant, "DesiredInstanceCount": 0}]
    )
    scene.settled(PARKED)


def measured(shared: Run) -> Found:
    began = time.monotonic()
    killer = threading.Thread(target=killing, args=(shared,))
    killer.start()
    try:
        refused = asyncio.run(asking(shared))
        finished(shared)
    finally:
        shared.stop.set()
        killer.join()
    seconds = time.monotonic() - began
    accepted = {kind: sum(due.kind is kind for due in shared.due) for kind in Kind}
    found = Found(accepted, refused, shared.killed, seconds)
    judge(shared, found)
    return found


async def asking(shared: Run) -> int:
    sent: dict[int, float] = {}

    def asks() -> Iterator[Ask]:
        for number in range(shared.count):
            sent[number] = time.time()
            yield ask_of(number)

    def took(ask: Ask, answer: Answer) -> None:
        kind = kind_of(ask.number)
        place = answer.headers[f"x-amzn-sagemaker-{'output' if kind.good else 'failure'}location"]
        shared.due.append(Due(ask.number, kind, Path(place).name, sent[ask.number]))

    return await ask_all(shared.platform.port, asks(), took, CLIENTS)


def ask_of(number: int) -> Ask:
    match kind_of(number):
        case Kind.REFUSED:
            return Ask(number, PLAIN, b"not,a,number,row")
        case Kind.RETRIED:
            return Ask(number, SHAKY, b"%d %d" % (number, TRIES - 1))
        case Kind.HOPELESS:
            return Ask(number, SHAKY, b"%d 999999" % number)
        case Kind.EXPIRED:
            return Ask(number, PARKED, b"0,0,0,0", f"X-Amzn-SageMaker-RequestTTLSeconds: {STAY}\r\n")
    return Ask(number, PLAIN, b"0.1,0.2,0.3,0.4")


def killing(shared: Run) -> None:
    """At random moments while requests come in, and some after the last."""
    kinds = ["dispatcher", "backend", "worker", "controller"] if shared.database else []
    kinds = kinds or ["controller", "dispatcher", "worker"]
    moments = sorted(shared.chance.random() * 1.1 for _ in range(shared.kills))
    for number, moment in enumerate(moments):
        while len(shared.due) < min(moment, 1.0) * shared.count and not shared.stop.is_set():
            time.sleep(0.01)
        if shared.stop.wait(PAUSE):
            return
        # Each kind has its turn first, then chance decides.
        kind = kinds[number] if number < len(kinds) else shared.chance.choice(kinds)
        if kill(shared, kind):
            shared.killed[kind] = shared.killed.get(kind, 0) + 1


def kill(shared: Run, kind: str) -> bool:
    if kind == "controller":
        shared.platform.kill_controller()
        shared.platform.start()
        return True
    if kind == "backend":
        return cut(shared.database)
    module = "tidegate.features.asynchronous.dispatcher_main" if kind == "dispatcher" else "tidegate.serving"
    pids = [process.pid for process in shared.platform.processes() if module in _cmdline(process)]
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(shared.chance.choice(pids), signal.SIGKILL)
    return True


def cut(database: str) -> bool:
    """Ends every connection of the platform to PostgreSQL."""
    import psycopg  # noqa: PLC0415 (optional: only for a run on PostgreSQL)

    ending = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        return bool(connection.execute(ending).fetchall())


def finished(shared: Run) -> None:
    """Returns when every end that is due is there, or none more has come for as long as patience goes."""
    due = {folder: {one.name for one in shared.due if one.kind.good is good} for folder, good in FOLDERS.items()}
    fewest, moved = len(shared.due) + 1, time.monotonic()
    while (looked := time.monotonic()) - moved < PATIENCE:
        missing = sum(len(names - set(_names(shared.out / folder))) for folder, names in due.items())
        if not missing:
            return
        if missing < fewest:
            fewest, moved = missing, looked
        time.sleep(max(0.5, 4 * (time.monotonic() - looked)))  # a look at a million names takes a while itself


FOLDERS = {"good": True, "bad": False}


def judge(shared: Run, found: Found) -> None:
    """A request of which the client never heard that it was accepted has an end, too, and is no double."""
    good, bad = (set(_names(shared.out / folder)) for folder in FOLDERS)
    half = sum(name.startswith(".") for name in (*good, *bad))
    found.doubled = len(_ids(good) & _ids(bad)) + half
    plain = set[bytes]()
    for due in shared.due:
        path = shared.out / ("good" if due.kind.good else "bad") / due.name
        if not path.exists():
            found.lost += 1
            continue
        content = path.read_bytes()
        if due.kind is Kind.ANSWERED:
            plain.add(content)
        else:
            found.wrong += CONTENT[due.kind].encode() not in content
        if due.kind is Kind.EXPIRED:
            waited = path.stat().st_mtime - due.asked
            found.early += waited < STAY
            found.late = max(found.late, waited - STAY)
        elif due.kind in (Kind.RETRIED, Kind.HOPELESS):
            tries = (shared.out / "counts" / str(due.number)).stat().st_size
            found.untried += tries < TRIES
            found.again += tries > TRIES
    found.wrong += max(0, len(plain) - 1)  # equal requests, equal answers


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _ids(found: set[str]) -> set[str]:
    return {name.removesuffix(".out").removesuffix("-error") for name in found}


def _cmdline(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
