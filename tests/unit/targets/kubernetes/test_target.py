"""Fleets and traffic of the target, over an API server and gateways in memory."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.memory_api_server import Fault, MemoryApiServer, Object, is_leaving, make_ready
from tests.unit.targets.kubernetes.memory_gateway import MemoryAgent
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, run, table
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.capture import Capture, Redaction
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.traffic import RouteTable
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_errors import ForeignChange, MissingRight
from tidegate.targets.kubernetes.gateways import PROPAGATION, SETTLE
from tidegate.targets.kubernetes.names import fleet_name
from tidegate.targets.kubernetes.options import AutoscalingOptions
from tidegate.targets.kubernetes.start_data import start_data


def test_fleet_is_ready_once_every_gateway_has_its_pods() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        await cluster.target.ensure_fleet(fleet_spec(count=3), 1)
        cluster.agents[sorted(cluster.agents)[0]].away = True
        await cluster.turn(2)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and (status.desired, status.ready, status.starting) == (3, 0, 3)
        for agent in cluster.agents.values():
            agent.away = False
        await cluster.turn(3)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and (status.ready, status.starting) == (3, 0)
        assert all(len(agent.servers(fleet_spec().id)) == 3 for agent in cluster.agents.values())

    run(scenario())


def test_table_is_in_force_when_every_gateway_has_it() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        first, second = cluster.agents.values()
        second.away = True
        with pytest.raises(Transient):
            await cluster.target.set_traffic(table("fraud", 2, {1: 10_000}))
        assert (await cluster.target.observe("fraud")).routes is None
        second.away = False
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 1, {1: 10_000})
        await cluster.turn()
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 2, {1: 10_000})
        assert first.plans["fraud"].table.fence == 2

    run(scenario())


def test_lower_fences_are_dropped() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec(count=2), fence=5)
        await cluster.target.ensure_fleet(fleet_spec(count=9), 4)
        await cluster.target.delete_fleet(fleet_spec().id, 4)
        await cluster.target.set_traffic(RouteTable("fraud", 4))
        await cluster.turn()
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 5, {1: 10_000})
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.desired == 2

    run(scenario())


def test_gateway_that_starts_has_its_tables_before_it_is_ready() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        old = {pod["metadata"]["name"] for pod in cluster.server.pods("gateway")}
        first = sorted(old)[0]
        del cluster.server.objects["pods", first]
        cluster.server.settle()
        new = next(pod for pod in cluster.server.pods("gateway") if pod["metadata"]["name"] not in old)
        new["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        await cluster.turn()
        agent = cluster.agents[new["metadata"]["name"]]
        assert agent.synced
        assert agent.history[0].table == table("fraud", 1, {1: 10_000})
        assert len(agent.servers(fleet_spec().id)) == 2

    run(scenario())


def test_agent_that_starts_again_gets_everything_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        name, agent = next(iter(cluster.agents.items()))
        fresh = MemoryAgent(boot="boot-2")
        cluster.agents[name] = fresh
        uid = next(uid for uid, one in cluster.target.gateways.known.items() if one.pod.name == name)
        cluster.target.gateways.known[uid].client = fresh  # type: ignore[assignment]
        await cluster.turn()
        assert fresh.synced and fresh.plans["fraud"].table == table("fraud", 1, {1: 10_000})
        assert agent.plans["fraud"].digest == fresh.plans["fraud"].digest

    run(scenario())


def test_controller_that_starts_adopts_routes_and_fleets() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        puts = {name: len(agent.history) for name, agent in cluster.agents.items()}
        cluster.restart(controller=2)
        look = await cluster.target.observe("fraud")
        assert look.fleets is None
        await cluster.turn(2)
        look = await cluster.target.observe("fraud")
        assert look.routes == table("fraud", 1, {1: 10_000})
        assert look.fleets is not None and look.fleets[fleet_spec().id].ready == 2
        assert cluster.target.spec(fleet_spec().id) == fleet_spec()
        assert {name: len(agent.history) for name, agent in cluster.agents.items()} == puts

    run(scenario())


def test_gateways_obey_the_controller_whose_lease_is_the_later_one_whatever_the_clocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        former = cluster.target
        monkeypatch.setattr("time.time_ns", lambda: 0)  # the clock of the machine that leads now is far behind
        cluster.restart(controller=2)
        await cluster.turn(2)
        wanted = table("fraud", 2, {1: 10_000})
        await cluster.target.set_traffic(wanted)
        assert {agent.plans["fraud"].table.fence for agent in cluster.agents.values()} == {2}
        with pytest.raises(Transient, match="earlier controller"):
            await former.set_traffic(table("fraud", 9, {1: 10_000}))

    run(scenario())


def test_gateway_that_a_new_controller_has_not_asked_yet_keeps_its_routes() -> None:
    """What this controller would put lacks what only that gateway knows."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        there = [agent.plans["fraud"] for agent in cluster.agents.values()]
        cluster.restart(controller=2)
        target = cluster.target
        assert await target.view.refresh()
        target.gateways.take(target.view.gateways.values())
        await target.read_specs()
        await asyncio.sleep(PROPAGATION)
        with pytest.raises(Transient, match="has not told yet"):
            await target.delete_fleet(fleet_spec().id, 9)
        assert [agent.plans["fraud"] for agent in cluster.agents.values()] == there
        assert cluster.deployments() == [fleet_name(fleet_spec().id)]
        await cluster.turn(2)
        with pytest.raises(Transient, match="still has routes"):
            await target.delete_fleet(fleet_spec().id, 9)

    run(scenario())


def test_earlier_controller_is_refused_by_the_gateways() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        former = cluster.target
        cluster.restart(controller=2)
        await cluster.turn(2)
        await cluster.target.set_traffic(table("fraud", 2, {1: 10_000}))
        with pytest.raises(Transient, match="earlier controller"):
            await former.set_traffic(table("fraud", 9, {1: 10_000}))

    run(scenario())


def test_leaving_pods_are_taken_out_of_the_gateways_first() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec(count=3))
        await cluster.target.ensure_fleet(fleet_spec(count=1), 2)
        await cluster.turn()
        leaving = {pod["metadata"]["name"] for pod in cluster.server.pods("worker") if is_leaving(pod)}
        assert len(leaving) == 2
        for agent in cluster.agents.values():
            assert len(agent.servers(fleet_spec().id)) == 1 and not leaving & agent.servers(fleet_spec().id)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and (status.ready, status.draining) == (1, 2)
        assert len(list(cluster.target.serving())) == 3  # their last counts are still collected

    run(scenario())


def test_deleted_fleet_leaves_the_gateways_and_is_gone_with_its_pods() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        with pytest.raises(Transient, match="still has routes"):
            await cluster.target.delete_fleet(fleet_spec().id, 2)
        await cluster.target.set_traffic(RouteTable("fraud", 2))
        await cluster.target.delete_fleet(fleet_spec().id, 2)
        assert all(not agent.plans for agent in cluster.agents.values())
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and (status.desired, status.draining) == (0, 2)
        cluster.server.remove_leaving()
        await cluster.turn()
        assert await cluster.status(fleet_spec().id) is None
        assert [name for plural, name in cluster.server.objects if name.startswith("tg-")] == []

    run(scenario())


def test_unready_pod_of_a_lost_node_keeps_its_place() -> None:
    """The cluster calls a pod unready when it cannot reach its node; whether it serves, the gateway finds out."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        pod = cluster.server.pods("worker")[0]
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        await cluster.turn(2)
        assert all(pod["metadata"]["name"] in agent.servers(fleet_spec().id) for agent in cluster.agents.values())
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.ready == 1

    run(scenario())


KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "low on resource: memory"}, "(Evicted): low on"),
        ({"phase": "Failed", "reason": "Preempting", "message": "Preempted in order to admit"}, "(Preempting)"),
        ({"phase": "Failed", "reason": "NodeLost"}, "(NodeLost)"),
        ({"phase": "Failed", "reason": "Terminated", "message": "Pod was terminated by imminent node shutdown"},
         "(Terminated)"),
        ({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "message": "taint"}]},
         "(DisruptionTarget): taint"),
    ],
)  # fmt: skip
def test_a_pod_that_the_cluster_ended_is_lost_and_no_failure_of_its_version(status: Object, words: str) -> None:
    """The core takes its traffic away, and waits for the one that replaces it."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        pod = cluster.server.pods("worker")[0]
        worker = {"name": "worker", "ready": False, "restartCount": 3, "state": KILLED}
        pod["status"] = {**status, "containerStatuses": [worker]}
        cluster.server.start = lambda pod: failing(pod)
        cluster.server.settle()
        await cluster.turn(2)
        seen = await cluster.status(fleet_spec().id)
        assert seen is not None and (seen.ready, seen.starting, seen.failure) == (1, 1, None)
        assert words in (seen.problem or "")
        assert all(
            pod["metadata"]["name"] not in agent.servers(fleet_spec().id) for agent in cluster.agents.values()
        )
        for other in cluster.server.pods("worker"):
            if other is not pod:
                make_ready(other)
        await cluster.turn(2)
        seen = await cluster.status(fleet_spec().id)
        assert seen is not None and (seen.ready, seen.failure, seen.problem) == (2, None, None)

    run(scenario())


# --- what goes wrong in the cluster ---


def waiting(reason: str, message: str = "") -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "worker", "image": "tidegate:test", "state": state, "ready": False}


def failing(pod: Object, container: Object | None = None, scheduled: str = "True", message: str = "") -> None:
    if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway":
        make_ready(pod)
        return
    condition = {"type": "PodScheduled", "status": scheduled, "reason": "Unschedulable", "message": message}
    pod["status"] = {"phase": "Pending", "conditions": [condition], "podIP": "10.1.0.1"}
    pod["status"]["containerStatuses"] = [container] if container else []


CRASHED = {"exitCode": 3, "message": '{"code":"ArtifactError","message":"no model","permanent":true}'}


@pytest.mark.parametrize(
    ("container", "scheduled", "patience", "words"),
    [
        (waiting("ImagePullBackOff", "not found"), "True", 30, "cannot be pulled (ImagePullBackOff): not found"),
        (waiting("InvalidImageName"), "True", 0, "InvalidImageName"),
        (None, "False", 120, "no node for it: 0/3 nodes"),
        (
            {**waiting("CrashLoopBackOff"), "restartCount": 1, "lastState": {"terminated": CRASHED}},
            "True",
            0,
            "no model",
        ),
        (
            {**waiting("CrashLoopBackOff"), "restartCount": 3, "lastState": {"terminated": {"exitCode": 1}}},
            "True",
            0,
            "exit code 1",
        ),
        (
            {
                **waiting("CrashLoopBackOff"),
                "restartCount": 3,
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            "True",
            0,
            "more memory than its limit",
        ),
    ],
)
def test_fleet_fails_by_name_after_patience(
    container: Object | None, scheduled: str, patience: int, words: str
) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.server.start = lambda pod: failing(pod, container, scheduled, "0/3 nodes are available")
        await cluster.turn()
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and (status.failure is None) == (patience > 0)
        await asyncio.sleep(patience)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure is not None and words in status.failure

    run(scenario())


def test_problem_that_passes_does_not_count() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.server.start = lambda pod: failing(pod, waiting("ErrImagePull"))
        await cluster.turn()
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn()
        await asyncio.sleep(20)
        for pod in cluster.server.pods("worker"):
            make_ready(pod)
            pod["status"]["containerStatuses"] = []
        await cluster.turn()
        await asyncio.sleep(20)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure is None

    run(scenario())


@pytest.mark.parametrize(
    ("first", "following"),
    [
        ((waiting("ErrImagePull"), "True", ""), (waiting("ImagePullBackOff"), "True", "")),
        ((None, "False", "0/3 nodes are available"), (None, "False", "0/2 nodes are available: 2 are tainted")),
    ],
)
def test_patience_counts_from_the_first_failure_whatever_its_words_and_its_pod(
    first: tuple[Object | None, str, str], following: tuple[Object | None, str, str]
) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.server.start = lambda pod: failing(pod, *first)
        await cluster.turn()
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure is None
        assert status.problem is not None and "replica tg-fraud" in status.problem  # at once
        patience = OPTIONS.pull_patience if first[0] else OPTIONS.scheduling_patience
        turns = 6
        for number in range(turns):
            if number == 2:  # another pod takes the place of each, and says nothing at first
                for pod in cluster.server.pods("worker"):
                    del cluster.server.objects["pods", pod["metadata"]["name"]]
                cluster.server.start = lambda pod: failing(pod)
                cluster.server.settle()
            else:
                for pod in cluster.server.pods("worker"):
                    failing(pod, *(following, first)[number % 2])
            await cluster.turn()
            status = await cluster.status(fleet_spec().id)
            assert status is not None and status.failure is None
            await asyncio.sleep(patience / turns)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure is not None

    run(scenario())


def test_problem_of_a_fleet_that_was_well_since_is_a_new_one() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.server.start = lambda pod: failing(pod, waiting("ErrImagePull"))
        await cluster.turn()
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn()
        await asyncio.sleep(OPTIONS.pull_patience - 1)
        for pod in cluster.server.pods("worker"):
            make_ready(pod)
            pod["status"]["containerStatuses"] = []
        await cluster.turn()
        for pod in cluster.server.pods("worker"):
            failing(pod, waiting("ErrImagePull"))
        await cluster.turn()
        await asyncio.sleep(2)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure is None

    run(scenario())


def test_quota_counts_from_the_first_failure_whatever_the_api_server_says() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        deployment = cluster.server.objects["deployments", fleet_name(fleet_spec().id)]
        for used in range(4):
            message = f"exceeded quota: compute, used: {used}"
            condition = {"type": "ReplicaFailure", "status": "True", "message": message}
            deployment["status"] = {"conditions": [condition]}
            await cluster.turn()
            status = await cluster.status(fleet_spec().id)
            assert status is not None and message in str(status.problem)
            await asyncio.sleep(OPTIONS.scheduling_patience / 4)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure is not None and "used: 3" in status.failure

    run(scenario())


def test_pod_that_does_not_end_is_named_with_its_node() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        await cluster.target.set_traffic(RouteTable("fraud", 2))
        await cluster.target.delete_fleet(fleet_spec().id, 2)
        first, second = cluster.server.pods("worker")
        for pod in (first, second):
            pod["spec"]["nodeName"] = "node-2"
            pod["metadata"]["deletionGracePeriodSeconds"] = 30
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.problem is None
        del cluster.server.objects["pods", second["metadata"]["name"]]
        await asyncio.sleep(41)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and (status.desired, status.ready, status.draining) == (0, 0, 1)
        assert status.problem is not None and status.failure is None
        assert first["metadata"]["name"] in status.problem and "node-2" in status.problem

    run(scenario())


def test_quota_is_reported_after_patience() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        deployment = cluster.server.objects["deployments", fleet_name(fleet_spec().id)]
        message = 'pods "x" is forbidden: exceeded quota: compute'
        deployment["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}
        await cluster.turn()
        await asyncio.sleep(OPTIONS.scheduling_patience)
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.failure == f"pods cannot be created: {message}"

    run(scenario())


# --- what others do ---


def test_foreign_change_of_size_is_reported_and_not_fought() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec(count=2))
        cluster.server.edit(
            "deployments",
            fleet_name(fleet_spec().id),
            {"metadata": {"name": fleet_name(fleet_spec().id)}, "spec": {"replicas": 4}},
        )
        await cluster.turn()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.desired == 4
        with pytest.raises(ForeignChange, match=r"changed by somebody else.*replicas is 4, tidegate had set 2"):
            await cluster.target.ensure_fleet(fleet_spec(count=2), 2)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.desired == 4

    run(scenario())


def test_foreign_change_of_another_field_is_named_with_its_manager() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        name = fleet_name(fleet_spec().id)
        change = {"metadata": {"name": name}, "spec": {"revisionHistoryLimit": 9}}
        cluster.server.edit("deployments", name, change)
        with pytest.raises(ForeignChange, match=r"changed by somebody else.*kubectl-edit.*revisionHistoryLimit"):
            await cluster.target.ensure_fleet(fleet_spec(count=3), 2)
        assert cluster.server.objects["deployments", name]["spec"]["replicas"] == 2

    run(scenario())


def test_pods_that_run_something_else_get_no_requests(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec(count=2))
        pod = cluster.server.pods("worker")[0]
        pod["spec"]["containers"][0]["image"] = "somebody/else:1"
        await cluster.turn(2)
        name = pod["metadata"]["name"]
        assert all(name not in agent.servers(fleet_spec().id) for agent in cluster.agents.values())
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.ready == 1
        assert f"pod {name} runs something else than tidegate asked for (worker.image)" in caplog.text

    run(scenario())


def test_pods_with_an_identity_of_a_cloud_run_what_was_asked_for() -> None:
    """EKS and Azure add variables to pods whose ServiceAccount has one."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec(count=2))
        identity, other = cluster.server.pods("worker")
        added = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/models", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}
        identity["spec"]["containers"][0]["env"] += [{"name": name, "value": v} for name, v in added.items()]
        other["spec"]["containers"][0]["env"] += [{"name": "LD_PRELOAD", "value": "/tmp/evil.so"}]
        await cluster.turn(2)
        for agent in cluster.agents.values():
            assert agent.servers(fleet_spec().id) == {identity["metadata"]["name"]}

    run(scenario())


def test_nothing_without_our_labels_is_touched() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        name = fleet_name(fleet_spec().id)
        foreign = {"metadata": {"name": name, "labels": {}}, "spec": {}}
        cluster.server.objects["deployments", name] = foreign
        with pytest.raises(TargetRefused, match="is not this tidegate's"):
            await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.target.delete_fleet(fleet_spec().id, 9)
        assert cluster.server.objects["deployments", name] is foreign

    # The fake makes no pods of an empty Deployment.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.targets.kubernetes.memory_api_server.MemoryApiServer.settle", lambda self: None)
        run(scenario())


def test_fleets_without_a_record_are_retired() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        await cluster.target.ensure_fleet(fleet_spec("kept"), 1)
        cluster.restart(controller=2)
        await cluster.lifecycle.retire_unknown({"kept"})
        await cluster.turn(3)
        assert cluster.deployments() == [fleet_name(fleet_spec("kept").id)]
        assert all("fraud" not in agent.plans for agent in cluster.agents.values())

    run(scenario())


def test_fleet_that_is_deployed_while_others_are_retired_stays() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.lifecycle.retire_unknown(set())
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn(12)
        await asyncio.sleep(20)
        await cluster.turn(2)
        assert cluster.deployments() == [fleet_name(fleet_spec().id)]

    run(scenario())


# --- the API server's faults ---


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH .*deployments", 429, headers={"retry-after": "1"}),
        Fault("PATCH .*deployments", 500, times=2),
        Fault("PATCH .*deployments", 503, times=2),
        Fault("PATCH .*deployments", 0, times=2),
        Fault("PATCH .*deployments", 409, {"reason": "Conflict", "message": "the object has been modified"}),
        Fault("PATCH .*secrets", 0),
        Fault("GET .*deployments/", 504),
    ],
    ids=lambda fault: f"{fault.status}-{fault.match}",
)
def test_passing_faults_are_retried(fault: Fault) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        cluster.server.faults.append(fault)
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn(2)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.ready == 2 and fault.times == 0

    run(scenario())


def test_list_whose_next_page_has_expired_begins_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        cluster.server.faults.append(
            Fault("GET .*pods", 410, {"reason": "Expired", "message": "too old"}, times=2)
        )
        assert await cluster.target.view.refresh()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.ready == 2

    run(scenario())


def test_faults_that_last_end_with_the_deadline() -> None:
    async def scenario() -> float:
        cluster = Cluster()
        await cluster.begin()
        cluster.server.faults.append(Fault("PATCH", 429, {"message": "slow down"}, times=10_000))
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Transient, match="429 to patch secrets tg-fraud"):
            await cluster.target.ensure_fleet(fleet_spec(), 1)
        return asyncio.get_running_loop().time() - begun

    assert run(scenario()) <= 8.0


def test_partial_apply_is_completed_by_the_next_try() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        cluster.server.faults.append(Fault("PATCH .*poddisruptionbudgets", 503, times=10_000))
        with pytest.raises(Transient):
            await cluster.target.ensure_fleet(fleet_spec(), 1)
        cluster.server.faults.clear()
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        kinds = {plural for plural, name in cluster.server.objects if name.startswith(fleet_name(fleet_spec().id))}
        assert kinds == {"secrets", "deployments", "services", "poddisruptionbudgets", "pods"}

    run(scenario())


def test_missing_right_names_verb_and_resource() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        cluster.server.forbidden.add(("patch", "deployments"))
        with pytest.raises(MissingRight, match="add verb patch on deployments to the Role"):
            await cluster.target.ensure_fleet(fleet_spec(), 1)

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"message": 'pods "x" is forbidden: exceeded quota: compute'}, "a quota of namespace ml is exceeded"),
        (
            {
                "message": "because it is being terminated",
                "details": {"causes": [{"reason": "NamespaceTerminating"}]},
            },
            "namespace ml is being deleted: choose another one",
        ),
    ],
)
def test_refusals_say_what_to_do(answer: Object, words: str) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.begin()
        cluster.server.faults.append(Fault("PATCH .*secrets", 403, answer))
        with pytest.raises(TargetRefused, match=words):
            await cluster.target.ensure_fleet(fleet_spec(), 1)

    run(scenario())


def test_expired_token_is_said_and_keeps_what_is_known() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        cluster.server.faults.append(Fault("", 401, {"message": "Unauthorized"}, times=10_000))
        with pytest.raises(Transient, match=r"refuses the credentials \(401\).*renew them"):
            await cluster.target.ensure_fleet(fleet_spec(), 2)
        await cluster.turn()
        look = await cluster.target.observe("fraud")
        assert look.routes == table("fraud", 1, {1: 10_000})

    run(scenario())


def test_while_the_api_server_is_away_fleets_are_unknown_and_traffic_can_move() -> None:
    """The rollout keeps its last weights: nothing advances on what is unknown; and it can still go back."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        await cluster.target.ensure_fleet(fleet_spec(generation=2), 2)
        await cluster.turn(2)
        await cluster.target.set_traffic(table("fraud", 3, {1: 9_000, 2: 1_000}))
        cluster.server.away = True
        await cluster.turn(3)
        look = await cluster.target.observe("fraud")
        assert look.fleets is None
        assert look.routes == table("fraud", 3, {1: 9_000, 2: 1_000})
        await cluster.target.set_traffic(table("fraud", 4, {1: 10_000}))
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 4, {1: 10_000})
        assert {len(agent.servers(fleet_spec().id)) for agent in cluster.agents.values()} == {2}
        cluster.server.away = False
        await cluster.turn(2)
        status = await cluster.status(fleet_spec(generation=2).id)
        assert status is not None and status.ready == 2

    run(scenario())


def test_pods_serve_on_when_another_version_of_tidegate_takes_over() -> None:
    """It would start them from another image, and with other files."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        old = {pod["metadata"]["name"] for pod in cluster.server.pods("worker")}
        cluster.options = replace(OPTIONS, image="tidegate:other")
        cluster.restart(controller=2)
        await cluster.turn(3)
        assert [agent.servers(fleet_spec().id) for agent in cluster.agents.values()] == [old, old]
        await cluster.target.ensure_fleet(fleet_spec(count=3), 2)
        await cluster.turn(3)
        images = {pod["spec"]["containers"][0]["image"] for pod in cluster.server.pods("worker")}
        assert images == {"tidegate:test", "tidegate:other"}
        assert [len(agent.servers(fleet_spec().id)) for agent in cluster.agents.values()] == [3, 3]
        cluster.server.pods("worker")[0]["spec"]["containers"] = [{"name": "worker", "image": "somebody's"}]
        await cluster.turn(2)
        assert [len(agent.servers(fleet_spec().id)) for agent in cluster.agents.values()] == [2, 2]

    run(scenario())


def test_pods_that_an_earlier_version_left_without_a_note_serve_on() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        secret = cluster.server.objects["secrets", f"{fleet_name(fleet_spec().id)}-fleet"]
        del secret["data"]["asked.json"]
        cluster.options = replace(OPTIONS, image="tidegate:other")
        cluster.restart(controller=2)
        await cluster.turn(3)
        assert [len(agent.servers(fleet_spec().id)) for agent in cluster.agents.values()] == [2, 2]
        await cluster.target.ensure_fleet(fleet_spec(count=3), 2)
        await cluster.turn(3)
        assert [len(agent.servers(fleet_spec().id)) for agent in cluster.agents.values()] == [3, 3]

    run(scenario())


def test_fleet_that_the_cluster_scales_is_whole_in_the_size_that_the_cluster_wants() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), fleet_spec(count=3)
        cluster.options = replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("hpa", 1, 9)})
        cluster.restart()
        name = fleet_name(fleet.id)

        def scale(pods: int) -> None:
            cluster.server.edit("deployments", name, {"metadata": {}, "spec": {"replicas": pods}}, "hpa")

        async def counts() -> tuple[int, int]:
            status = await cluster.status(fleet.id)
            assert status is not None
            return status.desired, status.ready

        await cluster.deploy(fleet)
        assert cluster.server.objects["deployments", name]["spec"]["replicas"] == 3
        assert await counts() == (3, 3)
        cluster.server.start = lambda pod: None
        scale(9)
        await cluster.turn(3)
        assert await counts() == (3, 3)
        await cluster.target.ensure_fleet(fleet, 2)
        assert cluster.server.objects["deployments", name]["spec"]["replicas"] == 9
        scale(1)
        await cluster.turn(3)
        cluster.server.remove_leaving()
        await cluster.turn(3)
        assert await counts() == (3, 3)
        cluster.restart(controller=2)
        await cluster.turn(3)
        assert await counts() == (3, 3)
        for pod in cluster.server.pods("worker"):
            pod["status"]["conditions"] = []
        cluster.restart(controller=3)
        for agent in cluster.agents.values():
            agent.plans.clear()
        await cluster.turn(3)
        assert await counts() == (3, 0)

    run(scenario())


def test_unsupported_fleets_are_refused_by_name() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        spec = fleet_spec()
        for capture, why in (
            (Capture("file:///captures"), "pods capture to s3://"),
            (Capture("s3://a/b", redaction=Redaction(key="payroll")), "mask or drop instead"),
        ):
            captured: FleetSpec = replace(spec, variant=replace(spec.variant, capture=capture))
            with pytest.raises(TargetRefused, match=why):
                await cluster.target.ensure_fleet(captured, 1)

    run(scenario())


@pytest.mark.parametrize(("keys", "policies"), [({"AKIA": "secret"}, True), ({}, False)])
def test_workers_of_the_queue_take_unsigned_requests_only_behind_network_policies(
    keys: dict[str, str], policies: bool
) -> None:
    spec = fleet_spec()
    queued = replace(spec, variant=replace(spec.variant, asynchronous=AsyncConfig("s3://data/out")))
    options = replace(OPTIONS, network_policies=policies)
    start = msgspec.json.decode(start_data(queued, Settings(access_keys=keys), ImageTable(), options))
    assert start["queued"] and start["keys_file"] is None and start["invocation_timeout"] == 3600
    with pytest.raises(TargetRefused, match="network_policies"):
        start_data(queued, Settings(access_keys={"AKIA": "secret"}), ImageTable(), OPTIONS)


def test_routes_are_in_force_once_clients_reach_a_gateway_by_its_service() -> None:
    """A gateway with all routes is not in its Service before the cluster calls it ready, and every node forwards to
    it a moment later: an endpoint that was in service before would refuse its first requests."""

    def start(pod: Object) -> None:
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] != "gateway":
            make_ready(pod)

    async def scenario() -> None:
        cluster, fleet = Cluster(server=MemoryApiServer(start=start)), fleet_spec()
        await cluster.lifecycle.turn()
        await cluster.target.ensure_fleet(fleet, 1)
        await cluster.lifecycle.turn()
        await asyncio.sleep(SETTLE)
        await cluster.lifecycle.turn()
        assert all(agent.synced for agent in cluster.agents.values())
        routes = table("fraud", 1, {fleet.id.generation: 10_000})
        for ready in (False, True):  # as the cluster says
            if ready:
                cluster.mark_gateways()
            await cluster.lifecycle.turn()
            with pytest.raises(Transient, match="no gateway takes traffic"):
                await cluster.target.set_traffic(routes)
            assert (await cluster.target.observe("fraud")).routes is None
        await asyncio.sleep(PROPAGATION)
        await cluster.lifecycle.turn()
        await cluster.target.set_traffic(routes)
        assert (await cluster.target.observe("fraud")).routes == routes

    run(scenario())


def test_new_controller_steers_gateways_that_the_cluster_calls_unready() -> None:
    """An earlier one let them take traffic, and they may serve: their node cannot be reached by the cluster."""

    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        cluster.restart(controller=2)
        for pod in cluster.server.pods("gateway"):
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        await cluster.lifecycle.turn()
        routes = table("fraud", 2, {1: 5_000, 2: 5_000})
        await cluster.target.set_traffic(routes)
        assert (await cluster.target.observe("fraud")).routes == routes

    run(scenario())
