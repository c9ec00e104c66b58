"""A real Kubernetes cluster for tests, with control plane and nodes on machines of their own.

Nothing of it is left when it stops, or when the test run dies: no process, device, mount, route or packet filter.
This machine reaches the API server, nodes, pods and Services by their addresses; pods reach this machine at
``host_address``. There is no DNS in the cluster.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import httpx

from tests.kubernetes.cluster import binaries, control_groups, network
from tests.kubernetes.cluster.control_plane import TOKEN, ControlPlane, wait_for
from tests.kubernetes.cluster.fake_kubelet import FakeKubelet
from tests.kubernetes.cluster.machine import Machine
from tests.kubernetes.cluster.node import PATIENCE, Node

_NEEDS = {
    "/usr/bin/etcd": "etcd-server",
    "/usr/bin/kubectl": "kubectl",
    "/usr/bin/catatonit": "catatonit",
    "/usr/bin/openssl": "openssl",
    "/usr/sbin/iptables": "iptables",
}
_NODE_NEEDS = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}


def why_not(real_nodes: bool = True) -> str | None:
    """Why no cluster can run here, in one line; None if one can."""
    if os.geteuid() != 0:
        return "a Kubernetes cluster needs root"
    if missing := binaries.missing_packages(_NEEDS | (_NODE_NEEDS if real_nodes else {})):
        return f"a Kubernetes cluster needs Debian packages: apt-get install {' '.join(missing)}"
    if real_nodes and (groups := control_groups.missing()):
        return f"kubelet 1.20 needs control groups of version 1, and these are missing here: {', '.join(groups)}"
    if not _may_have_machines():
        return "a Kubernetes cluster needs namespaces, bridges and mounts, which this machine does not allow"
    if not binaries.built():
        return "Kubernetes is not built yet: python -m tests.kubernetes.cluster.binaries"
    return None


@functools.cache
def _may_have_machines() -> bool:
    """Whether a process here may have a network, mounts and process ids of its own."""
    tried = "ip link add probe type bridge && mount -t tmpfs probe /mnt"
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "bash", "-c", tried]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


class Cluster:
    """Use it in a ``with`` statement. ``nodes``: real ones, 4 at most, named n1, n2 and so on; ``fake_nodes``: nodes
    whose pods are ready at once and run nothing, for counting. One of the two, from the main thread."""

    def __init__(self, nodes: int = 0, fake_nodes: int = 0) -> None:
        if not (bool(nodes) ^ bool(fake_nodes) and nodes <= network.MOST_NODES):
            raise ValueError("a cluster has 1 to 4 real nodes, or fake ones")
        self.folder = Path(tempfile.mkdtemp(prefix="tg-kube-"))
        self.nodes: list[Node] = []
        self._fake: FakeKubelet | None = None
        self._servers = binaries.servers_folder()
        self._machine = Machine("control-plane", self.folder / "control-plane")
        self._addresses: network.Addresses | None = None
        try:
            self._addresses = network.connect_control_plane(self._machine)
            self.control_plane = ControlPlane(self._machine, self._addresses, self._servers, bool(fake_nodes))
            self.control_plane.start()
            for which in range(nodes):
                self.nodes.append(Node(self.control_plane, self.folder, self._servers, which, nodes))
                self.nodes[-1].start()
            if fake_nodes:
                self._fake = FakeKubelet(self.control_plane.client(), fake_nodes)
                self._fake.start()
            wait_for(
                lambda: self._ready_nodes() == nodes + fake_nodes,
                "a node",
                lambda: "".join(node.machine.log("kubelet") for node in self.nodes),
                PATIENCE,
            )
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- where it is ---

    @property
    def kubeconfig(self) -> Path:
        """Of a user who may do everything."""
        return self.control_plane.kubeconfig

    @property
    def server(self) -> str:
        return self.control_plane.server

    @property
    def ca(self) -> Path:
        return self.control_plane.ca

    @property
    def token(self) -> str:
        return TOKEN

    @property
    def host_address(self) -> str:
        """This machine, as nodes and pods reach it."""
        return self.control_plane.addresses.host

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def node_address(self, name: str) -> str:
        return self.node(name).address

    # --- asking it ---

    def client(self) -> httpx.Client:
        return self.control_plane.client()

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """Run kubectl. Raises AssertionError with what it says."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *words]
        done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def load_image(self, archive: Path) -> None:
        """Import an archive of an image, in OCI's or Docker's form, on every node."""
        for node in self.nodes:
            node.load_image(archive)

    def log(self, server: str, node: str | None = None) -> str:
        """What a server wrote: etcd, apiserver, controller-manager or scheduler; on a node containerd, kubelet or
        kube-proxy."""
        return (self._machine if node is None else self.node(node).machine).log(server)

    # --- breaking it ---

    def stop_api_server(self) -> None:
        """Kill the API server: connections to it are refused until it is started again."""
        self._machine.stop("apiserver")

    def start_api_server(self) -> None:
        """Start it again, and wait until it is ready."""
        self.control_plane.start_api_server()

    def kill(self, server: str) -> None:
        """Kill a server of the control plane: etcd, controller-manager or scheduler."""
        self._machine.stop(server)

    def start(self, server: str) -> None:
        """Start a server again that was killed."""
        self.control_plane.start_server(server)

    def stop(self) -> None:
        """End everything, and remove the folder."""
        if self._fake is not None:
            self._fake.stop()
        for node in self.nodes:
            if node.alive:
                node.kill()
        self._machine.kill()
        if self._addresses is not None:
            network.disconnect(self._addresses)
        shutil.rmtree(self.folder)

    def _ready_nodes(self) -> int:
        with self.client() as client:
            nodes: Sequence[dict[str, dict[str, list[dict[str, str]]]]] = client.get("/api/v1/nodes").json()[
                "items"
            ]
        ready = {"type": "Ready", "status": "True"}
        return sum(
            any(ready.items() <= condition.items() for condition in node["status"].get("conditions", ()))
            for node in nodes
        )
