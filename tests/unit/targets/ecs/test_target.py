"""The target at ECS against the simulator: services, weights of the listener rule, rollouts of the real loops."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.samples import canary, percent, version
from tests.unit.targets.aws.shapes import ShapeChecked
from tests.unit.targets.ecs.ecs_simulator import EcsSimulator
from tests.virtual_platform import ERRORS, VirtualPlatform, context, serving
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid, TargetRefused, Transient
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.traffic import Route, RouteTable
from tidegate.rollout.plan import compile_plan
from tidegate.serving.contract.images import ImageTable
from tidegate.simulation.world import START
from tidegate.targets.ecs.options import EcsOptions, group_name, path_pattern
from tidegate.targets.ecs.provider import EcsLifecycle, join_parts
from tidegate.targets.ecs.target import EcsTarget

OPTIONS = EcsOptions(
    region="eu-central-1",
    cluster="models",
    image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/tidegate:1",
    execution_role="arn:aws:iam::123456789012:role/execution",
    listener="arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/models/50dc6c495c0c9188/f2f7dc8efc522ab2",
    vpc="vpc-0123456789abcdef0",
    subnets=("subnet-0123456789abcdef0",),
    infrastructure_role="arn:aws:iam::123456789012:role/infrastructure",
    security_groups=("sg-0123456789abcdef0",),
)
FLEET, NEXT = FleetId("fraud", 1, "AllTraffic"), FleetId("fraud", 2, "AllTraffic")
PATH = path_pattern("fraud")


def model(name: str) -> Model:
    return Model(name, (ContainerDefinition("tidegate/xgboost", data_url="s3://models/fraud.ubj"),), START)


def spec(generation: int = 1, config: str = "v1", count: int = 2) -> FleetSpec:
    variant = VariantSpec("AllTraffic", model("model"), count)
    return FleetSpec(FleetId("fraud", generation, "AllTraffic"), config, variant, count)


def table(fence: int, **shares: int) -> RouteTable:
    routes = tuple(Route(FleetId("fraud", int(name[1:]), "AllTraffic"), share) for name, share in shares.items())
    return RouteTable("fraud", fence, routes)


class Stage:
    def __init__(self) -> None:
        self.aws = EcsSimulator()
        self.calls = ShapeChecked(self.aws)
        self.target = self.again()

    def again(self) -> EcsTarget:
        return EcsTarget(self.calls, OPTIONS, "id", ImageTable(), lambda name: None)

    async def settle(self, fleet: FleetSpec, fence: int) -> None:
        await self.target.ensure_fleet(fleet, fence)
        for _ in range(30):
            await self.target.observe("fraud")

    @property
    def rule(self) -> dict[str, Any]:
        (rule,) = self.aws.rules.values()
        return rule

    def weights(self) -> list[int]:
        return [group["Weight"] for group in self.rule["Actions"][0]["ForwardConfig"]["TargetGroups"]]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_fleet_is_a_service_that_is_ready_when_its_targets_are_healthy(stage: Stage) -> None:
    async def play() -> None:
        await stage.target.ensure_fleet(spec(), 1)
        ready = []
        for _ in range(10):
            fleets = (await stage.target.observe("fraud")).fleets
            assert fleets is not None
            ready.append(fleets[FLEET].ready)
        assert ready[0] == 0 and ready[-1] == 2

    asyncio.run(play())
    (task,) = stage.aws.tasks.values()
    assert (task["cpu"], task["memory"]) == ("1024", "2048")
    assert stage.weights() == [0]


def test_a_rule_comes_before_those_of_others_that_take_every_path(stage: Stage) -> None:
    for number, path in ((1, "/shop/*"), (50_000, "/*")):
        condition = {"Field": "path-pattern", "PathPatternConfig": {"Values": [path]}}
        rule = {"RuleArn": path, "Priority": str(number), "Conditions": [condition]}
        stage.aws.rules[path] = {**rule, "Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": []}}]}
    asyncio.run(stage.target.ensure_fleet(spec(), 1))
    assert [rule["Priority"] for rule in stage.aws.rules.values()] == ["1", "50000", "2"]


def test_weights_follow_the_table_exactly(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.target.set_traffic(table(2, g1=10_000))
        await stage.settle(spec(2, "v2"), 3)
        await stage.target.set_traffic(table(4, g1=9000, g2=1000))
        look = await stage.target.observe("fraud")
        assert look.routes == table(4, g1=9000, g2=1000)
        assert stage.weights() == [9, 1]
        stage.target = stage.again()
        look = await stage.target.observe("fraud")
        assert look.routes == table(4, g1=9000, g2=1000)
        await stage.target.set_traffic(table(3, g1=10_000))
        assert stage.weights() == [9, 1]

    asyncio.run(play())


def test_shares_that_weights_cannot_show_are_in_force_all_the_same(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g1=3333, g2=6667))
        assert (await stage.target.observe("fraud")).routes == table(3, g1=3333, g2=6667)
        assert sum(stage.weights()) <= 999

    asyncio.run(play())


def test_a_rule_changed_by_somebody_else_is_reported_and_not_fought(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g1=9000, g2=1000))
        groups = stage.rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
        groups[1]["Weight"] = 9
        with pytest.raises(TargetRefused, match="was changed by somebody else"):
            await stage.target.set_traffic(table(4, g1=8000, g2=2000))
        assert stage.weights() == [9, 9]
        groups[1]["Weight"] = 1
        await stage.target.set_traffic(table(4, g1=8000, g2=2000))
        assert stage.weights() == [4, 1]

    asyncio.run(play())


@pytest.mark.parametrize(
    "operation",
    ["CreateTargetGroup", "CreateRule", "RegisterTaskDefinition", "CreateService", "AddTags", "ModifyRule"],
)
def test_work_that_broke_off_is_taken_up_by_the_next_controller(stage: Stage, operation: str) -> None:
    async def play() -> None:
        stage.aws.cut = operation
        for _ in range(2):
            try:
                await stage.settle(spec(), 1)
                await stage.target.set_traffic(table(2, g1=10_000))
                await stage.settle(spec(2, "v2"), 3)
                await stage.target.set_traffic(table(4, g1=5000, g2=5000))
            except Transient:
                stage.target = stage.again()
        await stage.target.set_traffic(table(5, g1=9000, g2=1000))
        assert stage.weights() == [9, 1]
        assert len(stage.aws.services) == len(stage.aws.groups) == 2

    asyncio.run(play())


async def remove(target: EcsTarget, fleet: FleetId, fence: int) -> None:
    """As the engine does: ask again until the fleet is not seen any more."""
    for _ in range(30):
        fleets = (await target.observe("fraud")).fleets
        assert fleets is not None
        if fleet not in fleets:
            return
        await target.delete_fleet(fleet, fence)
    raise AssertionError(f"{fleet} is not removed")


def test_a_deleted_fleet_leaves_nothing(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g2=10_000))
        await remove(stage.target, FLEET, 3)
        assert list(stage.aws.groups) == [arn for arn in stage.aws.groups if group_name(NEXT, "id") in arn]
        await stage.target.set_traffic(table(4))
        assert (await stage.target.observe("fraud")).routes == table(4)
        await remove(stage.target, NEXT, 4)
        assert (stage.aws.services, stage.aws.groups, stage.aws.rules) == ({}, {}, {})
        assert (await stage.target.observe("fraud")).routes == table(0)
        await stage.target.delete_fleet(NEXT, 5)

    asyncio.run(play())


@pytest.mark.parametrize("restarted", [False, True])
def test_tasks_finish_their_requests_before_their_target_group_goes(stage: Stage, restarted: bool) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g2=10_000))
        await stage.target.delete_fleet(FLEET, 3)
        if restarted:
            stage.target = stage.again()
        look = await stage.target.observe("fraud")
        assert look.fleets is not None and look.fleets[FLEET].draining == 2, "still there"
        assert look.routes == table(3, g2=10_000)
        with pytest.raises(Transient, match="still drains"):
            await stage.target.ensure_fleet(spec(), 4)
        await remove(stage.target, FLEET, 4)
        await stage.target.set_traffic(table(4))
        await remove(stage.target, NEXT, 4)
        assert (stage.aws.cut_off, stage.aws.groups) == ([], {})

    asyncio.run(play())


@pytest.mark.parametrize("operation", ["DeleteService", "ModifyRule", "DeleteTargetGroup"])
def test_a_removal_that_broke_off_is_finished_by_the_next_controller(stage: Stage, operation: str) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g2=10_000))
        stage.aws.cut = operation
        with pytest.raises(Transient):
            await remove(stage.target, FLEET, 3)
        stage.target = stage.again()
        await remove(stage.target, FLEET, 3)
        assert (len(stage.aws.groups), stage.aws.cut_off, stage.weights()) == (1, [], [1])

    asyncio.run(play())


def test_a_rule_of_a_removed_endpoint_goes_although_somebody_changed_it(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.target.set_traffic(table(2, g1=10_000))
        stage.rule["Actions"] = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        await stage.target.set_traffic(table(3))
        assert stage.aws.rules == {}

    asyncio.run(play())


def test_a_target_group_with_tags_that_say_nothing_is_left_alone(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        (group,) = stage.aws.groups
        stage.aws.tags[group]["tidegate:fleet"] = "none"
        lifecycle = EcsLifecycle(stage.again())
        await lifecycle.retire_unknown(set())
        assert (len(stage.aws.groups), len(stage.aws.services)) == (1, 1)

    asyncio.run(play())


def test_what_cannot_be_removed_now_is_logged_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        stage.aws.tags[stage.rule["RuleArn"]] = {"owner": "somebody"}
        lifecycle = EcsLifecycle(stage.again())
        for _ in range(3):
            await lifecycle.retire_unknown(set())
        assert caplog.text.count("cannot be removed now") == 1

    asyncio.run(play())


def test_an_endpoint_without_a_record_is_removed_once_its_tasks_are_gone(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.target.set_traffic(table(2, g1=10_000))
        lifecycle = EcsLifecycle(stage.again())
        await lifecycle.retire_unknown({"other"})
        assert len(stage.aws.groups) == 1, "tasks drain behind it"
        (chore,) = lifecycle.chores
        for _ in range(5):
            await chore.work()
        assert (stage.aws.services, stage.aws.groups, stage.aws.rules) == ({}, {}, {})
        assert stage.aws.cut_off == []

    asyncio.run(play())


def test_an_endpoint_that_is_created_anew_is_not_removed_with_what_had_no_record(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.target.set_traffic(table(2, g1=10_000))
        target = stage.again()
        lifecycle = EcsLifecycle(target)
        await lifecycle.retire_unknown(set())
        await target.ensure_fleet(spec(5, "v5"), 3)
        await target.set_traffic(table(4, g5=10_000))
        await lifecycle.retire()
        look = await target.observe("fraud")
        assert look.routes == table(4, g5=10_000)
        assert look.fleets is not None and FleetId("fraud", 5, "AllTraffic") in look.fleets

    asyncio.run(play())


def test_a_service_of_somebody_else_is_left_alone(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        (service,) = stage.aws.services.values()
        service["tags"] = []
        for action in (stage.target.ensure_fleet(spec(count=5), 2), stage.target.delete_fleet(FLEET, 9)):
            with pytest.raises(TargetRefused, match="does not belong to endpoint fraud"):
                await action
        assert service["desiredCount"] == 2
        assert (await stage.target.observe("fraud")).fleets == {}

    asyncio.run(play())


def test_a_count_is_changed_in_place_and_an_older_one_dropped(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.settle(spec(count=4), 3)
        await stage.settle(spec(count=1), 2)
        fleets = (await stage.target.observe("fraud")).fleets
        assert fleets is not None and fleets[FLEET].ready == 4

    asyncio.run(play())


class EcsPlatform(VirtualPlatform):
    alarm = replace(ERRORS, period=60, evaluation_periods=1, datapoints_to_alarm=1)
    deployment = canary(percent(10), wait=60, bake=0, alarms=("errors",), evidence=True)
    image, data = "tidegate/xgboost", "s3://models/{}.ubj"
    warm_up = 40.0

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.aws = EcsSimulator(now=lambda: self.clock.now().timestamp())
        self.calls = ShapeChecked(self.aws)
        self.failing: set[str] = set()
        options = replace_installation()
        self.provider = join_parts(context(state, lambda name: self.kick(name)), options, self.calls)
        self.run(self.provider.target, self.provider.evidence, self._clients(), compare=True)

    async def _clients(self) -> None:
        while True:
            await asyncio.sleep(1)
            for _ in range(5):
                self.aws.request(PATH, lambda group: self.aws.config_of(group) in self.failing)

    def served(self) -> set[str]:
        """The configs of the services."""
        return {self.aws.config_of(group) for group in self.aws.groups}

    def roll(self, evidence: EvidenceConfig | None = None) -> Endpoint:
        """Guarded by the alarm, or by evidence alone."""
        alone = replace(canary(percent(10), wait=60, bake=0, alarms=()), evidence=evidence)
        self.update("v2", None if evidence is None else alone)
        self.until_over()
        self.advance(20)
        return self.endpoint()


ERRORS_COMPARED = EvidenceConfig(compare=(Comparison.ERRORS,), minimum=20, deadline=600)
LAGS = {"RequestCount": 60, "HTTPCode_Target_5XX_Count": 115, "HTTPCode_Target_4XX_Count": 115}


def replace_installation() -> EcsOptions:
    return EcsOptions(
        **{name: getattr(OPTIONS, name) for name in OPTIONS.__struct_fields__ if name != "installation"},
        installation="id",
    )


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[EcsPlatform]:
    with serving(EcsPlatform(tmp_path)) as made:
        yield made


def test_a_canary_shifts_the_rule_and_removes_the_old_service(platform: EcsPlatform) -> None:
    endpoint = platform.roll()
    assert endpoint.rollout is None and endpoint.serving is not None
    assert endpoint.serving.config_name == "v2"
    assert platform.served() == {"v2"}
    assert len(platform.aws.groups) == 1


def test_a_version_that_fails_is_rolled_back_by_its_error_alarm(platform: EcsPlatform) -> None:
    platform.failing = {"v2"}
    endpoint = platform.roll()
    assert endpoint.rollout is None and endpoint.serving is not None and endpoint.last is not None
    assert endpoint.serving.config_name == "v1"
    assert "errors" in (endpoint.last.reason or "")
    assert platform.served() == {"v1"}


def test_a_version_whose_tasks_never_start_gets_no_traffic(platform: EcsPlatform) -> None:
    platform.aws.broken.add("v2")
    platform.aws.stopped = "CannotPullContainerError: pull image manifest has been retried 5 time(s): not found"
    endpoint = platform.roll()
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "circuit breaker" in (endpoint.last.reason or "")
    assert "CannotPullContainerError" in (endpoint.last.reason or "")


def test_evidence_passes_a_version_that_fails_no_more_than_the_old_one(platform: EcsPlatform) -> None:
    platform.aws.lags = LAGS
    endpoint = platform.roll(ERRORS_COMPARED)
    assert endpoint.serving is not None and endpoint.serving.config_name == "v2"
    assert endpoint.last is None or endpoint.last.reason is None


def test_evidence_turns_a_failing_version_back_although_its_errors_come_late(platform: EcsPlatform) -> None:
    platform.aws.lags, platform.failing = LAGS, {"v2"}
    endpoint = platform.roll(ERRORS_COMPARED)
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "requests failed" in (endpoint.last.reason or "")


@pytest.mark.parametrize("trouble", ["lost", "unread"])
def test_minutes_that_are_missing_hold_a_rollout_and_turn_it_back_at_the_deadline(
    platform: EcsPlatform, trouble: str
) -> None:
    setattr(platform.aws, trouble, {"RequestCount"})
    endpoint = platform.roll(ERRORS_COMPARED)
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "no evidence at the deadline" in (endpoint.last.reason or "")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            EvidenceConfig(),
            r"cannot compare latency: it has percentiles of whole minutes.*write compare: \[errors\]",
        ),
        (EvidenceConfig(compare=(Comparison.PREDICTIONS,)), "cannot compare predictions: it does not see"),
        (EvidenceConfig(compare=(Comparison.PAIRED,)), "cannot compare paired: it makes no copies"),
        (replace(ERRORS_COMPARED, deadline=180), "up to 180 s later: the deadline of 180 s must be longer"),
    ],
)
def test_evidence_that_minutes_cannot_give_is_refused_by_name(
    stage: Stage, config: EvidenceConfig, told: str
) -> None:
    deployment = replace(canary(percent(10), wait=60), evidence=config)
    with pytest.raises(Invalid, match=told):
        compile_plan(version("v1"), version("v2"), deployment, stage.target.can)


def test_an_alarm_counts_errors_that_come_after_their_requests(platform: EcsPlatform) -> None:
    platform.aws.lags = {"HTTPCode_Target_5XX_Count": 100}
    platform.failing = {"v2"}
    endpoint = platform.roll()
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "errors" in (endpoint.last.reason or "")


def test_a_task_that_cannot_be_connected_to_counts_as_failed(platform: EcsPlatform) -> None:
    platform.aws.unreached = {"v2"}
    endpoint = platform.roll(ERRORS_COMPARED)
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
