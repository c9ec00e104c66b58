"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, on a machine of their own."""

import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.kubernetes.cluster import certificates
from tests.kubernetes.cluster.machine import Machine
from tests.kubernetes.cluster.network import Addresses

TOKEN = "admin"
"""Of the user who may do everything."""
PATIENCE = 90.0
"""Seconds until a server that is not ready fails the test: some 20 times what it takes."""
_ETCD = "http://127.0.0.1:2379"
_LOST_AFTER = "20s"
"""How long a node may be silent, and its pods be kept then; 40 and 300 seconds elsewhere."""


class ControlPlane:
    """``servers``: the folder of the built programs. ``patient``: nodes never count as lost."""

    def __init__(self, machine: Machine, addresses: Addresses, servers: Path, patient: bool = False) -> None:
        self.machine = machine
        self.addresses = addresses
        self.server = f"https://{addresses.control_plane}:6443"
        self.kubeconfig = machine.folder / "kubeconfig"
        self._servers = servers
        self._patient = patient
        self._keys = machine.folder / "keys"
        certificates.create(self._keys, (addresses.control_plane, addresses.api_service, "127.0.0.1"))
        (machine.folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        self.kubeconfig.write_text(json.dumps(kubeconfig(self.server, self.ca)))
        self._commands: dict[str, Callable[[], tuple[str, ...]]] = {
            "etcd": self._etcd,
            "apiserver": self._apiserver,
            "controller-manager": self._controller_manager,
            "scheduler": self._scheduler,
        }

    @property
    def ca(self) -> Path:
        return self._keys / "ca.crt"

    def client(self) -> httpx.Client:
        """A client of the API with every right."""
        trusted = ssl.create_default_context(cafile=str(self.ca))
        return httpx.Client(
            base_url=self.server, verify=trusted, headers={"authorization": f"Bearer {TOKEN}"}, timeout=30
        )

    def start(self) -> None:
        """Start all, and wait until the API is ready."""
        self.start_server("etcd")
        self.start_api_server()
        self.start_server("controller-manager")
        self.start_server("scheduler")

    def start_server(self, name: str) -> None:
        self.machine.start(name, *self._commands[name]())

    def start_api_server(self) -> None:
        """Start it, and wait until it is ready."""
        self.start_server("apiserver")
        with self.client() as client:
            wait_for(lambda: self._ready(client), "the API server", lambda: self.machine.log("apiserver"))

    def _ready(self, client: httpx.Client) -> bool:
        if not self.machine.running("apiserver"):
            raise AssertionError(f"the API server ended: {self.machine.log('apiserver')[-2000:]}")
        try:
            return client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _etcd(self) -> tuple[str, ...]:
        return (
            *("etcd", "--data-dir", str(self.machine.folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", _ETCD, "--advertise-client-urls", _ETCD),
            *("--listen-peer-urls", "http://127.0.0.1:2380"),
        )

    def _apiserver(self) -> tuple[str, ...]:
        keys = self._keys
        return (
            str(self._servers / "kube-apiserver"),
            *("--etcd-servers", _ETCD, "--bind-address", "0.0.0.0", "--secure-port", "6443"),
            *("--advertise-address", self.addresses.control_plane),
            *("--service-cluster-ip-range", self.addresses.services),
            *("--cert-dir", str(keys), "--tls-cert-file", str(keys / "server.crt")),
            *("--tls-private-key-file", str(keys / "server.key")),
            *("--token-auth-file", str(self.machine.folder / "tokens.csv"), "--authorization-mode", "RBAC"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-key-file", str(keys / "accounts.key")),
            *("--service-account-signing-key-file", str(keys / "accounts.key")),
            *("--kubelet-preferred-address-types", "InternalIP", "--allow-privileged"),
            *("--default-not-ready-toleration-seconds", _LOST_AFTER.rstrip("s")),
            *("--default-unreachable-toleration-seconds", _LOST_AFTER.rstrip("s")),
        )

    def _controller_manager(self) -> tuple[str, ...]:
        keys = self._keys
        return (
            str(self._servers / "kube-controller-manager"),
            *("--kubeconfig", str(self.kubeconfig), "--leader-elect=false", "--cert-dir", str(keys)),
            *("--root-ca-file", str(self.ca), "--service-account-private-key-file", str(keys / "accounts.key")),
            *("--node-monitor-grace-period", "24h" if self._patient else _LOST_AFTER),
            *("--horizontal-pod-autoscaler-sync-period", "5s", "--port", "0"),
        )

    def _scheduler(self) -> tuple[str, ...]:
        return (
            str(self._servers / "kube-scheduler"),
            *("--kubeconfig", str(self.kubeconfig), "--leader-elect=false", "--port", "0"),
            *("--cert-dir", str(self._keys)),
        )


def kubeconfig(server: str, ca: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }


def wait_for(condition: Callable[[], bool], what: str, log: Callable[[], str], seconds: float = PATIENCE) -> None:
    """Ask ten times a second. Raises AssertionError, with the end of the log."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not ready within {seconds:g} s: {log()[-2000:]}")
        time.sleep(0.1)
