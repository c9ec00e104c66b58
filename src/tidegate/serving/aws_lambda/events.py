"""Events of AWS Lambda as requests for predictions. Pure.

Sources: API Gateway (REST and HTTP APIs), Application Load Balancer, Function URLs, direct invocations, SQS,
EventBridge. What nobody sent on purpose, such as a misspelt member, is an error: a default must not answer for it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEMBERS = {
    "contentType": b"content-type",
    "accept": b"accept",
    "customAttributes": b"x-amzn-sagemaker-custom-attributes",
    "inferenceId": b"x-amzn-sagemaker-inference-id",
    "targetModel": b"x-amzn-sagemaker-target-model",
    "targetContainerHostname": b"x-amzn-sagemaker-target-container-hostname",
}
"""Members of a direct invocation, and string attributes of an SQS message -> the headers that they stand for."""
_DIRECT = ("body", "isBase64Encoded", *MEMBERS)
_INTERNAL = b"x-tidegate-"
"""Headers that only the platform itself may set."""
_KINDS = (
    "API Gateway, a Function URL, SQS or EventBridge, or a direct one:"
    ' {"body": "1,2,3", "contentType": "text/csv"}'
)


class BadEvent(Exception):
    """The event cannot be a request for a prediction. ``status``: as in HTTP."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class PredictionRequest:
    """``headers`` have lower-case names. ``id``: of the message or event, if it has one."""

    body: bytes
    headers: Mapping[bytes, bytes]
    id: str = ""


@dataclass(frozen=True)
class HttpRequest:
    method: str
    path: str
    prediction: PredictionRequest


@dataclass(frozen=True)
class DirectRequest:
    prediction: PredictionRequest


@dataclass(frozen=True)
class BusEvent:
    """An event of EventBridge, for which nobody waits for the answer."""

    prediction: PredictionRequest


@dataclass(frozen=True)
class Message:
    """One message of SQS; without ``prediction``, ``problem`` says why."""

    id: str
    prediction: PredictionRequest | None
    problem: str = ""


@dataclass(frozen=True)
class MessageBatch:
    messages: tuple[Message, ...]
    ordered: bool
    """From a FIFO queue: nothing after a failed message may be done before it."""


Request = HttpRequest | DirectRequest | BusEvent | MessageBatch


def is_http(event: object) -> bool:
    return isinstance(event, dict) and ("httpMethod" in event or "requestContext" in event)


def parse(event: object) -> Request:
    """Raises BadEvent."""
    if not isinstance(event, dict):
        raise BadEvent(f"the event is not an object; expected one of {_KINDS}")
    if is_http(event):
        return _http(event)
    if "Records" in event:
        return _messages(event["Records"])
    if "detail-type" in event and "source" in event:
        return _bus_event(event)
    if "body" in event:
        return DirectRequest(_direct(event, "the event"))
    raise BadEvent(f"the event is of no known kind; expected one of {_KINDS}")


# --- HTTP ---


def _http(event: Mapping[str, Any]) -> HttpRequest:
    context = event.get("requestContext")
    if "httpMethod" in event:  # payload format 1.0, and load balancers
        method, path = event["httpMethod"], event.get("path")
    else:
        http = context.get("http") if isinstance(context, dict) else None
        if not isinstance(http, dict):
            raise BadEvent("the event has a requestContext without the http of payload format 2.0")
        method, path = http.get("method"), event.get("rawPath")
    if not isinstance(method, str):
        raise BadEvent("the event has no HTTP method")
    return HttpRequest(
        method.upper(),
        path if isinstance(path, str) else "/",
        PredictionRequest(_decode(event.get("body"), event.get("isBase64Encoded"), "the event"), _headers(event)),
    )


def _headers(event: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the headers of an event. If a name has several values, the last one counts, as in a worker."""
    found: dict[bytes, bytes] = {}
    for member in ("multiValueHeaders", "headers"):
        given = event.get(member) or {}
        if not isinstance(given, dict):
            raise BadEvent(f"the event's {member} are not an object")
        for name, value in given.items():
            last = value[-1] if isinstance(value, list) and value else value
            _add_header(found, name, last)
    return found


def _add_header(headers: dict[bytes, bytes], name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadEvent(f"header {name!a} is not a text")
    try:
        key, text = name.lower().encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError:
        raise BadEvent(f"header {name!a} has characters that HTTP does not allow") from None
    if not key.startswith(_INTERNAL):
        headers[key] = text


def _decode(body: object, encoded: object, where: str) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        raise BadEvent(f"the body of {where} is not a text")
    if encoded not in (None, False, True):
        raise BadEvent(f"isBase64Encoded of {where} must be true or false")
    if not encoded:
        try:
            return body.encode()
        except UnicodeEncodeError:
            raise BadEvent(f"the body of {where} is not Unicode: it has half of a surrogate pair") from None
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise BadEvent(f"the body of {where} is not base64, which isBase64Encoded says it is") from None


# --- direct invocations and EventBridge ---


def _direct(given: Mapping[str, Any], where: str) -> PredictionRequest:
    unknown = sorted(set(given) - set(_DIRECT))
    if unknown:
        raise BadEvent(f"{where} has a member {unknown[0]!a}; the members are {', '.join(_DIRECT)}")
    headers: dict[bytes, bytes] = {}
    for member, header in MEMBERS.items():
        if given.get(member) is not None:
            _add_header(headers, header.decode(), given[member])
    body = given["body"]
    if isinstance(body, dict | list):
        headers.setdefault(b"content-type", b"application/json")
        return PredictionRequest(_encode_json(body, where), headers)
    return PredictionRequest(_decode(body, given.get("isBase64Encoded"), where), headers)


def _encode_json(value: object, where: str) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise BadEvent(
            f"the body of {where} has a number that JSON does not have, or is nested too deeply"
        ) from None


def _bus_event(event: Mapping[str, Any]) -> BusEvent:
    """The event's ``detail`` is the request: in the form of a direct invocation if it has a ``body``, else JSON for
    the model."""
    detail, id = event.get("detail"), event.get("id")
    if not isinstance(detail, dict):
        raise BadEvent("the detail of the event is not an object")
    if "body" in detail:
        made = _direct(detail, "the event's detail")
    else:
        made = PredictionRequest(_encode_json(detail, "the event"), {b"content-type": b"application/json"})
    return BusEvent(PredictionRequest(made.body, made.headers, id if isinstance(id, str) else ""))


# --- SQS ---


def _messages(records: object) -> MessageBatch:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise BadEvent("the Records of the event are not a list of objects")
    sources = {str(record.get("eventSource")) for record in records}
    if sources - {"aws:sqs"}:
        raise BadEvent(f"records of {', '.join(sorted(sources))} are not served; expected those of aws:sqs")
    if any(not isinstance(record.get("messageId"), str) or not record["messageId"] for record in records):
        raise BadEvent("a record of SQS has no messageId")
    ordered = any(str(record.get("eventSourceARN", "")).endswith(".fifo") for record in records)
    return MessageBatch(tuple(_message(record) for record in records), ordered)


def _message(record: Mapping[str, Any]) -> Message:
    id = record["messageId"]
    try:
        headers, encoded = _attributes(record.get("messageAttributes") or {})
        body = _decode(record.get("body"), encoded, f"message {id}")
    except BadEvent as error:
        return Message(id, None, str(error))
    return Message(id, PredictionRequest(body, headers, id))


def _attributes(given: object) -> tuple[dict[bytes, bytes], bool]:
    """Return headers from the message's attributes, and whether its body is base64. Attributes for others are
    ignored."""
    if not isinstance(given, dict):
        raise BadEvent("messageAttributes is not an object")
    texts = {
        name: attribute.get("stringValue") for name, attribute in given.items() if isinstance(attribute, dict)
    }
    headers: dict[bytes, bytes] = {}
    for member, header in MEMBERS.items():
        if texts.get(member) is not None:
            _add_header(headers, header.decode(), texts[member])
    encoded = texts.get("isBase64Encoded")
    if encoded not in (None, "true", "false"):
        raise BadEvent("attribute isBase64Encoded must be true or false")
    return headers, encoded == "true"
