"""Rollouts of the real loops on the target at Lambda, against the simulator of its control plane."""

import asyncio

import pytest

from tests.unit.targets.aws.shapes import ShapeChecked
from tests.unit.targets.aws_lambda.lambda_simulator import LambdaSimulator, changed, refused, sha256
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetId, FleetSpec, Serverless, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.traffic import Route, RouteTable
from tidegate.simulation.world import START
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.aws_lambda.description import configuration, creation
from tidegate.targets.aws_lambda.functions import FunctionClient
from tidegate.targets.aws_lambda.options import AwsLambdaOptions
from tidegate.targets.aws_lambda.provider import AwsLambdaLogs
from tidegate.targets.aws_lambda.target import AwsLambdaTarget
from tidegate.targets.aws_lambda.versions import DesiredCode, DesiredVersion

OPTIONS = AwsLambdaOptions(region="eu-central-1", role="arn:aws:iam::123456789012:role/fraud-function")
FUNCTION = "tidegate-fraud"
FLEET = FleetId("fraud", 1, "AllTraffic")


def spec(generation: int = 1, config: str = "v1", provisioned: int = 0, count: int = 1) -> FleetSpec:
    model = Model("model", (ContainerDefinition("tidegate/xgboost", data_url="s3://models/fraud.ubj"),), START)
    serverless = Serverless(2048 * 1024 * 1024, 20, provisioned) if provisioned else None
    variant = VariantSpec("AllTraffic", model, count, serverless=serverless)
    return FleetSpec(FleetId("fraud", generation, "AllTraffic"), config, variant, count)


async def describe(fleet: FleetSpec, fence: int) -> DesiredVersion:
    """Without building a package."""
    body = fleet.config_name.encode()
    return DesiredVersion(
        fleet=fleet.id,
        function=FUNCTION,
        config=fleet.config_name,
        count=fleet.count,
        fence=fence,
        code=DesiredCode({"ZipFile": body}, sha256(body)),
        configuration=configuration(OPTIONS, fleet),
        creation=creation(OPTIONS, owner_tags("id", "fraud")),
        provisioned=fleet.variant.serverless.provisioned if fleet.variant.serverless else 0,
    )


async def no_time(seconds: float) -> None:
    await asyncio.sleep(0)


class Stage:
    """A target over the simulator; every call is checked against botocore's shapes."""

    def __init__(self) -> None:
        self.aws = LambdaSimulator()
        self.calls = ShapeChecked(self.aws)
        self.target = self.again()

    def again(self) -> AwsLambdaTarget:
        """The target of a controller that comes after this one."""
        return AwsLambdaTarget(
            FunctionClient(self.calls, "id"), OPTIONS, describe, lambda name: None, sleep=no_time
        )

    async def settle(self, fleet: FleetSpec, fence: int = 1) -> None:
        """Ask until the work on a fleet is over."""
        await self.target.ensure_fleet(fleet, fence)
        for _ in range(500):
            await asyncio.sleep(0)
        look = await self.target.observe("fraud")
        assert look.fleets is not None

    async def ready(self, id: FleetId = FLEET) -> int:
        fleets = (await self.target.observe("fraud")).fleets
        assert fleets is not None
        return fleets[id].ready if id in fleets else -1

    def alias(self, name: str = "live") -> dict[str, object]:
        return self.aws.functions[FUNCTION].aliases[name]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def table(fence: int, **shares: int) -> RouteTable:
    routes = tuple(Route(FleetId("fraud", int(name[1:]), "AllTraffic"), share) for name, share in shares.items())
    return RouteTable("fraud", fence, routes)


def test_a_fleet_is_a_version_once_everything_was_waited_for(stage: Stage) -> None:
    async def play() -> None:
        await stage.target.ensure_fleet(spec(), 1)
        assert await stage.ready() == 0
        await stage.settle(spec())
        assert await stage.ready() == 1

    asyncio.run(play())
    operations = [name for _, name, _ in stage.calls.made if name.startswith(("Create", "Update", "Publish"))]
    assert operations == ["CreateFunction", "PublishVersion", "CreateAlias"]
    function = stage.aws.functions[FUNCTION]
    assert function.tags == {"tidegate:installation": "id", "tidegate:endpoint": "fraud"}
    assert function.versions["1"].members["Description"] == "tidegate fraud/1/AllTraffic v1"


def test_weights_are_those_of_the_table_and_shown_with_its_fence(stage: Stage) -> None:
    async def play() -> RouteTable | None:
        await stage.settle(spec())
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(2, g1=10_000))
        await stage.target.set_traffic(table(3, g1=9000, g2=1000))
        return (await stage.target.observe("fraud")).routes

    routes = asyncio.run(play())
    assert stage.alias()["FunctionVersion"] == "1"
    assert stage.alias()["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    assert routes is not None and routes.fence == 3
    assert {route.fleet.generation: route.share for route in routes.routes} == {1: 9000, 2: 1000}
    executed = [stage.aws.invoke(FUNCTION, "live") for _ in range(2000)]
    assert 120 < executed.count("2") < 280


def test_all_traffic_on_one_version_leaves_no_weight_behind(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec())
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g1=5000, g2=5000))
        await stage.target.set_traffic(table(4, g2=10_000))

    asyncio.run(play())
    assert stage.alias()["FunctionVersion"] == "2" and "RoutingConfig" not in stage.alias()


def test_an_older_table_is_dropped(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec())
        await stage.target.set_traffic(table(5, g1=10_000))
        before = dict(stage.alias())
        await stage.target.set_traffic(table(4))
        assert stage.alias() == before

    asyncio.run(play())


def test_three_fleets_are_more_than_an_alias_can_route_to(stage: Stage) -> None:
    with pytest.raises(TargetRefused, match="2 versions at most"):
        asyncio.run(stage.target.set_traffic(table(1, g1=5000, g2=3000, g3=2000)))


def test_traffic_waits_for_the_version(stage: Stage) -> None:
    with pytest.raises(Transient, match="no published version yet"):
        asyncio.run(stage.target.set_traffic(table(1, g1=10_000)))


@pytest.mark.parametrize(
    "change",
    [
        {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.9}}},
        {"FunctionVersion": "2", "RoutingConfig": {}},
        {"Description": "by hand"},
    ],
)
def test_an_alias_changed_by_somebody_else_is_reported_and_not_fought(
    stage: Stage, change: dict[str, object]
) -> None:
    async def play() -> None:
        await stage.settle(spec())
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g1=9000, g2=1000))
        aliases = stage.aws.functions[FUNCTION].aliases
        foreign = aliases["live"] = changed(aliases["live"], **change)
        with pytest.raises(TargetRefused, match="was changed by somebody else"):
            await stage.target.set_traffic(table(4, g1=8000, g2=2000))
        assert aliases["live"] == foreign
        aliases["live"] = changed(foreign, Description="tidegate")
        await stage.target.set_traffic(table(5, g1=8000, g2=2000))
        assert aliases["live"]["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.2}}

    asyncio.run(play())


def test_a_function_of_somebody_else_is_left_alone(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec())
        stage.aws.functions[FUNCTION].tags["tidegate:installation"] = "other"
        stage.target = stage.again()
        before = len(stage.calls.made)
        for action in (
            stage.target.set_traffic(table(9)),
            stage.target.delete_fleet(FLEET, 9),
            stage.target.observe("fraud"),
        ):
            with pytest.raises(TargetRefused, match="does not belong to endpoint fraud"):
                await action
        assert {name for _, name, _ in stage.calls.made[before:]} == {"GetFunction"}

    asyncio.run(play())


def test_a_change_in_between_is_looked_at_again(stage: Stage) -> None:
    """412 and 409 are no failures of a fleet."""

    async def play() -> None:
        for operation, code, status in (
            ("PublishVersion", "PreconditionFailedException", 412),
            ("CreateAlias", "ResourceConflictException", 409),
        ):
            stage.aws.fail[operation] = refused(operation, code, "meanwhile", status)
        await stage.settle(spec())
        assert await stage.ready() == 1

    asyncio.run(play())


@pytest.mark.parametrize("operation", ["CreateFunction", "PublishVersion", "CreateAlias", "UpdateFunctionCode"])
def test_work_that_broke_off_is_taken_up_by_the_next_controller(stage: Stage, operation: str) -> None:
    """The call was made, and its answer was lost."""

    class Cut:
        armed = True

        async def call(self, service: str, name: str, members: dict[str, object]) -> dict[str, object]:
            answer = await stage.aws.call(service, name, members)
            if name == operation and self.armed:
                self.armed = False
                raise Transient("the connection was lost")
            return answer

    async def play() -> None:
        await stage.settle(spec())
        stage.calls.calls = Cut()  # type: ignore[assignment]
        await stage.settle(spec(2, "v2"), 2)
        stage.target = stage.again()
        await stage.settle(spec(2, "v2"), 2)
        assert await stage.ready(FleetId("fraud", 2, "AllTraffic")) == 1
        assert len(stage.aws.functions[FUNCTION].versions) == 2

    asyncio.run(play())


def test_a_version_that_cannot_start_is_the_fleets_failure(stage: Stage) -> None:
    stage.aws.broken.add("v1")

    async def play() -> str | None:
        await stage.settle(spec())
        fleets = (await stage.target.observe("fraud")).fleets
        assert fleets is not None
        return fleets[FLEET].failure

    assert asyncio.run(play()) == "version 1 failed: The function could not be initialised"


def test_provisioned_concurrency_is_waited_for(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(provisioned=3))
        assert stage.aws.functions[FUNCTION].provisioned["1"][0] == 3
        assert await stage.ready() == 1

    asyncio.run(play())
    operations = [name for _, name, _ in stage.calls.made]
    assert operations.index("PutProvisionedConcurrencyConfig") < operations.index("CreateAlias")


def test_a_deleted_fleet_leaves_nothing_and_the_last_one_takes_the_function_along(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec())
        await stage.settle(spec(2, "v2"), 2)
        await stage.target.set_traffic(table(3, g2=10_000))
        await stage.target.delete_fleet(FLEET, 3)
        assert stage.aws.functions[FUNCTION].versions.keys() == {"2"}
        assert stage.aws.functions[FUNCTION].aliases.keys() == {"live", "fleet-2-AllTraffic"}
        await stage.target.set_traffic(table(4))
        await stage.target.delete_fleet(FleetId("fraud", 2, "AllTraffic"), 4)
        assert stage.aws.functions == {}
        await stage.target.delete_fleet(FLEET, 5)

    asyncio.run(play())


def test_a_fleet_that_is_deleted_with_an_older_fence_stays(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 7)
        await stage.target.delete_fleet(FLEET, 6)
        stage.target = stage.again()
        await stage.target.delete_fleet(FLEET, 6)
        assert await stage.ready() == 1

    asyncio.run(play())


def test_what_cannot_be_seen_is_no_empty_look(stage: Stage) -> None:
    stage.aws.away = True
    with pytest.raises(Transient):
        asyncio.run(stage.target.observe("fraud"))


def test_a_change_of_count_is_written_to_the_fleets_alias(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec())
        await stage.settle(spec(count=3), 2)
        assert await stage.ready() == 3
        stage.target = stage.again()
        assert await stage.ready() == 3

    asyncio.run(play())


def test_logs_of_an_endpoint_of_another_target_are_none_of_lambdas_whatever_its_name(stage: Stage) -> None:
    logs = AwsLambdaLogs(CloudLogs(stage.calls), stage.target, OPTIONS)
    assert asyncio.run(logs.tail("a" * 63, 5)) == ()
