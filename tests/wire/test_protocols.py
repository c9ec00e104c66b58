"""What every request meets whatever it asks for: protocols, bad bodies, unknown operations and members."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.session import Session

from tests.memory_audit import guard_of
from tests.served_wire import ACCOUNT, KEY, REGION, Served, serve
from tidegate.domain import errors
from tidegate.domain.errors import TidegateError
from tidegate.domain.registry import ContainerDefinition
from tidegate.wire import dispatch
from tidegate.wire.operation import WireRequest, WireResponse

JSON_11 = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded"
STS = "Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture
def wire() -> Iterator[Served]:
    """Nothing here depends on the kind of database."""
    with serve("sqlite://") as served:
        yield served


def post(wire: Served, operation: str, body: object, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": JSON_11}
    named.update({name.replace("_", "-"): value for name, value in headers.items()})
    return httpx.post(wire.url, content=content, headers=named)


def form(wire: Served, body: str, **headers: str) -> httpx.Response:
    named = {"Content-Type": FORM, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(wire.url, content=body.encode(), headers=named)


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["x-amzn-RequestId"]
    body = answer.json()
    assert answer.headers["x-amzn-ErrorType"] == body["__type"]
    return answer.status_code, body["__type"], body.get("message") or body["Message"]


def xml_refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = ElementTree.fromstring(answer.content).find("{*}Error")
    assert error is not None
    texts = {child.tag.rpartition("}")[2]: child.text or "" for child in error}
    assert texts["Type"] == ("Sender" if answer.status_code < 500 else "Receiver")
    return answer.status_code, texts["Code"], texts["Message"]


def test_a_json_answer_speaks_the_version_of_its_request(wire: Served) -> None:
    for version in ("application/x-amz-json-1.0", JSON_11):
        answer = post(wire, "ListModels", {}, Content_Type=version)
        assert (answer.status_code, answer.headers["content-type"]) == (200, version)
        assert answer.json() == {"Models": []}
    assert post(wire, "ListModels", b"").json() == {"Models": []}


def test_unknown_members_are_refused_with_the_nearest_known_one(wire: Served) -> None:
    assert refusal(post(wire, "CreateModel", {"ModelNam": "fraud"})) == (
        400,
        "ValidationException",
        "2 validation errors detected: Unknown member 'ModelNam' at 'the request': did you mean 'ModelName'?; "
        "Value null at 'modelName' failed to satisfy constraint: Member must not be null",
    )
    nested = {"ModelName": "fraud", "PrimaryContainer": {"Image": "x", "modeldataurl": "s3://b/k"}}
    assert refusal(post(wire, "CreateModel", nested))[2] == (
        "1 validation error detected: Unknown member 'modeldataurl' at 'primaryContainer': "
        "did you mean 'ModelDataUrl'?"
    )
    assert "known are EndpointName" in refusal(post(wire, "DescribeEndpoint", {"EndpointName": "a", "Q": 1}))[2]
    assert wire.journal() == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"MaxResults": NaN}', "NaN is not JSON"),
        ([], "the body is a list, expected an object"),
        ({"NameContains": 5}, "Value '5' at 'nameContains' is a number, expected a string"),
        ({"NameContains": ["a"]}, "is a list, expected a string"),
        ({"MaxResults": "5"}, "Value '5' at 'maxResults' is a string, expected an integer"),
        ({"MaxResults": True}, "is a boolean, expected an integer"),
        ({"MaxResults": 1.5}, "is a number, expected an integer"),
        ({"MaxResults": 2**31}, "expected an integer of 32 bits"),
        ({"CreationTimeAfter": "yesterday"}, "expected a time (epoch seconds or ISO 8601)"),
        ({"CreationTimeAfter": 1e300}, "expected a time"),
        ({"CreationTimeAfter": {}}, "is an object, expected a time"),
    ],
)
def test_wrong_types_are_serialization_errors(wire: Served, body: object, message: str) -> None:
    status, name, said = refusal(post(wire, "ListModels", body))
    assert (status, name) == (400, "SerializationException")
    assert message in said


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("PrimaryContainer", "x", "expected an object"),
        ("Containers", {}, "expected a list"),
        ("Containers", [None], "Value 'None' at 'containers.1.member' is null, expected an object"),
        ("PrimaryContainer", {"Environment": {"A": 1}}, "at 'primaryContainer.environment.A' is a number"),
        ("EnableNetworkIsolation", "true", "is a string, expected true or false"),
    ],
)
def test_nested_types_are_checked(wire: Served, member: str, value: object, message: str) -> None:
    status, name, said = refusal(post(wire, "CreateModel", {"ModelName": "fraud", member: value}))
    assert (status, name) == (400, "SerializationException")
    assert message in said


@pytest.mark.parametrize(
    "moment",
    [
        1772366400,
        1772366400.0,
        "1772366400",
        "2026-03-01T12:00:00Z",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01T12:00:00",
        "Sun, 01 Mar 2026 12:00:00 GMT",
    ],
)
def test_times_are_taken_in_every_form(wire: Served, moment: object) -> None:
    post(wire, "CreateModel", {"ModelName": "fraud", "PrimaryContainer": {"Image": "x"}})
    wire.clock.advance(1)
    post(wire, "CreateModel", {"ModelName": "later", "PrimaryContainer": {"Image": "x"}})
    found = post(wire, "ListModels", {"CreationTimeAfter": moment}).json()["Models"]
    assert [entry["ModelName"] for entry in found] == ["later"]


def test_a_null_is_a_member_left_out(wire: Served) -> None:
    body = {"ModelName": "fraud", "PrimaryContainer": {"Image": "x", "ModelDataUrl": None}, "Containers": None}
    assert post(wire, "CreateModel", body).status_code == 200


def test_long_values_and_many_failures_are_shortened(wire: Served) -> None:
    said = refusal(post(wire, "DescribeModel", {"ModelName": "x" * 100_000}))[2]
    assert said.startswith(f"1 validation error detected: Value '{'x' * 256}...' at 'modelName'")
    tags = [{"Key": "#", "Value": ""}] * 40
    said = refusal(
        post(wire, "AddTags", {"ResourceArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/x", "Tags": tags})
    )[2]
    assert said.startswith("40 validation errors detected: ") and said.endswith("; ...")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("SageMaker.CreateTrainingJob", "CreateTrainingJob of sagemaker is not supported yet"),
        ("SageMaker.MakeCoffee", "MakeCoffee is not an operation of sagemaker"),
        ("DynamoDB_20120810.PutItem", "'DynamoDB_20120810.PutItem' is not an operation of"),
        ("", "POST / is not an operation"),
    ],
)
def test_unknown_operations_are_named(wire: Served, target: str, message: str) -> None:
    status, name, said = refusal(post(wire, "ListModels", {}, X_Amz_Target=target))
    assert (status, name) == (400, "UnknownOperationException")
    assert message in said


def test_an_operation_that_boto_knows_and_we_do_not_is_a_typed_error(wire: Served) -> None:
    with pytest.raises(ClientError) as refused:
        wire.client("sagemaker").list_training_jobs()
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


def test_cbor_is_served(wire: Served) -> None:
    def call(operation: str, params: dict[str, Any]) -> tuple[httpx.Response, dict[str, Any]]:
        model = Session().get_service_model("cloudwatch").operation_model(operation)
        sent = create_serializer("smithy-rpc-v2-cbor").serialize_to_request(params, model)
        answer = httpx.post(wire.url + sent["url_path"], content=sent["body"], headers=sent["headers"])
        assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
        parser = create_parser("smithy-rpc-v2-cbor")
        raw = {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content}
        return answer, parser.parse(raw, model.output_shape)

    alarm = {
        "AlarmName": "errors",
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    assert call("PutMetricAlarm", alarm)[0].status_code == 200
    (found,) = call("DescribeAlarms", {})[1]["MetricAlarms"]
    assert {name: found[name] for name in alarm} == alarm
    assert found["AlarmConfigurationUpdatedTimestamp"] == wire.clock.now()
    state = {"AlarmName": "none", "StateValue": "OK", "StateReason": "test"}
    refused, parsed = call("SetAlarmState", state)
    assert refused.status_code == 404
    assert parsed["Error"]["Code"] == "ResourceNotFound"
    assert refused.headers["x-amzn-query-error"] == "ResourceNotFound;Sender"


def test_a_gzip_request_body_is_decompressed(wire: Served) -> None:
    packed = gzip.compress(b'{"MaxResults": 1}')
    assert post(wire, "ListModels", packed, Content_Encoding="gzip").status_code == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (b"not gzip", "gzip", 400, "the body is not gzip"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-8], "gzip", 400, "is truncated"),
        (
            gzip.compress(b" " * (17 * 1024 * 1024), mtime=0),
            "gzip",
            413,
            "over 16777216 bytes after decompression",
        ),
        (b"{}", "br", 400, "Content-Encoding 'br' is not supported"),
    ],
    ids=["not-gzip", "cut-off", "too-large", "brotli"],
)
def test_a_damaged_gzip_request_body_is_refused(
    wire: Served, body: bytes, encoding: str, status: int, message: str
) -> None:
    refused = refusal(post(wire, "ListModels", body, Content_Encoding=encoding))
    assert refused[0] == status
    assert message in refused[2]


def test_sts_names_the_caller(wire: Served) -> None:
    found = wire.client("sts").get_caller_identity()
    assert {name: found[name] for name in ("UserId", "Account", "Arn")} == {
        "UserId": KEY,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{KEY}",
    }
    unsigned = form(wire, STS)
    assert f"<Arn>arn:aws:iam::{ACCOUNT}:root</Arn>" in unsigned.text
    assert unsigned.headers["content-type"] == "text/xml"
    assert httpx.get(f"{wire.url}/?{STS}").text.count(ACCOUNT) == unsigned.text.count(ACCOUNT)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "Action=AssumeRole&Version=2011-06-15",
            (400, "InvalidAction", "AssumeRole of sts is not supported yet"),
        ),
        ("Action=Nothing&Version=2011-06-15", (400, "InvalidAction", "Nothing is not an operation of sts")),
        (
            f"{STS}&Account=1",
            (
                400,
                "ValidationError",
                "1 validation error detected: Unknown member 'Account' at 'the request': known are none",
            ),
        ),
    ],
)
def test_query_errors_are_xml(wire: Served, body: str, expected: tuple[int, str, str]) -> None:
    assert xml_refusal(form(wire, body)) == expected


def test_a_form_without_a_version_is_placed_by_the_credential_scope(wire: Served) -> None:
    scope = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20260301/{REGION}/sts/aws4_request, SignedHeaders=host, Signature=0"
    )
    assert form(wire, "Action=GetCallerIdentity", Authorization=scope).status_code == 200
    status, name, said = xml_refusal(form(wire, "Action=GetCallerIdentity"))
    assert (status, name) == (400, "MalformedInput")
    assert "needs a Version: one of 2010-08-01, 2011-06-15" in said


def test_a_refused_form_is_answered_in_xml_even_when_packed(wire: Served) -> None:
    packed = gzip.compress(b"Action=Nothing&Version=2011-06-15")
    headers = {"Content-Type": FORM, "Content-Encoding": "gzip"}
    assert xml_refusal(httpx.post(wire.url, content=packed, headers=headers))[1] == "InvalidAction"
    assert xml_refusal(httpx.post(wire.url, content=packed[:-8], headers=headers))[1] == "MalformedInput"


def test_invoking_an_endpoint_that_is_not_there(wire: Served) -> None:
    with pytest.raises(ClientError) as refused:
        wire.client("sagemaker-runtime").invoke_endpoint(EndpointName="fraud", Body=b"1,2")
    answer = refused.value.response
    assert answer["Error"] == {
        "Code": "ValidationError",
        "Message": f"Endpoint fraud of account {ACCOUNT} not found.",
    }
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_invoking_an_endpoint_that_is_not_in_service(wire: Served) -> None:
    sagemaker, runtime = wire.client("sagemaker"), wire.client("sagemaker-runtime")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "x"})
    variant = {"VariantName": "a", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="c")
    with pytest.raises(ClientError) as creating:
        runtime.invoke_endpoint(EndpointName="fraud", Body=b"")
    assert creating.value.response["Error"]["Code"] == "ValidationError"
    assert "Endpoint fraud is not in service: it is Creating" in creating.value.response["Error"]["Message"]
    wire.settle("fraud")
    with pytest.raises(ClientError) as serving:
        runtime.invoke_endpoint(EndpointName="fraud", Body=b"")
    assert serving.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert serving.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_the_names_in_a_runtime_path_are_checked(wire: Served) -> None:
    answer = httpx.post(f"{wire.url}/endpoints/%2e%2e/invocations", content=b"")
    status, name, said = refusal(answer)
    assert (status, name) == (400, "ValidationError")
    assert "Value '..' at 'endpointName' failed to satisfy constraint" in said


@pytest.mark.parametrize("path", ["invocations", "invocations-response-stream"])
def test_predictions_of_an_unknown_endpoint_are_refused(wire: Served, path: str) -> None:
    status, name, said = refusal(httpx.post(f"{wire.url}/endpoints/nobody/{path}", content=b"x"))
    assert (status, name) == (400, "ValidationError")
    assert said == "Endpoint nobody of account 123456789012 not found."


@pytest.mark.parametrize(("method", "path"), [("POST", "chat/completions"), ("GET", "models")])
def test_openai_clients_get_errors_in_their_own_format(wire: Served, method: str, path: str) -> None:
    answer = httpx.request(method, f"{wire.url}/endpoints/nobody/v1/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "Endpoint nobody of account 123456789012 not found.",
        "type": "not_found_error",
        "param": None,
        "code": "ValidationError",
    }


@pytest.mark.parametrize("path", ["other"])
def test_other_runtime_operations_are_unknown(wire: Served, path: str) -> None:
    status, name, _ = refusal(httpx.post(f"{wire.url}/endpoints/fraud/{path}", content=b""))
    assert (status, name) == (404, "UnknownOperationException")


def test_predictions_are_asked_for_with_post(wire: Served) -> None:
    status, name, said = refusal(httpx.get(f"{wire.url}/endpoints/fraud/invocations"))
    assert (status, name) == (400, "UnknownOperationException")
    assert said == "GET /endpoints/fraud/invocations is not an operation: use POST"


TARGETED = WireRequest("POST", "/", "", {"x-amz-target": "SageMaker.ListModels"}, b"{}")
INVOKED = WireRequest("POST", "/endpoints/fraud/invocations", "", {}, b"")
FORMED = WireRequest("POST", "/", "", {"content-type": FORM}, STS.encode())
STRANGE = WireRequest("GET", "/favicon.ico", "", {}, b"")


@pytest.mark.parametrize(
    ("error", "json", "rest", "query"),
    [
        (
            errors.MissingAuthentication("Missing Authentication Token"),
            (400, "MissingAuthenticationTokenException"),
            (403, "MissingAuthenticationTokenException"),
            (403, "MissingAuthenticationToken"),
        ),
        (
            errors.IncompleteSignature("x"),
            (400, "IncompleteSignatureException"),
            (403, "IncompleteSignatureException"),
            (403, "IncompleteSignature"),
        ),
        (
            errors.InvalidSignature("x"),
            (400, "InvalidSignatureException"),
            (403, "InvalidSignatureException"),
            (403, "SignatureDoesNotMatch"),
        ),
        (
            errors.UnknownKey("x"),
            (400, "UnrecognizedClientException"),
            (403, "UnrecognizedClientException"),
            (403, "InvalidClientTokenId"),
        ),
        (
            errors.ExpiredToken("x"),
            (400, "ExpiredTokenException"),
            (403, "ExpiredTokenException"),
            (403, "ExpiredToken"),
        ),
        (
            errors.AuthError("x"),
            (400, "AccessDeniedException"),
            (403, "AccessDeniedException"),
            (403, "AccessDenied"),
        ),
        (
            errors.PayloadTooLarge("x"),
            (413, "RequestEntityTooLargeException"),
            (413, "ValidationError"),
            (413, "RequestEntityTooLarge"),
        ),
    ],
)
def test_a_refusal_is_answered_in_the_protocol_of_the_request(
    wire: Served,
    error: TidegateError,
    json: tuple[int, str],
    rest: tuple[int, str],
    query: tuple[int, str],
) -> None:
    def asked(request: WireRequest) -> tuple[int, str]:
        answer = dispatch.refuse(request, wire.ctx, error)
        return answer.status, name_of(answer)

    assert asked(TARGETED) == asked(STRANGE) == json
    assert asked(INVOKED) == rest
    assert asked(FORMED) == query


def name_of(answer: WireResponse) -> str:
    if answer.headers["Content-Type"] == "text/xml":
        code = ElementTree.fromstring(answer.body).find("{*}Error/{*}Code")
        assert code is not None and code.text is not None
        return code.text
    name: str = json.loads(answer.body)["__type"]
    return name


def test_an_internal_error_reveals_nothing_but_the_request_id(
    wire: Served, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(container: ContainerDefinition) -> None:
        raise RuntimeError(f"no table for {container.image}")

    body = json.dumps({"ModelName": "m", "PrimaryContainer": {"Image": "secret"}}).encode()
    request = WireRequest("POST", "/", "", {"x-amz-target": "SageMaker.CreateModel"}, body)
    answer = wire.run(dispatch.handle(request, replace(wire.ctx, runnable=broken), guard_of(wire.clock)))
    said = json.loads(answer.body)
    assert (answer.status, said["__type"]) == (500, "InternalFailure")
    assert answer.headers["x-amzn-RequestId"] in said["message"]
    assert "secret" not in said["message"] and "no table for secret" in caplog.text
    assert wire.journal() == []


def test_an_answer_holds_whatever_text_a_model_has(wire: Served) -> None:
    environment = {"A": "<&>\"'\n\x07é漢"}
    post(wire, "CreateModel", {"ModelName": "m", "PrimaryContainer": {"Image": "x", "Environment": environment}})
    found: dict[str, Any] = post(wire, "DescribeModel", {"ModelName": "m"}).json()
    assert found["PrimaryContainer"]["Environment"] == environment
