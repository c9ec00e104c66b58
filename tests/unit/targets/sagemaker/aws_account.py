"""A fake account, and a deployer that drives it through boto3's real clients, on virtual time."""

from dataclasses import dataclass, field
from typing import Any

from tests.fake_aws import FakeAws
from tests.fake_aws.deployments import FakeEndpoint
from tests.unit.targets.sagemaker.aws_specs import options, spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.spec.build import parse
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.native import NativeDeployer, NativeResult

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/own@sha256:" + "0" * 64
CANARY = {"strategy": "canary", "size": "50%", "wait": "10m", "final_bake": "5m"}


@dataclass
class Account:
    aws: FakeAws = field(default_factory=FakeAws)
    said: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)
    """Options."""

    def __post_init__(self) -> None:
        self.aws.s3.add("s3://models-bucket/v1.tar.gz")
        self.aws.s3.add("s3://models-bucket/v2.tar.gz")

    def client(self) -> AwsClient:
        return AwsClient(self.aws.open_client, self.aws.clock, draw=lambda: 0.5)

    def deployer(self) -> NativeDeployer:
        """As of a new process."""
        return NativeDeployer(self.client(), options(**self.given), self.said.append)

    def wish(self, version: int = 1, **more: Any) -> DesiredDeployment:
        model = {"image": IMAGE, "data": f"s3://models-bucket/v{version}.tar.gz"}
        return parse(spec(**{"model": model, "rollout": CANARY, **more}), self.aws.clock.now())

    def deploy(self, version: int = 1, *, wait: bool = True, **more: Any) -> NativeResult:
        return self.deployer().deploy(self.wish(version, **more), {}, self.aws.clock.now(), wait=wait)

    @property
    def endpoint(self) -> FakeEndpoint:
        return self.aws.sagemaker.endpoints["fraud"]

    def count(self, operation: str) -> int:
        return len(self.aws.made(operation))
