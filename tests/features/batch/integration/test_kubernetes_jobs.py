"""Transform jobs on the Kubernetes target: real controller, runners, workers and PostgreSQL; the cluster is one of
processes."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.process_cluster import ProcessCluster, why_not
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
SECRET = "jobs-database"
MANY = 30
"""Objects: more than two pods have done by the time that a stop is seen."""


@dataclass
class Running:
    cluster: ProcessCluster
    platform: Platform
    scene: Scene
    folder: Path
    database: str
    model: str

    def start(self, job: str, instances: int = 2, **more: Any) -> None:
        self.scene.sagemaker.create_transform_job(
            TransformJobName=job,
            ModelName=self.model,
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"file://{self.folder}/in/"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"file://{self.folder}/{job}", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": instances},
            BatchStrategy="SingleRecord",
            MaxConcurrentTransforms=1,
            DataProcessing={"JoinSource": "Input", "OutputFilter": "$[0,-1]"},
            **more,
        )

    def described(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.platform.url}/tidegate/v1/transforms/{job}").json()
        return found

    def ended(self, job: str, seconds: float = 120) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.described(job)
            return found if found["status"] not in ("InProgress", "Stopping") else None

        return wait_until(look, f"{job} has ended", seconds)

    def left(self) -> list[str]:
        """Objects of jobs that are no pods."""
        return [name for plural, name in self.cluster.server.objects if "tg-job-" in name and plural != "pods"]

    def pods(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.cluster.server.pods("transform"))

    def at_work(self, job: str) -> list[str]:
        """Pods that hold shards of the job."""
        asked = b"SELECT DISTINCT holder FROM shards WHERE job = %s AND number > 0 AND state = 'leased'"
        with psycopg.connect(self.database) as connection:
            return sorted(row[0] for row in connection.execute(asked, [job]))

    def recorded(self, job: str) -> list[str]:
        """Names of the objects that are done."""
        asked = b"SELECT name FROM shards WHERE job = %s AND number > 0 AND state = 'done'"
        with psycopg.connect(self.database) as connection:
            return sorted(row[0] for row in connection.execute(asked, [job]))

    def time_of(self, job: str, name: str) -> int:
        """When the output of an object appeared."""
        return (self.folder / job / f"{name}.out").stat().st_mtime_ns

    def write_inputs(self, files: int, rows: int) -> None:
        (self.folder / "in").mkdir(exist_ok=True)
        for number in range(files):
            lines = (f"{number * rows + row},0.5,0.25,1\n" for row in range(rows))
            (self.folder / "in" / f"{number:02}.csv").write_text("".join(lines))

    def outputs(self, job: str) -> dict[str, list[str]]:
        """Name -> the first cells of its lines."""
        found = sorted(path for path in (self.folder / job).iterdir())
        return {path.name: [line.split(",")[0] for line in path.read_text().splitlines()] for path in found}


def expected(files: int, rows: int) -> dict[str, list[str]]:
    return {f"{number:02}.csv.out": [str(number * rows + row) for row in range(rows)] for number in range(files)}


@pytest.fixture
def running(empty_postgres_url: str, tmp_path: Path) -> Iterator[Running]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    trained = train(tmp_path, 1, features=4, trees=5)
    with ProcessCluster() as cluster:
        data = {"database-url": base64.b64encode(empty_postgres_url.encode()).decode()}
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data}
        cluster.server.objects["secrets", SECRET] = made
        targets = cluster.write_targets(
            tmp_path,
            gateway={"replicas": 1},
            volumes=[
                {"name": "data", "path": str(tmp_path), "host_path": str(tmp_path), "writable": True},
            ],
            jobs={"database_secret": SECRET},
        )
        environment = {"TIDEGATE_TARGETS": str(targets), "TIDEGATE_DATABASE_URL": empty_postgres_url}
        with Platform(environment=environment) as platform:
            scene = Scene(platform)
            yield Running(cluster, platform, scene, tmp_path, empty_postgres_url, scene.model(trained))


def test_pods_that_are_killed_lose_nothing_and_duplicate_nothing(running: Running) -> None:
    running.write_inputs(10, 600)
    running.start("scores")
    wait_until(lambda: len(running.at_work("scores")) == 2, "two pods have shards")
    busy = running.at_work("scores")
    running.cluster.job_pods.kill_container(busy[1], "worker")
    running.cluster.job_pods.kill(busy[0])
    wait_until(lambda: running.described("scores")["objects_done"] >= 2, "two objects are done")
    wait_until(lambda: busy[1] in running.at_work("scores"), "the pod with a new worker has another object")
    running.cluster.job_pods.kill_container(busy[1], "runner")
    running.platform.kill_controller()
    running.platform.start()
    found = running.ended("scores")
    assert (found["status"], found["reason"]) == ("Completed", "")
    assert (found["objects_done"], found["records"], found["bad_records"]) == (10, 6000, 0)
    assert running.outputs("scores") == expected(10, 600)
    wait_until(lambda: not running.pods(), "its pods are gone", 60)
    wait_until(lambda: not running.left(), "and what they were started with", 60)


def test_a_stopped_job_ends_its_pods_and_goes_on_where_it_was(running: Running) -> None:
    running.write_inputs(MANY, 400)
    running.start("halted")
    wait_until(lambda: running.described("halted")["objects_done"] >= 1, "an object is done")
    running.scene.sagemaker.stop_transform_job(TransformJobName="halted")
    stopped = running.ended("halted")
    assert stopped["status"] == "Stopped" and stopped["objects_done"] < MANY
    wait_until(lambda: not running.pods(), "its pods are gone", 60)
    done = {name: running.time_of("halted", name) for name in running.recorded("halted")}
    answer = httpx.post(f"{running.platform.url}/tidegate/v1/transforms/halted/resume", json={})
    assert answer.status_code == 200, answer.text
    assert running.ended("halted")["status"] == "Completed"
    assert running.outputs("halted") == expected(MANY, 400)
    again = {name: running.time_of("halted", name) for name in done}
    assert done and done == again, "what was done is not done again"


def test_a_job_that_pods_cannot_run_fails_at_once_and_says_what_to_do(running: Running) -> None:
    running.write_inputs(1, 1)
    secret = running.cluster.server.objects.pop(("secrets", SECRET))
    running.start("secretless")
    assert f"Secret {SECRET} in namespace ml has no 'database-url'" in running.ended("secretless")["reason"]
    running.cluster.server.objects["secrets", SECRET] = secret
    (running.folder / "in" / "00.csv").write_text("1,2,3,4\nno,number,at,all\n")
    running.start("bad", instances=1)
    found = running.ended("bad")
    assert found["status"] == "Failed" and "00.csv: record 2: " in found["reason"]
