"""Names the service, the operation and the protocol of a request; every service shares one port."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

from tidegate.domain.errors import PayloadTooLarge
from tidegate.wire import codec_query
from tidegate.wire.errors import UnknownOperation
from tidegate.wire.operation import WireRequest
from tidegate.wire.validation import WrongType, shown

INFLATED = 16 * 1024 * 1024
"""Bytes that a compressed body may grow to; PutMetricData's own limit is 1 MB."""


class Protocol(StrEnum):
    JSON = "json"
    QUERY = "query"
    REST = "rest-json"
    CBOR = "rpc-v2-cbor"
    OPENAI = "openai"
    """A prediction in OpenAI's manner; only its errors differ from the runtime's."""


@dataclass(frozen=True)
class Target:
    """What a request asks for and how it speaks."""

    service: str
    operation: str
    protocol: Protocol
    content_type: str = "application/x-amz-json-1.1"
    query_mode: bool = False
    """The client wants the query protocol's error name in a header."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Members that the path holds."""


PREFIXES = {
    "SageMaker": "sagemaker",
    "GraniteServiceVersion20100801": "cloudwatch",
    "AnyScaleFrontendService": "application-autoscaling",
    "Logs_20140328": "logs",
}
VERSIONS = {"2010-08-01": "cloudwatch", "2011-06-15": "sts"}
SCOPES = {
    "sagemaker": "sagemaker",
    "monitoring": "cloudwatch",
    "application-autoscaling": "application-autoscaling",
    "logs": "logs",
    "sts": "sts",
}
"""The service in the credential scope of a signature -> ours."""
FORM = "application/x-www-form-urlencoded"
RUNTIME = {
    "invocations": "InvokeEndpoint",
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
_RUNTIME_PATH = re.compile(r"/endpoints/([^/]+)/([^/]+)")
_OPENAI_PATH = re.compile(r"/endpoints/([^/]+)/v1/.+")
_CBOR_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)")
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d+/[^/,\s]*/([^/,\s]+)/")


def identify(request: WireRequest, body: bytes) -> Target:
    """``body`` is the inflated one. Raises UnknownOperation or WrongType."""
    if target := request.headers.get("x-amz-target"):
        return _by_target(request, target)
    if match := _RUNTIME_PATH.fullmatch(request.path):
        operation = RUNTIME.get(match[2], match[2])
        if request.method != "POST":
            raise UnknownOperation(f"{request.method} {shown(request.path)} is no operation: use POST")
        labels = {"EndpointName": unquote(match[1])}
        return Target("sagemaker-runtime", operation, Protocol.REST, "application/json", labels=labels)
    if match := _OPENAI_PATH.fullmatch(request.path):
        labels = {"EndpointName": unquote(match[1])}
        return Target("sagemaker-runtime", "InvokeEndpoint", Protocol.OPENAI, "application/json", labels=labels)
    if match := _CBOR_PATH.fullmatch(request.path):
        prefix, operation = match.groups()
        service = PREFIXES.get(prefix, prefix)
        return Target(service, operation, Protocol.CBOR, "application/cbor", _query_mode(request))
    form = codec_query.fields(body if request.method == "POST" else request.query.encode())
    if action := form.get("Action"):
        found = VERSIONS.get(form.get("Version", "")) or _scope(request)
        if found is None:
            raise WrongType(f"'{shown(action)}' needs a Version: {', '.join(sorted(VERSIONS))} are served")
        return Target(found, action, Protocol.QUERY, "text/xml")
    raise UnknownOperation(
        f"{request.method} {shown(request.path)} is no operation: expected an X-Amz-Target header, "
        "a form with an Action, or /endpoints/NAME/invocations"
    )


def _by_target(request: WireRequest, target: str) -> Target:
    prefix, _, operation = target.rpartition(".")
    service = PREFIXES.get(prefix)
    if service is None:
        raise UnknownOperation(f"'{shown(target)}' is no operation of {', '.join(sorted(set(PREFIXES.values())))}")
    given = request.headers.get("content-type", "").split(";")[0].strip()
    content_type = given if given.startswith("application/x-amz-json-1.") else "application/x-amz-json-1.1"
    return Target(service, operation, Protocol.JSON, content_type, _query_mode(request))


def _query_mode(request: WireRequest) -> bool:
    return request.headers.get("x-amzn-query-mode", "").lower() == "true"


def manner(request: WireRequest) -> Target:
    """How to speak to a client whose request may be anything: its service and protocol as far as they show."""
    try:
        return identify(request, inflated(request))
    except (UnknownOperation, WrongType, PayloadTooLarge):
        if request.headers.get("content-type", "").startswith(FORM):
            return Target(_scope(request) or "cloudwatch", "", Protocol.QUERY, "text/xml")
        return Target(_scope(request) or "sagemaker", "", Protocol.JSON)


def _scope(request: WireRequest) -> str | None:
    match = _SCOPE.search(request.headers.get("authorization", ""))
    return SCOPES.get(match[1]) if match else None


def inflated(request: WireRequest) -> bytes:
    """The body without its Content-Encoding (gzip or none). Raises WrongType or TooLarge."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity", "aws-chunked"):
        return request.body
    if encoding != "gzip":
        raise WrongType(f"Content-Encoding '{shown(encoding)}' is not served: use gzip or none")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(request.body, INFLATED)
    except zlib.error as error:
        raise WrongType(f"the body is not gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise PayloadTooLarge(f"the body is over {INFLATED} bytes when inflated")
    if not unpacker.eof:
        raise WrongType("the gzip body ends too early")
    return body
