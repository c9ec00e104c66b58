"""Transactions that others make stale, the kick after them, constraint messages, and names of requests."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from tests.memory_audit import guard_of
from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tidegate.host.clock import RandomIds, SystemClock
from tidegate.ports.store import Stale, Tx
from tidegate.wire import dispatch, schema, validation
from tidegate.wire.operation import WireContext, WireRequest
from tidegate.wire.routing import RequestTarget, WireProtocol, guess_target, identify
from tidegate.wire.table import TABLE
from tidegate.wire.validation import Violation

R = TypeVar("R")


@dataclass
class ContestedStore(MemoryStore):
    """Somebody else's write comes first, ``losses`` times."""

    losses: int = 0
    attempts: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    async def run(self, work: Callable[[Tx], R]) -> R:
        self.attempts += 1
        if self.attempts <= self.losses:
            raise Stale("endpoint fraud")
        return await super().run(work)


@dataclass
class Around:
    store: ContestedStore
    kicked: list[str] = field(default_factory=list)

    def call(self, operation: str, **params: Any) -> tuple[int, dict[str, Any]]:
        ctx = WireContext(
            store=self.store,
            metrics=MemoryMetrics(),
            clock=SystemClock(),
            ids=RandomIds(),
            region="us-east-1",
            account="000000000000",
            kick=self.kicked.append,
        )
        headers = {"x-amz-target": f"SageMaker.{operation}"}
        request = WireRequest("POST", "/", "", headers, json.dumps(params).encode())
        answer = asyncio.run(dispatch.handle(request, ctx, guard_of(ctx.clock)))
        return answer.status, json.loads(answer.body)


VARIANT = {"VariantName": "main", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


def test_a_stale_transaction_is_run_again() -> None:
    around = Around(ContestedStore(losses=dispatch.MAX_ATTEMPTS - 1))
    assert around.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "x"})[0] == 200
    assert around.store.attempts == dispatch.MAX_ATTEMPTS


def test_a_transaction_that_stays_stale_is_unavailable_and_wakes_nobody() -> None:
    around = Around(ContestedStore())
    around.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "x"})
    around.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[VARIANT])
    around.store.losses = around.store.attempts + dispatch.MAX_ATTEMPTS
    status, body = around.call("CreateEndpoint", EndpointName="fraud", EndpointConfigName="c")
    assert (status, body["__type"]) == (503, "ServiceUnavailable")
    assert around.kicked == []
    assert around.call("CreateEndpoint", EndpointName="fraud", EndpointConfigName="c")[0] == 200
    assert around.kicked == ["fraud"]


def violations(operation: str, **params: Any) -> str:
    shape = schema.load("sagemaker", tuple(TABLE["sagemaker"])).operation(operation).input_shape
    assert shape is not None
    with pytest.raises(Violation) as refused:
        validation.check("sagemaker", shape, params, [])
    return str(refused.value)


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        (
            "DescribeEndpoint",
            {},
            "Value null at 'endpointName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "DescribeEndpoint",
            {"EndpointName": "-"},
            "Value '-' at 'endpointName' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            "DescribeEndpoint",
            {"EndpointName": "a" * 64},
            f"Value '{'a' * 64}' at 'endpointName' failed to satisfy constraint: Member must have length less "
            "than or equal to 63",
        ),
        (
            "ListEndpoints",
            {"MaxResults": 0},
            "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal "
            "to 1",
        ),
        (
            "ListEndpoints",
            {"StatusEquals": "Asleep"},
            "Value 'Asleep' at 'statusEquals' failed to satisfy constraint: Member must satisfy enum value set: "
            "[OutOfService, Creating, Updating, SystemUpdating, RollingBack, InService, Deleting, Failed, "
            "UpdateRollbackFailed]",
        ),
        (
            "UpdateEndpointWeightsAndCapacities",
            {"EndpointName": "a", "DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredWeight": -1.0}]},
            "Value '-1.0' at 'desiredWeightsAndCapacities.1.member.desiredWeight' failed to satisfy constraint: "
            "Member must have value greater than or equal to 0",
        ),
        (
            "DeleteTags",
            {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m", "TagKeys": []},
            "Value '[]' at 'tagKeys' failed to satisfy constraint: Member must have length greater than or equal "
            "to 1",
        ),
    ],
)
def test_violations_are_worded_as_by_aws(operation: str, params: dict[str, Any], message: str) -> None:
    assert violations(operation, **params) == f"1 validation error detected: {message}"


def test_a_weight_that_is_no_number_is_below_every_minimum() -> None:
    changes = [{"VariantName": "a", "DesiredWeight": float("nan")}]
    said = violations("UpdateEndpointWeightsAndCapacities", EndpointName="a", DesiredWeightsAndCapacities=changes)
    assert "Value 'nan'" in said


def request(
    path: str = "/", body: bytes = b"", query: str = "", method: str = "POST", **headers: str
) -> WireRequest:
    return WireRequest(method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, body)


@pytest.mark.parametrize(
    ("asked", "service", "operation", "protocol"),
    [
        (request(x_amz_target="SageMaker.ListModels"), "sagemaker", "ListModels", WireProtocol.JSON),
        (
            request(x_amz_target="GraniteServiceVersion20100801.PutMetricData"),
            "cloudwatch",
            "PutMetricData",
            WireProtocol.JSON,
        ),
        (request("/endpoints/a/invocations"), "sagemaker-runtime", "InvokeEndpoint", WireProtocol.REST),
        (
            request("/endpoints/a/invocations-response-stream"),
            "sagemaker-runtime",
            "InvokeEndpointWithResponseStream",
            WireProtocol.REST,
        ),
        (
            request("/endpoints/a/v1/models", method="GET"),
            "sagemaker-runtime",
            "InvokeEndpoint",
            WireProtocol.OPENAI,
        ),
        (request(body=b"Action=A&Version=2010-08-01"), "cloudwatch", "A", WireProtocol.QUERY),
        (request(query="Action=A&Version=2011-06-15", method="GET"), "sts", "A", WireProtocol.QUERY),
        (
            request("/service/GraniteServiceVersion20100801/operation/PutMetricData"),
            "cloudwatch",
            "PutMetricData",
            WireProtocol.CBOR,
        ),
    ],
)
def test_requests_are_identified_by_their_headers_and_paths(
    asked: WireRequest, service: str, operation: str, protocol: WireProtocol
) -> None:
    target = identify(asked, asked.body)
    assert (target.service, target.operation, target.protocol) == (service, operation, protocol)
    assert guess_target(asked) == target


def test_unmarked_request_is_answered_in_the_protocol_of_its_scope() -> None:
    scope = "AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/monitoring/aws4_request, SignedHeaders=host"
    assert guess_target(request(authorization=scope)) == RequestTarget("cloudwatch", "", WireProtocol.JSON)
    assert guess_target(request("/favicon.ico", method="GET")) == RequestTarget("sagemaker", "", WireProtocol.JSON)
