"""A node: containerd, kubelet and kube-proxy on a machine of their own. Its pods are real containers."""

import json
import os
import subprocess
from pathlib import Path

from tests.kubernetes.cluster import control_groups, pause_image
from tests.kubernetes.cluster.control_plane import ControlPlane, wait_for
from tests.kubernetes.cluster.machine import Machine
from tests.kubernetes.cluster.network import connect_node

PATIENCE = 120.0
"""Seconds until a node that is not ready fails the test; it takes about 10."""


class Node:
    def __init__(self, control_plane: ControlPlane, folder: Path, servers: Path, which: int, nodes: int) -> None:
        """The node with the number ``which`` (from 0) of ``nodes``."""
        addresses = control_plane.addresses
        self.name = f"n{which + 1}"
        self.address = addresses.node(which)
        self.alive = True
        self._control_plane = control_plane
        self._servers = servers
        self._which, self._nodes = which, nodes
        self._group = f"tidegate-test-{os.getpid()}-{addresses.number}-{self.name}"
        self.machine = Machine(self.name, folder / self.name)

    @property
    def socket(self) -> Path:
        """Of containerd."""
        return self.machine.folder / "containerd.sock"

    def start(self) -> None:
        """Start everything. The node is ready some seconds later."""
        control_groups.create(self._group)
        addresses = self._control_plane.addresses
        connect_node(addresses, self._control_plane.machine, self.machine, self._which, self._nodes)
        self._configure(addresses.pods(self._which))
        self.machine.start("containerd", "containerd", "--config", str(self.machine.folder / "containerd.toml"))
        wait_for(self._containerd_answers, f"containerd of {self.name}", lambda: self.machine.log("containerd"))
        archive = self.machine.folder / "pause.tar"
        pause_image.write(archive)
        self.load_image(archive)
        self.start_kubelet()
        self.machine.start(
            "kube-proxy",
            *(str(self._servers / "kube-proxy"), "--kubeconfig", str(self._control_plane.kubeconfig)),
            *("--hostname-override", self.name, "--proxy-mode", "iptables"),
            "--masquerade-all",  # an answer from the same node would reach its pod past the node's packet filter
            *("--conntrack-max-per-core", "0", "--conntrack-min", "0"),  # those are the whole kernel's
            *("--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s"),
        )

    def start_kubelet(self) -> None:
        folder = self.machine.folder
        self.machine.start(
            "kubelet",
            *(str(self._servers / "kubelet"), "--config", str(folder / "kubelet.json")),
            *("--kubeconfig", str(self._control_plane.kubeconfig), "--hostname-override", self.name),
            *("--node-ip", self.address, "--root-dir", str(folder / "kubelet"), "--cert-dir", str(folder / "pki")),
            *("--container-runtime", "remote", "--container-runtime-endpoint", f"unix://{self.socket}"),
            *("--oom-score-adj", "0"),  # a lower one needs CAP_SYS_RESOURCE
        )

    def load_image(self, archive: Path) -> None:
        """Import an archive in OCI's or Docker's form. Raises CalledProcessError."""
        self._ctr("images", "import", "--all-platforms", str(archive))

    def kill(self) -> None:
        """End the node and all of its pods at once, as a loss of power would."""
        self.alive = False
        self.machine.kill()
        control_groups.remove(self._group)

    def _containerd_answers(self) -> bool:
        try:
            self._ctr("version")
        except subprocess.CalledProcessError:
            return False
        return True

    def _ctr(self, *words: str) -> None:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *words]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def _configure(self, pods: str) -> None:
        folder = self.machine.folder
        (folder / "network").mkdir()
        (folder / "network" / "10-bridge.conflist").write_text(json.dumps(_container_network(folder, pods)))
        (folder / "containerd.toml").write_text(_CONTAINERD.replace("@FOLDER@", str(folder)))
        kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._group}",
            "enforceNodeAllocatable": [],
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "failSwapOn": False,
            "readOnlyPort": 0,
            "nodeStatusUpdateFrequency": "3s",
        }
        (folder / "kubelet.json").write_text(json.dumps(kubelet))


def _container_network(folder: Path, pods: str) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(folder / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


_CONTAINERD = f"""
version = 2
root = "@FOLDER@/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"] # it would write to /opt
[grpc]
address = "@FOLDER@/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true # a lower one needs CAP_SYS_RESOURCE
sandbox_image = "{pause_image.NAME}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "@FOLDER@/network"
"""
