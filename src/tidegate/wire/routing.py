"""Identifies the service, operation and protocol of a request; all services share one port."""

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
from tidegate.wire.validation import WrongType, abbreviate

MAX_INFLATED = 16 * 1024 * 1024
"""Maximum size of a decompressed body in bytes; PutMetricData's own limit is 1 MB."""


class WireProtocol(StrEnum):
    JSON = "json"
    QUERY = "query"
    REST = "rest-json"
    CBOR = "rpc-v2-cbor"
    OPENAI = "openai"
    """A prediction in OpenAI's format; only its errors differ from the runtime API's."""


@dataclass(frozen=True)
class RequestTarget:
    """The operation that a request asks for, and its protocol."""

    service: str
    operation: str
    protocol: WireProtocol
    content_type: str = "application/x-amz-json-1.1"
    query_mode: bool = False
    """The client expects the query protocol's error name in a header."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Members from the path."""


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
"""Service in a signature's credential scope -> tidegate's name of the service."""
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


def identify(request: WireRequest, body: bytes) -> RequestTarget:
    """Identify the operation; ``body`` is decompressed. Raises UnknownOperation or WrongType."""
    if target := request.headers.get("x-amz-target"):
        return _parse_target_header(request, target)
    if match := _RUNTIME_PATH.fullmatch(request.path):
        operation = RUNTIME.get(match[2], match[2])
        if request.method != "POST":
            raise UnknownOperation(f"{request.method} {abbreviate(request.path)} is not an operation: use POST")
        labels = {"EndpointName": unquote(match[1])}
        return RequestTarget("sagemaker-runtime", operation, WireProtocol.REST, "application/json", labels=labels)
    if match := _OPENAI_PATH.fullmatch(request.path):
        labels = {"EndpointName": unquote(match[1])}
        return RequestTarget(
            "sagemaker-runtime", "InvokeEndpoint", WireProtocol.OPENAI, "application/json", labels=labels
        )
    if match := _CBOR_PATH.fullmatch(request.path):
        prefix, operation = match.groups()
        service = PREFIXES.get(prefix, prefix)
        return RequestTarget(service, operation, WireProtocol.CBOR, "application/cbor", _query_mode(request))
    form = codec_query.parse_form(body if request.method == "POST" else request.query.encode())
    if action := form.get("Action"):
        found = VERSIONS.get(form.get("Version", "")) or _read_signed_service(request)
        if found is None:
            raise WrongType(f"'{abbreviate(action)}' needs a Version: one of {', '.join(sorted(VERSIONS))}")
        return RequestTarget(found, action, WireProtocol.QUERY, "text/xml")
    raise UnknownOperation(
        f"{request.method} {abbreviate(request.path)} is not an operation: expected an X-Amz-Target header, "
        "a form with an Action, or /endpoints/NAME/invocations"
    )


def _parse_target_header(request: WireRequest, target: str) -> RequestTarget:
    prefix, _, operation = target.rpartition(".")
    service = PREFIXES.get(prefix)
    if service is None:
        raise UnknownOperation(
            f"'{abbreviate(target)}' is not an operation of {', '.join(sorted(set(PREFIXES.values())))}"
        )
    given = request.headers.get("content-type", "").split(";")[0].strip()
    content_type = given if given.startswith("application/x-amz-json-1.") else "application/x-amz-json-1.1"
    return RequestTarget(service, operation, WireProtocol.JSON, content_type, _query_mode(request))


def _query_mode(request: WireRequest) -> bool:
    return request.headers.get("x-amzn-query-mode", "").lower() == "true"


def guess_target(request: WireRequest) -> RequestTarget:
    """The service and protocol of an arbitrary request, as far as they can be recognised. For answers to rejected
    requests."""
    try:
        return identify(request, inflate(request))
    except (UnknownOperation, WrongType, PayloadTooLarge):
        if request.headers.get("content-type", "").startswith(FORM):
            return RequestTarget(_read_signed_service(request) or "cloudwatch", "", WireProtocol.QUERY, "text/xml")
        return RequestTarget(_read_signed_service(request) or "sagemaker", "", WireProtocol.JSON)


def _read_signed_service(request: WireRequest) -> str | None:
    match = _SCOPE.search(request.headers.get("authorization", ""))
    return SCOPES.get(match[1]) if match else None


def inflate(request: WireRequest) -> bytes:
    """Decompress the body according to its Content-Encoding (gzip or none). Raises WrongType or TooLarge."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity", "aws-chunked"):
        return request.body
    if encoding != "gzip":
        raise WrongType(f"Content-Encoding '{abbreviate(encoding)}' is not supported: use gzip or none")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(request.body, MAX_INFLATED)
    except zlib.error as error:
        raise WrongType(f"the body is not gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise PayloadTooLarge(f"the body is over {MAX_INFLATED} bytes after decompression")
    if not unpacker.eof:
        raise WrongType("the gzip body is truncated")
    return body
