"""The target at Lambda against ministack: its states, revisions and invocations, through botocore and HTTP.

ministack ignores an alias's weights, so routing by weight is the simulator's (tests/unit/targets/aws_lambda)."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.ministack import PROGRAM, ministack
from tests.unit.targets.aws.shapes import shape_errors
from tests.unit.targets.aws_lambda.test_target import spec, table
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.targets.aws.client import Calls, open_calls
from tidegate.targets.aws.errors import ResourceChanged
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.aws_lambda.description import configuration, creation
from tidegate.targets.aws_lambda.functions import FunctionClient
from tidegate.targets.aws_lambda.options import AwsLambdaOptions
from tidegate.targets.aws_lambda.target import AwsLambdaTarget
from tidegate.targets.aws_lambda.versions import DesiredCode, DesiredVersion
from tidegate.targets.aws_lambda.zip_package import write_zip

FUNCTION = "tidegate-fraud"
SOURCE = b"""
import os

def handle(event, context):
    return {"config": os.environ["TIDEGATE_CONFIG"], "version": context.function_version}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM.exists(), reason="ministack is not installed: make .clients/ministack/.done"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ministack(tmp_path_factory.mktemp("ministack")) as found:
        yield found


class Stage:
    """The target with a small function in place of a model's package."""

    def __init__(self, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret")):
            monkeypatch.setenv(f"AWS_{name}", value)
        self.options = AwsLambdaOptions(
            region="eu-central-1",
            role="arn:aws:iam::000000000000:role/fraud",
            endpoint_url=address,
            prefix=f"{folder.name[-20:]}-",
        )
        self.folder = folder
        self.calls: Calls = open_calls(self.options)
        self.changes: list[str] = []
        functions = FunctionClient(self.calls, "id")
        self.target = AwsLambdaTarget(functions, self.options, self.describe, self.changes.append)
        self.function = f"{self.options.prefix}fraud"

    async def describe(self, fleet: FleetSpec, fence: int) -> DesiredVersion:
        package = write_zip({"function.py": SOURCE}, self.folder, len(SOURCE))
        own = {**configuration(self.options, fleet), "Handler": "function.handle"}
        return DesiredVersion(
            fleet=fleet.id,
            function=self.function,
            config=fleet.config_name,
            count=fleet.count,
            fence=fence,
            code=DesiredCode({"ZipFile": package.path.read_bytes()}, package.sha256),
            configuration=own,
            creation=creation(self.options, owner_tags("id", "fraud")),
            provisioned=fleet.variant.serverless.provisioned if fleet.variant.serverless else 0,
        )

    async def settle(self, fleet: FleetSpec, fence: int) -> FleetStatus:
        """Until the fleet has an end."""
        async with asyncio.timeout(60):
            while True:
                await self.target.ensure_fleet(fleet, fence)
                await asyncio.sleep(0.05)
                fleets = (await self.target.observe("fraud")).fleets
                assert fleets is not None
                found = fleets[fleet.id]
                if found.ready == fleet.count or found.failure:
                    return found

    async def invoke(self, qualifier: str) -> dict[str, str]:
        members = {"FunctionName": self.function, "Qualifier": qualifier, "Payload": b"{}"}
        answer = await self.calls.call("lambda", "Invoke", members)
        return dict(json.loads(answer["Payload"]))


@pytest.fixture
def stage(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(address, tmp_path, monkeypatch)


def test_versions_are_published_routed_to_and_removed(stage: Stage) -> None:
    async def play() -> None:
        assert (await stage.settle(spec(), 1)).failure is None
        await stage.target.set_traffic(table(1, g1=10_000))
        assert (await stage.invoke("live"))["config"] == "v1"
        await stage.settle(spec(2, "v2"), 2)
        assert (await stage.invoke("fleet-2-AllTraffic"))["config"] == "v2"
        await stage.target.set_traffic(table(3, g1=9000, g2=1000))
        look = await stage.target.observe("fraud")
        assert look.routes == replace(table(3, g1=9000, g2=1000), routes=look.routes.routes if look.routes else ())
        assert look.routes is not None
        assert {one.fleet.generation: one.share for one in look.routes.routes} == {1: 9000, 2: 1000}
        await stage.target.set_traffic(table(4, g2=10_000))
        assert (await stage.invoke("live"))["config"] == "v2"
        await stage.target.delete_fleet(FleetId("fraud", 1, "AllTraffic"), 4)
        look = await stage.target.observe("fraud")
        assert look.fleets is not None and [id.generation for id in look.fleets] == [2]
        await stage.target.set_traffic(table(5))
        await stage.target.delete_fleet(FleetId("fraud", 2, "AllTraffic"), 5)
        assert (await stage.target.observe("fraud")).fleets == {}

    asyncio.run(play())


def test_provisioned_concurrency_is_set_and_waited_for(stage: Stage) -> None:
    async def play() -> None:
        assert (await stage.settle(spec(provisioned=2), 1)).ready == 1
        members = {"FunctionName": stage.function, "Qualifier": "1"}
        found = await stage.calls.call("lambda", "GetProvisionedConcurrencyConfig", members)
        assert (found["RequestedProvisionedConcurrentExecutions"], found["Status"]) == (2, "READY")

    asyncio.run(play())


def test_a_stale_revision_of_an_alias_is_a_change_in_between(stage: Stage) -> None:
    async def play() -> None:
        await stage.settle(spec(), 1)
        await stage.target.set_traffic(table(1, g1=10_000))
        members = {"FunctionName": stage.function, "Name": "live", "RevisionId": "stale", "FunctionVersion": "1"}
        with pytest.raises(ResourceChanged):
            await stage.calls.call("lambda", "UpdateAlias", members)

    asyncio.run(play())


def test_a_foreign_function_is_left_alone(stage: Stage) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("function.py", SOURCE)
    members = {
        "FunctionName": stage.function,
        "Runtime": "python3.11",
        "Role": stage.options.role,
        "Handler": "function.handle",
        "Code": {"ZipFile": archive.getvalue()},
    }
    assert shape_errors("lambda", "CreateFunction", "input", members) == ""

    async def play() -> None:
        await stage.calls.call("lambda", "CreateFunction", members)
        with pytest.raises(TargetRefused, match="does not belong to endpoint fraud"):
            await stage.target.observe("fraud")
        with pytest.raises(TargetRefused, match="does not belong to endpoint fraud"):
            await stage.target.delete_fleet(FleetId("fraud", 1, "AllTraffic"), 9)
        await stage.calls.call("lambda", "GetFunction", {"FunctionName": stage.function})

    asyncio.run(play())
