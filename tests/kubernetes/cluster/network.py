"""The network of a cluster: its machines on one switch, and this machine beside them.

The switch is in the control plane's network namespace; one link leads to it from outside. A cluster has a number,
which is the third part of all its addresses, so that several can run beside each other.
"""

import subprocess
from dataclasses import dataclass

from tests.kubernetes.cluster.machine import Machine

MOST_NODES = 4
_CLUSTERS = 200
_SWITCH = "switch"


@dataclass(frozen=True)
class Addresses:
    """``number``: the cluster's, from 0 to 199. Nodes count from 0."""

    number: int

    @property
    def link(self) -> str:
        """The name of the device on this machine."""
        return f"tgkube{self.number}"

    @property
    def control_plane(self) -> str:
        return f"10.212.{self.number}.1"

    @property
    def host(self) -> str:
        """This machine, as the cluster sees it."""
        return f"10.212.{self.number}.254"

    def node(self, which: int) -> str:
        return f"10.212.{self.number}.{11 + which}"

    def pods(self, which: int) -> str:
        """The addresses of the pods of a node."""
        return f"10.213.{self.number}.{64 * which}/26"

    @property
    def services(self) -> str:
        return f"10.214.{self.number}.0/24"

    @property
    def api_service(self) -> str:
        return f"10.214.{self.number}.1"


def connect_control_plane(machine: Machine) -> Addresses:
    """Make the switch, and the link to it from this machine. Raises CalledProcessError."""
    addresses = _claim(machine)
    machine.set_network("link", "add", _SWITCH, "type", "bridge")
    machine.set_network("address", "add", f"{addresses.control_plane}/24", "dev", _SWITCH)
    machine.set_network("link", "set", "outside", "master", _SWITCH, "up")
    machine.set_network("link", "set", _SWITCH, "up")
    _ip("address", "add", f"{addresses.host}/24", "dev", addresses.link)
    _ip("link", "set", addresses.link, "up")
    return addresses


def connect_node(addresses: Addresses, control_plane: Machine, node: Machine, which: int, nodes: int) -> None:
    """Put a node on the switch, with routes to the pods of every other and from everywhere to its own."""
    port, address = f"port{which}", addresses.node(which)
    control_plane.set_network(
        *("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(node.leader))
    )
    control_plane.set_network("link", "set", port, "master", _SWITCH, "up")
    node.set_network("address", "add", f"{address}/24", "dev", "eth0")
    node.set_network("link", "set", "eth0", "up")
    node.set_network("route", "add", "default", "via", addresses.host)
    for other in range(nodes):
        if other != which:
            node.set_network("route", "add", addresses.pods(other), "via", addresses.node(other))
    control_plane.set_network("route", "add", addresses.pods(which), "via", address)
    _ip("route", "add", addresses.pods(which), "via", address, "dev", addresses.link)
    if which == 0:  # whose kube-proxy serves this machine
        _ip("route", "add", addresses.services, "via", address, "dev", addresses.link)


def disconnect(addresses: Addresses) -> None:
    """Remove the link from this machine, and its routes with it. It may be gone with the control plane already."""
    subprocess.run(["ip", "link", "delete", addresses.link], check=False, capture_output=True)


def _claim(machine: Machine) -> Addresses:
    """The first number whose link does not exist yet."""
    for number in range(_CLUSTERS):
        addresses = Addresses(number)
        made = subprocess.run(
            [
                *("ip", "link", "add", addresses.link, "type", "veth"),
                *("peer", "name", "outside", "netns", str(machine.leader)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode == 0:
            return addresses
        if "File exists" not in made.stderr:
            raise RuntimeError(f"no network device for the cluster: {made.stderr.strip()}")
    raise RuntimeError(f"there are {_CLUSTERS} clusters on this machine already")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
