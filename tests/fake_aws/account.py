"""One AWS account in one region."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.loaders import Loader

from tests.fake_aws.autoscaling import FakeAutoscaling
from tests.fake_aws.clock import FakeClock
from tests.fake_aws.cloudwatch import FakeCloudWatch
from tests.fake_aws.faults import Faults
from tests.fake_aws.http import HttpAnswer, answer_requests
from tests.fake_aws.sagemaker import FakeSageMaker
from tests.fake_aws.storage import FakeS3
from tests.fake_aws.support import FakeIdentity, FakeLogs, FakeQuotas, FakeRegistry, FakeRuntime

Params = dict[str, Any]
ACCOUNT, REGION = "123456789012", "eu-central-1"
LATENCY = 20_000.0
"""Microseconds of the fake traffic's ModelLatency."""


@cache
def _loader() -> Loader:
    """Shared by all sessions, which would each read the large models again."""
    return Loader()


@dataclass
class FakeAws:
    """``calls`` is every call that was made, with its operation."""

    clock: FakeClock = field(default_factory=FakeClock)
    faults: Faults = field(default_factory=Faults)
    calls: list[tuple[str, Params]] = field(default_factory=list)
    traffic: dict[str, int] = field(default_factory=dict)
    """Endpoint -> requests a minute."""
    failing_models: set[str] = field(default_factory=set)
    """Their requests all fail."""

    def __post_init__(self) -> None:
        prefix = f"{REGION}:{ACCOUNT}"
        self.cloudwatch = FakeCloudWatch(self.clock, f"arn:aws:cloudwatch:{prefix}")
        self.autoscaling = FakeAutoscaling(self.clock, f"arn:aws:autoscaling:{prefix}")
        self.sagemaker = FakeSageMaker(
            self.clock, f"arn:aws:sagemaker:{prefix}", self.cloudwatch, self.autoscaling
        )
        self.s3 = FakeS3(REGION, {"models-bucket": REGION})
        self.identity = FakeIdentity(ACCOUNT)
        self.quotas = FakeQuotas(self.sagemaker.quotas)
        self.registry = FakeRegistry()
        self.logs = FakeLogs()
        self.runtime = FakeRuntime(self.sagemaker.endpoints)
        self.clock.ticks.append(self._tick)

    def session(self) -> Any:
        """A boto3 session whose requests this account answers. boto3 is an optional extra."""
        import boto3  # noqa: PLC0415

        inner = botocore.session.get_session()
        inner.register_component("data_loader", _loader())
        made = boto3.Session("AKIDEXAMPLE", "secret", region_name=REGION, botocore_session=inner)
        made.events.register("before-send", answer_requests(self))
        return made

    def open_client(self, service: str, config: Any) -> Any:
        """A client of botocore whose requests this account answers."""
        return self.session().client(service, config=config)

    def made(self, operation: str) -> list[Params]:
        """Parameters of each call of an operation."""
        return [params for name, params in self.calls if name == operation]

    def perform(self, service: str, operation: str, params: Params) -> Params:
        self.calls.append((operation, params))
        self.faults.before(operation)
        part = {
            "sagemaker": self.sagemaker,
            "sagemaker-runtime": self.runtime,
            "cloudwatch": self.cloudwatch,
            "application-autoscaling": self.autoscaling,
            "logs": self.logs,
            "sts": self.identity,
            "iam": self.identity,
            "service-quotas": self.quotas,
            "ecr": self.registry,
        }[service]
        answer: Params = getattr(part, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(params)
        return answer

    def store(self, operation: str, method: str, url: str, headers: dict[str, str], body: bytes) -> HttpAnswer:
        self.calls.append((operation, {"url": url}))
        self.faults.before(operation)
        return self.s3.answer(operation, method, url, headers, body)

    def _tick(self, now: datetime) -> None:
        if int(now.timestamp()) % 60 == 0:
            self._count_traffic(now)
        self.cloudwatch.tick(now)
        self.sagemaker.tick(now)

    def _count_traffic(self, now: datetime) -> None:
        """The metrics of the minute that begins now."""
        for name, rate in self.traffic.items():
            found = self.sagemaker.endpoints.get(name)
            if found is None or found.status in ("Creating", "Failed"):
                continue
            share = found.pending.share if found.pending else 0.0
            sides = [(found.config, found.variants, 1 - share)]
            sides += [(found.pending.config, found.pending.variants, share)] if found.pending else []
            for config, variants, part in sides:
                whole = sum(one.weight for one in variants.values()) or 1.0
                for one in variants.values():
                    requests = round(rate * part * one.weight / whole)
                    self._put(name, one.name, config, requests, one.model in self.failing_models, now)

    def _put(self, name: str, variant: str, config: str, requests: int, fails: bool, now: datetime) -> None:
        for dimensions in (
            {"EndpointName": name, "VariantName": variant},
            {"EndpointName": name, "VariantName": variant, "EndpointConfigName": config},
        ):
            for _ in range(requests):
                self.cloudwatch.put("AWS/SageMaker", "Invocations", dimensions, 1.0, now)
                for metric in ("Invocation5XXErrors", "InvocationModelErrors"):
                    self.cloudwatch.put("AWS/SageMaker", metric, dimensions, 1.0 if fails else 0.0, now)
                self.cloudwatch.put("AWS/SageMaker", "ModelLatency", dimensions, LATENCY, now)
                self.cloudwatch.put("AWS/SageMaker", "OverheadLatency", dimensions, LATENCY / 10, now)
