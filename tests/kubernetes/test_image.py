"""tidegate's image: started by podman as SageMaker starts containers, and in pods with a start file."""

import base64
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import xgboost

from tests.kubernetes import image as images
from tests.kubernetes.cluster import control_groups, network
from tests.kubernetes.cluster.control_plane import wait_for
from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.cluster.machine import Machine
from tests.serve_process import answers
from tests.worker_process import csv, models
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode

__all__ = ["models"]

ROW = (1.0, 0.5, -1.0, 0.25, 2.0)
CSV = {"content-type": "text/csv"}
USER = 10001


class Podman:
    """podman on a machine of its own, with a store of its own."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.machine = Machine("podman", folder / "podman")
        self.addresses = network.connect_control_plane(self.machine)
        store = self.machine.folder
        self._group = f"tidegate-test-{os.getpid()}-{self.addresses.number}-podman"
        control_groups.create(self._group)
        self.command = (
            *("podman", "--root", f"{store}/store", "--runroot", f"{store}/run", "--runtime", "runc"),
            *("--cgroup-manager", "cgroupfs"),
        )
        self.machine.do(*self.command, "load", "--quiet", "--input", str(archive))

    def start(self, *words: str) -> None:
        """Run the image, as another user than root, without a file system that it could write to but its work's."""
        work = self.machine.folder / "work"
        work.mkdir(exist_ok=True)
        os.chown(work, USER, USER)
        self.machine.start(
            "serve",
            *(*self.command, "run", "--rm", "--network", "host", "--cgroup-parent", self._group, "--read-only"),
            *("--ulimit", "host"),  # higher ones need CAP_SYS_RESOURCE
            *("--cap-drop", "all", "--security-opt", "no-new-privileges", "--volume", f"{work}:/var/lib/tidegate"),
            *words,
        )

    @property
    def url(self) -> str:
        return f"http://{self.addresses.control_plane}:8080"

    def log(self) -> str:
        return self.machine.log("serve")

    def close(self) -> None:
        self.machine.kill()
        control_groups.remove(self._group)
        network.disconnect(self.addresses)


@pytest.fixture
def podman(image: Path) -> Iterator[Podman]:
    with tempfile.TemporaryDirectory(prefix="tg-podman-") as name:
        running = Podman(Path(name), image)
        try:
            yield running
        finally:
            running.close()


def expected(model: Path) -> float:
    return float(xgboost.Booster(model_file=model).predict(xgboost.DMatrix(np.array([ROW], np.float32)))[0])


def predict(url: str) -> float:
    answer = httpx.post(f"{url}/invocations", content=csv(*ROW), headers=CSV, timeout=30)
    assert answer.status_code == 200, answer.text
    return float(answer.text)


def test_container_serves_as_sagemaker_starts_it(podman: Podman, models: Path, tmp_path: Path) -> None:
    model = tmp_path / "binary.ubj"
    model.write_bytes((models / "binary.ubj").read_bytes())
    for path in (tmp_path, model):
        path.chmod(0o755)
    podman.start("--volume", f"{tmp_path}:/opt/ml/model:ro", images.NAME, "serve")
    wait_for(lambda: answers(f"{podman.url}/ping"), "the container", podman.log)

    assert predict(podman.url) == pytest.approx(expected(model), rel=1e-6)
    podman.machine.stop("serve", signal.SIGTERM)
    assert "drained" in podman.log()


def test_image_has_the_command_line_and_no_rights(podman: Podman) -> None:
    podman.start(images.NAME, "tidegate", "server", "version")
    wait_for(lambda: not podman.machine.running("serve"), "the command", podman.log)
    assert "0.1" in podman.log()

    podman.start(images.NAME, "python", "-c", "import os; print(os.getuid(), os.access('/opt/tidegate', os.W_OK))")
    wait_for(lambda: not podman.machine.running("serve"), "the command", podman.log)
    assert f"{USER} False" in podman.log()


def start_file(name: str) -> bytes:
    """Of an endpoint whose model data are in a folder of the pod."""
    one = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="", data_url="file:///data/" + name)
    return encode(
        ReplicaSpec(
            replica="",
            fleet=FleetId("fraud", 3, "Blue"),
            config_name="fraud-v3",
            containers=(one,),
            socket="",
            file_roots=("/data",),
        )
    )


def pod(name: str) -> list[dict[str, object]]:
    """A worker with every restriction that Kubernetes knows, and its start file as a Secret."""
    probe = {"httpGet": {"path": "/ping", "port": 8080}, "periodSeconds": 1}
    container = {
        "name": "worker",
        "image": images.NAME,
        "imagePullPolicy": "Never",
        "args": ["serve", "/start/start.json"],
        "env": [{"name": "TIDEGATE_REPLICA", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": probe,
        "livenessProbe": {"httpGet": {"path": "/live", "port": 8081}, "failureThreshold": 10},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "start", "mountPath": "/start"},
            {"name": "data", "mountPath": "/data"},
            {"name": "work", "mountPath": "/var/lib/tidegate"},
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "fsGroup": USER},
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [
            {"name": "start", "secret": {"secretName": name, "defaultMode": 0o440}},
            {"name": "data", "configMap": {"name": name}},
            {"name": "work", "emptyDir": {}},
        ],
    }
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}]


def create(cluster: Cluster, name: str, model: bytes) -> None:
    def coded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    kinds = [
        {"kind": "Secret", "metadata": {"name": name}, "data": {"start.json": coded(start_file("model.ubj"))}},
        {"kind": "ConfigMap", "metadata": {"name": name}, "binaryData": {"model.ubj": coded(model)}},
    ]
    items = [{"apiVersion": "v1", **kind} for kind in kinds] + pod(name)
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def test_pod_serves_with_a_start_file(cluster: Cluster, loaded_image: str, models: Path) -> None:
    model = models / "binary.ubj"
    create(cluster, "fraud", model.read_bytes())
    cluster.kubectl("wait", "pod/fraud", "--for=condition=Ready", "--timeout=120s")
    address = cluster.kubectl("get", "pod", "fraud", "-o", "jsonpath={.status.podIP}")

    assert predict(f"http://{address}:8080") == pytest.approx(expected(model), rel=1e-6)
    assert httpx.get(f"http://{address}:8080/_tidegate/stats").status_code == 404
    page = httpx.get(f"http://{address}:8081/_tidegate/stats").json()
    assert (page["replica"], page["answered"]) == ("fraud", 1)
    assert "ready, xgboost on port 8080" in cluster.kubectl("logs", "fraud")


def test_failed_pod_says_why(cluster: Cluster, loaded_image: str) -> None:
    create(cluster, "broken", b"not a model")
    ended = ".status.containerStatuses[0].state.terminated"
    wait_for(
        lambda: bool(cluster.kubectl("get", "pod", "broken", "-o", f"jsonpath={{{ended}}}")),
        "the end of the pod",
        lambda: cluster.kubectl("describe", "pod", "broken"),
    )

    message = json.loads(cluster.kubectl("get", "pod", "broken", "-o", f"jsonpath={{{ended}.message}}"))
    assert message["permanent"] is True
    assert cluster.kubectl("get", "pod", "broken", "-o", f"jsonpath={{{ended}.exitCode}}") == "3"
