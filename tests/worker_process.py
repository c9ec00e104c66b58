"""Real workers for tests: models to serve, the process itself, and raw HTTP on its socket."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xgboost

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, Failure, ReplicaSpec, encode

FEATURES = ["amount", "hour", "country", "tenure", "changed"]
PATIENCE = 60.0
"""Seconds after which a test gives up on a process."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with binary.ubj, binary.json (the same, with feature names) and classes.ubj (three classes)."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(3)
    rows = random.normal(size=(400, len(FEATURES))).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    score = np.nan_to_num(rows[:, 0]) - np.nan_to_num(rows[:, 1])
    settings = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, score > 0), 10)
    booster.save_model(folder / "binary.ubj")
    named = xgboost.DMatrix(rows, score > 0, feature_names=FEATURES)
    xgboost.train(settings, named, 10).save_model(folder / "binary.json")
    classes = np.digitize(score, [-0.5, 0.5])
    settings = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1}
    xgboost.train(settings, xgboost.DMatrix(rows, classes), 5).save_model(folder / "classes.ubj")
    return folder


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


@dataclass
class RunningWorker:
    """A worker process; ``folder`` holds its replica file and what it leaves behind."""

    spec: ReplicaSpec
    folder: Path
    process: subprocess.Popen[bytes]
    connections: list["Connection"] = field(default_factory=list)

    @property
    def model_dir(self) -> Path:
        return Path(self.spec.containers[0].model_dir)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def failure(self) -> Failure:
        return msgspec.json.decode((self.folder / "failure.json").read_bytes(), type=Failure)

    async def connect(self) -> "Connection":
        reader, writer = await asyncio.open_unix_connection(self.spec.socket)
        self.connections.append(Connection(reader, writer))
        return self.connections[-1]

    async def ask(
        self,
        path: str = "/invocations",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        method: str = "",
    ) -> Response:
        """One request on a connection of its own; POST where there is a body."""
        connection = await self.connect()
        try:
            connection.send(request(path, body, headers, method))
            return await connection.receive()
        finally:
            connection.writer.close()

    async def ready(self) -> None:
        """Raises when the process ends instead."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended with {self.process.returncode}: {self.log}")
            try:
                if (await self.ask("/ping")).status == 200:
                    return
            except OSError:
                pass  # it does not listen yet
            await asyncio.sleep(0.02)
        raise AssertionError(f"the worker did not become ready: {self.log}")

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> Response:
        """Raises IncompleteReadError when the connection ends first."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(
                0 if head.startswith("HTTP/1.1 204") else int(headers["content-length"])
            )
        return Response(int(first.split(" ")[1]), headers, body)

    async def ended(self) -> bool:
        """Whether nothing but the end comes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(1) == b""


def request(path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "") -> bytes:
    lines = [f"{method or ('POST' if body else 'GET')} {path} HTTP/1.1", "host: worker"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def csv(*values: float) -> bytes:
    return ",".join(map(str, values)).encode()


class Workers:
    """Starts workers, and ends those that a test leaves running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[RunningWorker] = []
        self.environment: dict[str, str] = {}
        """Variables that the workers find in their own environment."""
        self.module = "tidegate.serving"
        """What Python runs as a worker."""
        self.source: Path | None = None
        """Folder of another copy of the package, which the workers run."""

    def xgboost(self, data: Path | str | None, **changes: object) -> RunningWorker:
        return self.start(RuntimeChoice(RuntimeKind.XGBOOST), data, **changes)

    def program(self, script: str, *arguments: str, **changes: object) -> RunningWorker:
        """A Python program given as text."""
        path = self.folder / f"program{len(self.running)}.py"
        path.write_text(script)
        command = (sys.executable, str(path), *arguments)
        return self.start(RuntimeChoice(RuntimeKind.PROGRAM, command), None, **changes)

    def start(self, runtime: RuntimeChoice, data: Path | str | None, **changes: object) -> RunningWorker:
        name = f"r{len(self.running)}"
        container = ContainerSpec(
            runtime=runtime,
            model_dir=str(changes.pop("model_dir", self.folder / name / "model")),
            data_url=data.as_uri() if isinstance(data, Path) else data,
            environment=changes.pop("environment", {}),  # type: ignore[arg-type]
            cache=bool(changes.pop("cache", True)),
        )
        return self.several((container,), **changes)

    def several(self, containers: tuple[ContainerSpec, ...], **changes: object) -> RunningWorker:
        name = f"r{len(self.running)}"
        folder = self.folder / name
        folder.mkdir()
        spec = ReplicaSpec(
            replica=name,
            fleet=FleetId("fraud", 3, "Blue"),
            config_name="fraud-v3",
            containers=containers,
            socket=str(changes.pop("socket", self.folder / f"{name}.sock")),
            log_group="/aws/sagemaker/Endpoints/fraud",
            log_stream_arn="arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/fraud",
            **changes,  # type: ignore[arg-type]
        )
        (folder / "REPLICA.json").write_bytes(encode(spec))
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(folder / "REPLICA.json")],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                cwd=self.source,  # the first place that ``-m`` looks in
                start_new_session=True,
            )
        self.running.append(RunningWorker(spec, folder, process))
        return self.running[-1]

    def run(self, test: Coroutine[object, object, None]) -> None:
        """Runs a test's coroutine, and closes the connections that it leaves open."""

        async def main() -> None:
            try:
                await test
            finally:
                for worker in self.running:
                    for connection in worker.connections:
                        connection.writer.close()

        asyncio.run(main())

    def end(self) -> None:
        for worker in self.running:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()


@pytest.fixture
def workers() -> Iterator[Workers]:
    """In a short path: a unix socket's is limited."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        started = Workers(Path(name))
        try:
            yield started
        finally:
            started.end()


def exists(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        os.kill(pid, 0)
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return False
