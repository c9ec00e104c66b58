"""Transform jobs and asynchronous requests on a real cluster: their work is leased from a real PostgreSQL."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from tests.kubernetes.cluster.harness import Cluster
from tests.scene import Scene, train
from tests.tcp_relay import relayed
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.timeout(900)
NAMESPACE, SECRET, ROLE = "jobs", "jobs-database", "jobs_only"
POD = "app.kubernetes.io/component=transform"
FILES, ROWS = 10, 800


@dataclass
class Running:
    cluster: Cluster
    platform: Platform
    folder: Path
    database: str

    def __post_init__(self) -> None:
        self.scene = Scene(self.platform)
        self.model = self.scene.model(train(self.folder, 1, features=4, trees=5))

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return self.cluster.kubectl("--namespace", NAMESPACE, *words, stdin=stdin)

    def described(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.platform.url}/tidegate/v1/transforms/{job}").json()
        return found

    def holders(self, job: str) -> dict[str, int]:
        """Pod -> shards that it holds."""
        asked = (
            b"SELECT holder, count(*) FROM shards WHERE job = %s AND number > 0 AND state = 'leased' GROUP BY 1"
        )
        with psycopg.connect(self.database) as connection:
            return {row[0]: row[1] for row in connection.execute(asked, [job])}

    def pods(self) -> list[str]:
        return self.kubectl("get", "pods", "-l", POD, "-o", "name").split()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Of the volume: pods are another user."""
    made = Path(tempfile.mkdtemp(prefix="tg-jobs-"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def running(
    cluster: Cluster, loaded_image: str, folder: Path, postgres_folder: Path, postgres_url: str
) -> Iterator[Running]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    options = {
        "kubeconfig": str(cluster.kubeconfig),
        "namespace": NAMESPACE,
        "image": loaded_image,
        "image_pull_policy": "Never",
        "allow_unsigned": True,
        "controller_cidr": f"{cluster.host_address}/32",
        "volumes": [{"name": "data", "path": str(folder), "host_path": str(folder), "writable": True}],
        "instance_types": {"default": {"cpu": "50m", "memory": "512Mi"}},
        "gateway": {"cpu": "50m", "replicas": 1},
        "jobs": {"database_secret": SECRET, "cpu": "50m"},
    }
    (folder / "targets.yaml").write_text(yaml.safe_dump({"default": "kubernetes", "kubernetes": options}))
    environment = {
        "TIDEGATE_TARGETS": str(folder / "targets.yaml"),
        "TIDEGATE_DATABASE_URL": postgres_url,
        "TIDEGATE_OUTPUT_ROOTS": str(folder),
    }
    try:
        with (
            relayed(postgres_folder, cluster.host_address) as relay,
            Platform(environment=environment) as platform,
        ):
            url = relay.url(postgres_url).replace("postgresql://postgres@", f"postgresql+psycopg://{ROLE}@")
            make_role(postgres_url)
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
            made = json.dumps({**secret, "stringData": {"database-url": url}})
            cluster.kubectl("--namespace", NAMESPACE, "apply", "-f", "-", stdin=made)
            yield Running(cluster, platform, folder, postgres_url)
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {ROLE}".encode())
            connection.execute(f"DROP ROLE {ROLE}".encode())


def make_role(url: str) -> None:
    """As docs/targets-kubernetes.md says."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN".encode())
        connection.execute(f"GRANT SELECT, INSERT, UPDATE ON shards TO {ROLE}".encode())


def test_work_is_done_once_though_a_pod_is_killed_and_requests_of_the_queue_are_answered(running: Running) -> None:
    transform(running)
    ask_the_queue(running)


def transform(running: Running) -> None:
    folder = running.folder
    (folder / "in").mkdir()
    for number in range(FILES):
        lines = (f"{number * ROWS + row},0.5,0.25,1\n" for row in range(ROWS))
        (folder / "in" / f"{number:02}.csv").write_text("".join(lines))
    running.scene.sagemaker.create_transform_job(
        TransformJobName="scores",
        ModelName=running.model,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"file://{folder}/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": f"file://{folder}/out", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=1,
        DataProcessing={"JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    wait_until(lambda: len(running.holders("scores")) == 2, f"two pods at work: {running.pods()}", 180, 0.2)
    running.kubectl("delete", "pod", next(iter(running.holders("scores"))), "--grace-period=0", "--force")
    wait_until(lambda: running.described("scores")["status"] != "InProgress", "the end of the job", 300, 0.5)
    found = running.described("scores")
    assert (found["status"], found["reason"], found["records"]) == ("Completed", "", FILES * ROWS)
    outputs = sorted((folder / "out").iterdir())
    assert [path.name for path in outputs] == [f"{number:02}.csv.out" for number in range(FILES)]
    for number, path in enumerate(outputs):
        first = [line.split(",")[0] for line in path.read_text().splitlines()]
        assert first == [str(number * ROWS + row) for row in range(ROWS)]
    wait_until(lambda: not running.pods(), "its pods are gone", 120, 0.5)
    assert not running.kubectl("get", "jobs", "-o", "name")


def ask_the_queue(running: Running) -> None:
    scene, out = running.scene, running.folder / "answers"
    variant = {"VariantName": "AllTraffic", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName="queued",
        ProductionVariants=[{**variant, "ModelName": running.model}],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": out.as_uri()}},
    )
    scene.sagemaker.create_endpoint(EndpointName="queued", EndpointConfigName="queued")
    described = scene.settled("queued")
    assert described["EndpointStatus"] == "InService", described
    asked = [
        scene.runtime.invoke_endpoint_async(EndpointName="queued", ContentType="text/csv", Body=b"0.1,0.2,0.3,0.4")
        for _ in range(20)
    ]
    places = [Path(answer["OutputLocation"].removeprefix("file://")) for answer in asked]
    wait_until(lambda: all(path.exists() for path in places), "every answer", 120)
    assert len({path.read_bytes() for path in places}) == 1 and len(list(out.iterdir())) == 20
