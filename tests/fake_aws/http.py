"""Answers the HTTP requests of botocore's clients from a fake account, in the protocol that the client speaks."""

import gzip
import io
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.validate import ParamValidator

from tests.fake_aws.faults import AwsRefusal, Faults
from tidegate.wire import codec_cbor, codec_json, codec_query, output_shapes, schema

Params = dict[str, Any]
MODELS = {
    "sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker-runtime",
    "cloudwatch": "cloudwatch",
    "cloudwatch-logs": "logs",
    "application-auto-scaling": "application-autoscaling",
    "sts": "sts",
    "iam": "iam",
    "service-quotas": "service-quotas",
    "ecr": "ecr",
}
"""Service in botocore's events -> its name in botocore's data."""


HttpAnswer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class FakeAccount(Protocol):
    def perform(self, service: str, operation: str, params: Params) -> Params: ...

    def store(self, operation: str, method: str, url: str, headers: dict[str, str], body: bytes) -> HttpAnswer: ...

    faults: Faults


class _Raw(io.BytesIO):
    """What botocore expects of urllib3."""

    def stream(self, *_: Any, **__: Any) -> Any:
        while chunk := self.read(65_536):
            yield chunk


def answer_requests(account: FakeAccount) -> Callable[..., AWSResponse]:
    """A handler of ``before-send``."""

    def handle(request: Any, event_name: str, **more: Any) -> AWSResponse:
        service, operation = event_name.split(".")[1:]
        if account.faults.drops(operation):
            raise ReadTimeoutError(endpoint_url=request.url)
        status, headers, body = _answer(account, service, operation, request)
        if status < 300 and account.faults.loses(operation):
            raise ReadTimeoutError(endpoint_url=request.url)
        return AWSResponse(request.url, status, headers, _Raw(body))

    return handle


def _answer(account: FakeAccount, service: str, operation: str, request: Any) -> HttpAnswer:
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    body = _body(request.body, headers)
    if service == "s3":
        try:
            return account.store(operation, request.method, request.url, headers, body)
        except AwsRefusal as error:
            said = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
            return error.status, {}, b"" if request.method == "HEAD" else said.encode()
    name = MODELS[service]
    return answer_call(
        lambda params: account.perform(name, operation, params), name, operation, request.url, headers, body
    )


def answer_call(
    perform: Callable[[Params], Params],
    service: str,
    operation: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
) -> HttpAnswer:
    """``service``: as in botocore's data. ``headers`` have lower-case names. The answer is checked against the
    operation's output shape."""
    model = schema.load(service, (operation,))
    protocol = _protocol(headers, body)
    shape = model.operation(operation)
    try:
        params = _parse(protocol, shape, url, headers, body)
        found = perform(params)
        members = output_shapes.drop_empty(shape.output_shape, found)
        report = ParamValidator().validate(members, shape.output_shape) if shape.output_shape else None
        assert report is None or not report.has_errors(), f"{operation}: {report.generate_report()}"
        return _render(protocol, model, operation, shape, members)
    except AwsRefusal as error:
        return _render_error(protocol, model, error)


def _protocol(headers: dict[str, str], body: bytes) -> str:
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "cbor"
    if "x-amz-target" in headers:
        return "json"
    return "query" if body.startswith(b"Action=") or b"&Action=" in body else "rest"


def _parse(protocol: str, shape: Any, url: str, headers: dict[str, str], body: bytes) -> Params:
    unknown: list[str] = []
    match protocol:
        case "cbor":
            params = codec_cbor.parse(shape.input_shape, body, unknown)
        case "json":
            params = codec_json.parse(shape.input_shape, body, unknown)
        case "query":
            params = codec_query.parse(shape.input_shape, codec_query.parse_form(body), unknown)
        case _:
            found = re.search(r"/endpoints/([^/]+)/", url)
            labels = {"EndpointName": found[1]} if found else {}
            return codec_json.parse_rest(shape.input_shape, labels, headers, body)
    if unknown:
        raise AwsRefusal("ValidationException", f"unknown members: {unknown}")
    return params


def _render(protocol: str, model: Any, operation: str, shape: Any, members: Params) -> HttpAnswer:
    match protocol:
        case "cbor":
            return 200, {"smithy-protocol": "rpc-v2-cbor"}, codec_cbor.render(members)
        case "json":
            return (
                200,
                {"Content-Type": "application/x-amz-json-1.1"},
                codec_json.render(shape.output_shape, members),
            )
        case "query":
            return (
                200,
                {"Content-Type": "text/xml"},
                codec_query.render(operation, shape.output_shape, members, model.namespace, "request-1"),
            )
    headers, rest = codec_json.split_headers(shape.output_shape, members)
    return 200, headers, rest if isinstance(rest, bytes) else rest.get("Body", b"")


def _render_error(protocol: str, model: Any, error: AwsRefusal) -> HttpAnswer:
    if protocol == "query":
        body = codec_query.render_error(error.code, error.message, "Sender", model.namespace, "request-1")
        return error.status, {"Content-Type": "text/xml"}, body
    headers = {"x-amzn-ErrorType": error.code}
    said = {"__type": error.code, "message": error.message, "Message": error.message}
    if protocol == "cbor":
        headers |= {"smithy-protocol": "rpc-v2-cbor", "x-amzn-query-error": f"{error.code};Sender"}
        return error.status, headers, codec_cbor.render(said)
    return error.status, headers, json.dumps(said).encode()


def _body(body: Any, headers: dict[str, str]) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        body = body.read()
    raw = body.encode() if isinstance(body, str) else bytes(body)
    return gzip.decompress(raw) if headers.get("content-encoding") == "gzip" else raw


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
