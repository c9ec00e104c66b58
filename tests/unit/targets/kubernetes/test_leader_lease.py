"""The Lease object that shows which controller leads follows the lease in the database."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import kubernetes_validate
import pytest

from tests.unit.targets.kubernetes.memory_api_server import Fault, MemoryApiServer
from tests.unit.targets.kubernetes.target_harness import Cluster, memory_api, run
from tidegate.targets.kubernetes.cluster_view import CUT_OFF
from tidegate.targets.kubernetes.leader_lease import DURATION, LeaderLease

NAME = "tidegate-controller"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Leaders:
    """Controllers that take turns to lead, on one clock of the loop; ``skew``: of their own clocks, in seconds."""

    def __init__(self) -> None:
        self.server = MemoryApiServer()

    def lead(self, fence: int, holder: str, skew: float = 0) -> LeaderLease:
        def now() -> datetime:
            return BEGAN + timedelta(seconds=skew + asyncio.get_running_loop().time())

        return LeaderLease(memory_api(self.server), "tidegate", fence, holder, now)

    @property
    def shown(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.server.objects["leases", NAME]["spec"]
        return spec


async def renew(lease: LeaderLease) -> None:
    await lease.renew(asyncio.get_running_loop().time())


def test_leader_is_shown_and_renews() -> None:
    async def scenario() -> None:
        leaders = Leaders()
        first = leaders.lead(7, "pod-a")
        await renew(first)
        before = dict(leaders.shown)
        await asyncio.sleep(5)
        await renew(first)
        after = dict(leaders.shown)
        assert (after["holderIdentity"], after["leaseTransitions"]) == ("pod-a", 7)
        assert after["acquireTime"] == before["acquireTime"] < after["renewTime"]
        assert "patch" in {line.split()[0].lower() for line in leaders.server.requests}
        lease = {key: leaders.server.objects["leases", NAME][key] for key in ("apiVersion", "kind", "spec")}
        lease["metadata"] = {"name": NAME}
        for version in ("1.25", "1.37"):
            kubernetes_validate.validate(lease, version, strict=True)

    run(scenario())


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
def test_successor_shows_itself_at_once_and_a_former_leader_writes_no_more(
    skew: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        leaders = Leaders()
        first, second = leaders.lead(1, "pod-a"), leaders.lead(2, "pod-b", skew)
        await renew(first)
        await renew(second)
        assert leaders.shown["holderIdentity"] == "pod-b"
        for _ in range(10):  # it has not noticed yet
            await asyncio.sleep(5)
            await renew(first)
            await renew(second)
            assert leaders.shown["holderIdentity"] == "pod-b"
        await first.release()
        assert leaders.shown["holderIdentity"] == "pod-b"

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert [record.message for record in caplog.records] == [
        "who leads is not shown in the cluster: Lease tidegate-controller is renewed by pod-b, whose fence is higher"
    ]


def test_controller_of_a_restored_database_is_shown_once_the_other_renews_no_more() -> None:
    async def scenario() -> None:
        leaders = Leaders()
        await renew(leaders.lead(90, "pod-a"))
        restored = leaders.lead(3, "pod-b")
        for _ in range(DURATION // 5):
            await renew(restored)
            assert leaders.shown["holderIdentity"] == "pod-a"
            await asyncio.sleep(5)
        await renew(restored)
        assert (leaders.shown["holderIdentity"], leaders.shown["leaseTransitions"]) == ("pod-b", 3)

    run(scenario())


def test_end_shows_that_nobody_leads_and_the_next_one_takes_it_at_once() -> None:
    async def scenario() -> None:
        leaders = Leaders()
        first = leaders.lead(5, "pod-a")
        await first.release()
        assert not leaders.server.objects
        await renew(first)
        await first.release()
        assert leaders.shown["holderIdentity"] == ""
        await renew(leaders.lead(2, "pod-b"))
        assert leaders.shown["holderIdentity"] == "pod-b"

    run(scenario())


def test_lease_of_somebody_else_is_left_alone() -> None:
    async def scenario() -> None:
        leaders = Leaders()
        foreign = {"metadata": {"name": NAME, "labels": {}}, "spec": {"holderIdentity": "operator"}}
        leaders.server.objects["leases", NAME] = foreign
        lease = leaders.lead(1, "pod-a")
        await renew(lease)
        await lease.release()
        assert leaders.server.objects["leases", NAME] == foreign

    run(scenario())


@pytest.mark.parametrize("status", [403, 500])
def test_missing_right_or_server_is_logged_once_and_harms_nothing(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        leaders = Leaders()
        answer = {"message": "leases is forbidden: User cannot get leases"}
        leaders.server.faults.append(Fault("leases", status, answer, times=1_000))
        lease = leaders.lead(1, "pod-a")
        await renew(lease)
        await renew(lease)
        leaders.server.faults.clear()
        await renew(lease)
        assert leaders.shown["holderIdentity"] == "pod-a"

    with caplog.at_level(logging.WARNING, logger="tidegate.targets.kubernetes.leader_lease"):
        run(scenario())
    assert len([one for one in caplog.records if one.message.startswith("who leads is not shown")]) == 1


def test_end_of_a_controller_does_not_wait_for_a_cluster_that_is_away() -> None:
    async def scenario() -> float:
        cluster = Cluster()
        cluster.lifecycle.start()
        await cluster.lifecycle.show_leader()
        assert cluster.server.objects["leases", NAME]["spec"]["leaseTransitions"] == 1
        cluster.server.away = True
        began = asyncio.get_running_loop().time()
        await cluster.lifecycle.stop(drain=True)
        return asyncio.get_running_loop().time() - began

    assert run(scenario()) <= 2.5


LABELS = {"app.kubernetes.io/managed-by": "tidegate", "app.kubernetes.io/component": "controller"}


def led_pods(leaders: Leaders) -> list[str]:
    """The pods that the controllers' Service selects."""
    return sorted(
        pod["metadata"]["name"]
        for pod in leaders.server.pods("controller")
        if pod["metadata"]["labels"].get("tidegate.io/leader") == "tidegate"
    )


def with_pods(*names: str) -> Leaders:
    leaders = Leaders()
    for name in names:
        leaders.server.objects["pods", name] = {"metadata": {"name": name, "labels": dict(LABELS)}}
    return leaders


def test_service_selects_the_pod_of_the_leader_alone() -> None:
    async def scenario() -> None:
        leaders = with_pods("pod-a", "pod-b")
        first, second = leaders.lead(7, "pod-a"), leaders.lead(8, "pod-b")
        await renew(first)
        assert led_pods(leaders) == ["pod-a"]
        # The first one's container was started again: its pod has the label still, and stands by.
        await renew(second)
        assert led_pods(leaders) == ["pod-b"]
        await renew(first)  # it has not noticed yet
        assert led_pods(leaders) == ["pod-b"]
        before = len(leaders.server.requests)
        await renew(second)
        assert not [one for one in leaders.server.requests[before:] if one.startswith("PATCH") and "/pods/" in one]
        await second.release()
        assert led_pods(leaders) == []

    run(scenario())


def test_leader_of_another_installation_keeps_its_label() -> None:
    async def scenario() -> None:
        leaders = with_pods("pod-a", "other")
        leaders.server.objects["pods", "other"]["metadata"]["labels"]["tidegate.io/leader"] = "blue"
        await renew(leaders.lead(7, "pod-a"))
        assert led_pods(leaders) == ["pod-a"]
        assert leaders.server.objects["pods", "other"]["metadata"]["labels"]["tidegate.io/leader"] == "blue"

    run(scenario())


def test_controller_outside_the_cluster_has_no_pod_to_label() -> None:
    async def scenario() -> None:
        leaders = with_pods("pod-a")
        await renew(leaders.lead(7, "a machine"))
        assert leaders.shown["holderIdentity"] == "a machine" and led_pods(leaders) == []

    run(scenario())


def test_controller_that_does_not_see_the_cluster_is_cut_off_after_a_while() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        assert cluster.provider.cut_off() is None
        cluster.server.away = True
        began = asyncio.get_running_loop().time()
        while cluster.provider.cut_off() is None:
            await cluster.turn()
            await asyncio.sleep(1)
        assert CUT_OFF <= asyncio.get_running_loop().time() - began < CUT_OFF + 20
        assert "cannot be reached" in str(cluster.provider.cut_off())
        cluster.server.away = False
        await cluster.turn()
        assert cluster.provider.cut_off() is None

    run(scenario())


def test_controller_that_never_saw_the_cluster_is_cut_off_as_well() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.server.away = True
        assert cluster.provider.cut_off() is None
        await cluster.turn()
        await asyncio.sleep(CUT_OFF)
        assert cluster.provider.cut_off() is not None

    run(scenario())
