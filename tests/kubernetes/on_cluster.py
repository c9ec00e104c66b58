"""A platform on this machine that drives a real cluster, and load through the cluster's gateways."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.conformance import kubernetes_lab
from tests.kubernetes import image
from tests.kubernetes.cluster.harness import Cluster
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

MODELS = "models"
PYTHON = "/opt/tidegate/bin/python"
"""In the image."""
ROW = b"0.1,0.2,0.3,0.4"
GATEWAY = "app.kubernetes.io/component=gateway"
WORKER = "app.kubernetes.io/component=worker"


@dataclass
class OnCluster:
    """``models``: URLs of two that work, one with other columns, and one that is damaged. Models of the image
    ``kubernetes_lab.IMAGE`` are the stand-in of ``tests/integration``."""

    cluster: Cluster
    platform: Platform
    namespace: str
    models: tuple[str, str]
    other_columns: str
    damaged: str
    scene: Scene = field(init=False)

    def __post_init__(self) -> None:
        self.scene = Scene(self.platform)

    @property
    def gateway(self) -> str:
        """URL of the gateways' Service."""
        service = json.loads(self.kubectl("get", "service", "tidegate-gateway", "-o", "json"))
        return f"http://{service['spec']['clusterIP']}:80"

    def load(self, endpoint: str, rate: float = 50) -> LoadGenerator:
        path = f"/endpoints/{endpoint}/invocations"
        return LoadGenerator(self.gateway, path, ROW, {"Content-Type": "text/csv"}, rate, connections=8)

    def kubectl(self, *words: str) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *words)

    def pods(self, labels: str) -> list[dict[str, object]]:
        items: list[dict[str, object]] = json.loads(self.kubectl("get", "pods", "-l", labels, "-o", "json"))[
            "items"
        ]
        return items

    def pod_names(self, labels: str) -> list[str]:
        return self.kubectl("get", "pods", "-l", labels, "-o", "name").split()

    def create(self, endpoint: str, instances: int = 2, model: int = 0) -> str:
        """An endpoint that serves; returns its config."""
        config = self.scene.config(self.models[model], instances=instances)
        self.scene.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        described = self.scene.settled(endpoint)
        assert described["EndpointStatus"] == "InService", described
        return config

    def delete(self, endpoint: str) -> None:
        self.scene.sagemaker.delete_endpoint(EndpointName=endpoint)
        labels = f"{WORKER},tidegate.io/endpoint={endpoint}"
        wait_until(lambda: not self.pod_names(labels), f"the pods of {endpoint} are gone", 120, 1.0)


@contextmanager
def on_cluster(
    cluster: Cluster, environment: Mapping[str, str] | None = None, further: Mapping[str, object] | None = None
) -> Iterator[OnCluster]:
    """In a namespace of its own. ``environment``: of the platform; ``further``: options of its target."""
    cluster.load_image(image.build())
    namespace = f"ml-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", namespace)
    folder = Path(tempfile.mkdtemp(prefix="tg-models-"))
    folder.chmod(0o755)
    try:
        models = train(folder, 1, features=4, trees=5), train(folder, 2, features=4, trees=5)
        other = train(folder, 3, features=9, trees=5)
        (folder / "damaged.tar.gz").write_bytes(b"no archive")
        options = {
            "default": "kubernetes",
            "kubernetes": {
                "kubeconfig": str(cluster.kubeconfig),
                "namespace": namespace,
                "image": image.NAME,
                "image_pull_policy": "Never",
                "allow_unsigned": True,
                "controller_cidr": f"{cluster.host_address}/32",
                "volumes": [{"name": MODELS, "path": str(folder), "host_path": str(folder)}],
                "instance_types": {"default": {"cpu": "50m", "memory": "512Mi"}},
                "gateway": {"cpu": "50m"},
                "scheduling_patience": 20,
                **(further or {}),
            },
        }
        program = Path(shutil.copy(kubernetes_lab.PROGRAM, folder))
        (folder / "images.yaml").write_text(kubernetes_lab.image_table(PYTHON, program))
        (folder / "targets.yaml").write_text(yaml.safe_dump(options))
        variables = {
            "TIDEGATE_TARGETS": str(folder / "targets.yaml"),
            "TIDEGATE_IMAGES": str(folder / "images.yaml"),
            **(environment or {}),
        }
        with Platform(environment=variables) as platform:
            damaged = (folder / "damaged.tar.gz").as_uri()
            yield OnCluster(cluster, platform, namespace, models, other, damaged)
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        shutil.rmtree(folder, ignore_errors=True)
