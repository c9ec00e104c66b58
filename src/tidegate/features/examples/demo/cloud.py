"""Ask the platform for what the demo needs: plain boto3 with an ``endpoint_url``, as it would be on AWS."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ENDPOINT = "payroll-fraud"
VARIANT = "AllTraffic"
XGBOOST = "tidegate/xgboost"
FLAWED = "demo/flawed"
INSTANCES = 2


@dataclass(frozen=True)
class EndpointState:
    """The endpoint at one moment. ``config`` serves and ``pending`` is rolled out; ``share`` is the part
    of the traffic that goes to the latter, 0 to 1."""

    status: str
    config: str
    pending: str | None
    phase: str
    share: float
    reason: str


class DemoClient:
    def __init__(self, url: str) -> None:
        self._url = url
        self.sagemaker = self._client("sagemaker")
        self.cloudwatch = self._client("cloudwatch")

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._url,
            region_name="us-east-1",
            aws_access_key_id="demo",
            aws_secret_access_key="demo-secret",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def register(self, name: str, image: str, data: Path, environment: Mapping[str, str]) -> None:
        """A model and an endpoint config of the same name."""
        container = {"Image": image, "ModelDataUrl": data.absolute().as_uri(), "Environment": dict(environment)}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container)
        variant = {
            "VariantName": VARIANT,
            "ModelName": name,
            "InitialInstanceCount": INSTANCES,
            "InstanceType": "ml.c5.xlarge",
            "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def guard(self, config: str) -> list[str]:
        """Two alarms on the requests of this config alone: errors above 2 %, p99 above 200 ms."""
        common = {
            "Namespace": "AWS/SageMaker",
            "Dimensions": [
                {"Name": "EndpointName", "Value": ENDPOINT},
                {"Name": "VariantName", "Value": VARIANT},
                {"Name": "EndpointConfigName", "Value": config},
            ],
            "Period": 1,
            "EvaluationPeriods": 5,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        errors, slow = f"{config}-errors", f"{config}-p99"
        self.cloudwatch.put_metric_alarm(
            AlarmName=errors,
            MetricName="Invocation5XXErrors",
            Statistic="Average",
            Threshold=0.02,
            DatapointsToAlarm=3,
            **common,
        )
        self.cloudwatch.put_metric_alarm(
            AlarmName=slow,
            MetricName="ModelLatency",
            ExtendedStatistic="p99",
            Threshold=200_000,  # microseconds
            DatapointsToAlarm=4,
            **common,
        )
        return [errors, slow]

    def create(self, config: str) -> None:
        self.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=config)
        self.sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def update(self, config: str, policy: Mapping[str, Any], alarms: list[str]) -> None:
        self.sagemaker.update_endpoint(
            EndpointName=ENDPOINT,
            EndpointConfigName=config,
            DeploymentConfig={
                "BlueGreenUpdatePolicy": dict(policy),
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
            },
        )

    def describe(self) -> EndpointState:
        found = self.sagemaker.describe_endpoint(EndpointName=ENDPOINT)
        old = found["ProductionVariants"][0]["CurrentWeight"]
        pending = found.get("PendingDeploymentSummary", {})
        variants = pending.get("ProductionVariants") or [{}]
        new = variants[0].get("CurrentWeight", 0.0)
        statuses = variants[0].get("VariantStatus") or [{}]
        return EndpointState(
            status=found["EndpointStatus"],
            config=found["EndpointConfigName"],
            pending=pending.get("EndpointConfigName"),
            phase=statuses[0].get("StatusMessage", ""),
            share=new / (old + new) if old + new else 0.0,
            reason=found.get("FailureReason", ""),
        )

    def alarm_states(self, names: list[str]) -> dict[str, str]:
        found = self.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}


def canary(percent: int, wait: int) -> dict[str, Any]:
    return _policy("CANARY", wait, CanarySize={"Type": "CAPACITY_PERCENT", "Value": percent})


def linear(percent: int, wait: int) -> dict[str, Any]:
    return _policy("LINEAR", wait, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": percent})


def _policy(kind: str, wait: int, **size: dict[str, Any]) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **size}
    return {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": wait}
