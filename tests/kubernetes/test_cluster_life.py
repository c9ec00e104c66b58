"""What a cluster leaves behind: nothing, however often one was started; and clusters that break or only count."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.kubernetes.cluster.control_plane import wait_for
from tests.kubernetes.cluster.harness import Cluster, why_not
from tests.kubernetes.test_cluster import deployment, ready

TUNABLES = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
)


def traces() -> dict[str, object]:
    """What a cluster could leave on this machine."""
    groups = Path("/sys/fs/cgroup")
    return {
        "devices": lines("ip", "-o", "link", "show"),
        "routes": lines("ip", "route", "show"),
        "mounts": sorted(Path("/proc/self/mounts").read_text().splitlines()),
        "filters": lines("iptables-save", "-c") if Path("/usr/sbin/iptables-save").exists() else [],
        "groups": sorted(str(path) for path in groups.glob(f"*/tidegate-test-{os.getpid()}-*")),
        "namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "folders": sorted(
            str(path) for place in ("/var/lib", "/var/log", "/run", "/opt") for path in Path(place).iterdir()
        ),
        "tunables": {name: (Path("/proc/sys") / name).read_text() for name in TUNABLES},
    }


def lines(*command: str) -> list[str]:
    return sorted(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())


@pytest.mark.long
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_nothing_is_left_behind_twice_in_a_row() -> None:
    before = traces()
    for _ in range(2):
        with Cluster(nodes=1) as cluster:
            cluster.kubectl("apply", "-f", "-", stdin=deployment("real", 2))
            wait_for(lambda: ready(cluster, "real") == 2, "the deployment", lambda: cluster.log("kubelet", "n1"))
            folder = cluster.folder
            inside = [cluster.nodes[0].machine.leader, cluster.control_plane.machine.leader]
        assert traces() == before
        assert not folder.exists()
        assert [pid for pid in inside if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.long
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_pods_of_a_lost_node_are_started_elsewhere() -> None:
    with Cluster(nodes=2) as cluster:
        cluster.kubectl("apply", "-f", "-", stdin=deployment("spread", 4))
        wait_for(lambda: ready(cluster, "spread") == 4, "the deployment", lambda: cluster.log("kubelet", "n1"))
        cluster.node("n2").kill()

        on_n1 = ("get", "pods", "-o", "name", "--field-selector", "spec.nodeName=n1,status.phase=Running")
        wait_for(
            lambda: len(cluster.kubectl(*on_n1).split()) == 4, "the pods on n1", lambda: cluster.log("scheduler")
        )


@pytest.mark.long
@pytest.mark.skipif(why_not(real_nodes=False) is not None, reason=str(why_not(real_nodes=False)))
def test_fake_nodes_carry_hundreds_of_pods() -> None:
    with Cluster(fake_nodes=3) as cluster:
        cluster.kubectl("apply", "-f", "-", stdin=deployment("many", 300))
        wait_for(lambda: ready(cluster, "many") == 300, "the deployment", lambda: cluster.log("scheduler"))
        cluster.kubectl("delete", "deployment", "many")
        wait_for(
            lambda: not cluster.kubectl("get", "pods", "-o", "name"), "the end", lambda: cluster.log("scheduler")
        )
