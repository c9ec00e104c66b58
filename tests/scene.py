"""A boto3 user with a platform of its own: operations that tests and benchmarks share."""

import io
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tidegate.host.platform import Platform, wait_until

XGBOOST = "tidegate/xgboost"


def train(folder: Path, seed: int, *, features: int = 30, trees: int = 20) -> str:
    """Train a small XGBoost classifier and pack it as ``model.tar.gz``; returns its ``file://`` URL. Equal seeds give
    equal models."""
    import numpy  # noqa: PLC0415 (optional: only those who train need it)
    import xgboost  # noqa: PLC0415

    random = numpy.random.default_rng(seed)
    x = random.normal(size=(500, features)).astype(numpy.float32)
    y = (x[:, 0] + 0.3 * random.normal(size=500) > 0).astype(int)
    parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1, "seed": seed}
    booster = xgboost.train(parameters, xgboost.DMatrix(x, y), num_boost_round=trees)
    data = bytes(booster.save_raw("ubj"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"model-{seed}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("model.ubj")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return path.as_uri()


@dataclass
class Scene:
    platform: Platform
    keys: tuple[str, str] = ("test", "test-secret")
    _count: int = field(default=0)

    def client(self, service: str, **options: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.platform.url,
            region_name="us-east-1",
            aws_access_key_id=self.keys[0],
            aws_secret_access_key=self.keys[1],
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=70, **options),
        )

    @cached_property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @cached_property
    def runtime(self) -> Any:
        return self.client("sagemaker-runtime")

    @cached_property
    def cloudwatch(self) -> Any:
        return self.client("cloudwatch")

    def config(
        self,
        data_url: str | None,
        *,
        image: str = XGBOOST,
        instances: int = 1,
        environment: dict[str, str] | None = None,
        variant: dict[str, Any] | None = None,
        shadow: dict[str, Any] | None = None,
    ) -> str:
        """Create a model and a config with one variant AllTraffic and new names; returns the config's name.
        ``shadow`` has the members of a shadow variant, at least its ModelName."""
        name = self.model(data_url, image=image, environment=environment)
        one = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InitialInstanceCount": instances,
            "InstanceType": "ml.c5.large",
        }
        beside = {"VariantName": "shadow", "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{**one, **(variant or {})}],
            **({"ShadowProductionVariants": [{**beside, **shadow}]} if shadow else {}),
        )
        return name

    def model(
        self, data_url: str | None, *, image: str = XGBOOST, environment: dict[str, str] | None = None
    ) -> str:
        """Create a model with a new name, which is returned."""
        self._count += 1
        name = f"v{self._count}-{time.time_ns() % 1_000_000_000}"
        container: dict[str, Any] = {"Image": image, "Environment": environment or {}}
        if data_url:
            container["ModelDataUrl"] = data_url
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container)
        return name

    def create(self, endpoint: str, config: str) -> None:
        self.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        self.settled(endpoint)

    def update(self, endpoint: str, config: str, deployment: dict[str, Any] | None = None) -> None:
        extra = {"DeploymentConfig": deployment} if deployment else {}
        self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **extra)

    def describe(self, endpoint: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        return answer

    def settled(self, endpoint: str, seconds: float = 400.0) -> dict[str, Any]:
        """Wait until nothing is in progress; returns the description. It waits long: the machine may be busy."""

        def done() -> dict[str, Any] | None:
            answer = self.describe(endpoint)
            return None if answer["EndpointStatus"] in ("Creating", "Updating", "RollingBack") else answer

        return wait_until(done, f"{endpoint} settled", seconds)

    def alarm(self, name: str, metric: str, threshold: float, **members: Any) -> None:
        """Create a one-second alarm on a metric of AWS/SageMaker; ``members`` override."""
        defaults: dict[str, Any] = {
            "AlarmName": name,
            "Namespace": "AWS/SageMaker",
            "MetricName": metric,
            "Statistic": "Average",
            "Period": 1,
            "EvaluationPeriods": 2,
            "Threshold": threshold,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        if "ExtendedStatistic" in members:
            del defaults["Statistic"]
        self.cloudwatch.put_metric_alarm(**{**defaults, **members})

    def invoke(self, endpoint: str, rows: Sequence[Sequence[float]], **members: Any) -> Any:
        body = "\n".join(",".join(str(v) for v in row) for row in rows)
        return self.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=body, **members)


def linear(step: int = 25, wait: int = 0, *, alarms: Sequence[str] = (), final: int = 0) -> dict[str, Any]:
    return blue_green("LINEAR", wait, alarms, final, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": step})


def canary(size: int = 10, wait: int = 0, *, alarms: Sequence[str] = (), final: int = 0) -> dict[str, Any]:
    return blue_green("CANARY", wait, alarms, final, CanarySize={"Type": "CAPACITY_PERCENT", "Value": size})


def all_at_once(*, alarms: Sequence[str] = (), final: int = 0) -> dict[str, Any]:
    return blue_green("ALL_AT_ONCE", 0, alarms, final)


def rolling(batch: int = 50, wait: int = 0, *, alarms: Sequence[str] = ()) -> dict[str, Any]:
    policy = {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": batch}, "WaitIntervalInSeconds": wait}
    return {"RollingUpdatePolicy": policy, **_rollback(alarms)}


def blue_green(routing: str, wait: int, alarms: Sequence[str], final: int, **size: Any) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": routing, "WaitIntervalInSeconds": wait, **size},
            "TerminationWaitInSeconds": final,
        },
        **_rollback(alarms),
    }


def _rollback(alarms: Sequence[str]) -> dict[str, Any]:
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}


KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "all at once": all_at_once,
    "canary": canary,
    "linear": linear,
    "rolling": rolling,
}
