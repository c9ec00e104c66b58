"""The platform as a workload of a real cluster: the manifests that users install, with two controllers.

PostgreSQL runs on this machine, which pods reach by a relay.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import yaml

from tests.kubernetes import image
from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.on_cluster import GATEWAY, MODELS, ROW
from tests.scene import Scene, train
from tests.tcp_relay import relayed
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator
from tidegate.targets.kubernetes.control_plane import NAME, TARGETS_FILE, ControlPlane, control_plane
from tidegate.targets.kubernetes.names import LEADER

NAMESPACE = "tidegate"
KEYS = ("AKIDEXAMPLE", "secret-example")
CONTROLLER = "app.kubernetes.io/component=controller"


@dataclass
class Installed:
    """``url``: of the controllers' Service."""

    cluster: Cluster
    url: str
    models: tuple[str, str]
    scene: Scene = field(init=False)

    def __post_init__(self) -> None:
        self.scene = Scene(cast(Platform, self), KEYS)  # of which it needs the URL alone

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return self.cluster.kubectl("--namespace", NAMESPACE, *words, stdin=stdin)

    def controllers(self) -> dict[str, dict[str, Any]]:
        """The controllers' pods, by name."""
        items = json.loads(self.kubectl("get", "pods", "-l", CONTROLLER, "-o", "json"))["items"]
        return {pod["metadata"]["name"]: pod for pod in items}

    def leader(self) -> str | None:
        """The pod that leads and is ready: the one with the label by which the Service selects it."""
        for name, pod in self.controllers().items():
            if LEADER in pod["metadata"]["labels"] and name in self.ready():
                return name
        return None

    def ready(self) -> set[str]:
        """Controllers' pods that are ready, whether they lead or stand by."""
        ready = {"type": "Ready", "status": "True"}
        return {
            name
            for name, pod in self.controllers().items()
            if "deletionTimestamp" not in pod["metadata"]
            and any(ready.items() <= one.items() for one in pod["status"].get("conditions", ()))
        }

    def standing_by(self) -> bool:
        """Whether two controllers run, one of which waits for the lease."""
        said: list[str] = []
        with contextlib.suppress(AssertionError):  # one has not started yet
            said = [self.kubectl("logs", name) for name in self.controllers()]
        return len(said) == 2 and sum("standing by" in one for one in said) == 1

    def led_by(self) -> tuple[str, int]:
        """Who leads, as the Lease object shows it, and how often that changed."""
        spec = json.loads(self.kubectl("get", "lease", NAME, "-o", "json"))["spec"]
        return spec["holderIdentity"], spec["leaseTransitions"]

    def await_leader(self, seconds: float) -> str:
        """Wait until a controller leads and answers. Raises TimeoutError with what the controllers wrote."""
        try:
            other: str = wait_until(self.leader, "a controller leads", seconds, 0.5)
            wait_until(self.answers, "it answers", 120, 0.5)
        except TimeoutError as error:
            said = [f"{name}:\n{self.kubectl('logs', '--tail=40', name)}" for name in self.controllers()]
            raise TimeoutError("\n".join((str(error), self.kubectl("get", "pods", "-o", "wide"), *said))) from None
        return other

    def gateways(self) -> dict[str, int]:
        """Uid of each gateway's pod -> how often its container was started again."""
        items = json.loads(self.kubectl("get", "pods", "-l", GATEWAY, "-o", "json"))["items"]
        return {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in items}

    def answers(self) -> bool:
        """Whether a controller answers by the Service, which learns of a new leader a moment later."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == httpx.codes.OK
        return False

    def kill(self, controller: str) -> None:
        """The controller dies without a word, and its pod is gone for good."""
        uid = self.controllers()[controller]["metadata"]["uid"]
        for process in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if uid in Path(f"/proc/{process.pid}/cgroup").read_text():
                    os.kill(process.pid, signal.SIGKILL)
        self.kubectl("delete", "pod", controller, "--grace-period=0", "--force")

    def load(self, endpoint: str, rate: float) -> LoadGenerator:
        """Signed requests through the gateways' Service."""
        service = json.loads(self.kubectl("get", "service", "tidegate-gateway", "-o", "json"))
        url = f"http://{service['spec']['clusterIP']}"  # as it is signed
        client = ApiClient({"TIDEGATE_URL": url, "AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]})
        sign = client.make_signer(endpoint, {"Content-Type": "text/csv"})
        path = f"/endpoints/{endpoint}/invocations"
        return LoadGenerator(url, path, ROW, {}, rate, connections=32, sign=sign)


@contextlib.contextmanager
def installed(cluster: Cluster, postgres: Path, database: str) -> Iterator[Installed]:
    """``postgres``: the folder of the server's socket; ``database``: the URL of an empty database there."""
    cluster.load_image(image.build())
    cluster.kubectl("create", "namespace", NAMESPACE)
    folder = Path(tempfile.mkdtemp(prefix="tg-models-"))
    folder.chmod(0o755)
    try:
        with relayed(postgres, cluster.host_address) as relay:
            url = relay.url(database).replace("postgresql://", "postgresql+psycopg://")
            for manifest in _manifests(url, folder):
                cluster.kubectl("--namespace", NAMESPACE, "apply", "-f", "-", stdin=json.dumps(manifest))
            service = json.loads(cluster.kubectl("--namespace", NAMESPACE, "get", "service", NAME, "-o", "json"))
            models = train(folder, 1, features=4, trees=5), train(folder, 2, features=4, trees=5)
            made = Installed(cluster, f"http://{service['spec']['clusterIP']}", models)
            made.await_leader(300)
            yield made
            cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _manifests(database: str, models: Path) -> list[dict[str, Any]]:
    """What users install, with the Secret that they make, and options of this cluster."""
    secret = {"database-url": database, "access-keys": ":".join(KEYS)}
    found: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tidegate"}, "stringData": secret}
    ]
    given = ControlPlane(image.NAME, "tidegate", NAMESPACE, cpu="50m", budget_version="policy/v1beta1")
    for manifest in control_plane(given):
        if manifest["kind"] == "ConfigMap":
            options = yaml.safe_load(manifest["data"][TARGETS_FILE])
            options["kubernetes"] |= {
                "image_pull_policy": "Never",
                "volumes": [{"name": MODELS, "path": str(models), "host_path": str(models)}],
                "instance_types": {"default": {"cpu": "50m", "memory": "512Mi"}},
                "gateway": {"cpu": "50m"},
            }
            manifest["data"][TARGETS_FILE] = yaml.safe_dump(options)
        if manifest["kind"] == "Deployment":  # whether model data is there is asked when a model is created
            pod = manifest["spec"]["template"]["spec"]
            pod["volumes"].append({"name": MODELS, "hostPath": {"path": str(models)}})
            mount = {"name": MODELS, "mountPath": str(models), "readOnly": True}
            pod["containers"][0]["volumeMounts"].append(mount)
            pod["containers"][0]["env"].append({"name": "TIDEGATE_FILE_ROOTS", "value": str(models)})
        found.append(manifest)
    return found
