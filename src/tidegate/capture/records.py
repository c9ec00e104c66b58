"""One line of captured data, in SageMaker's form: what was asked, what was answered, when, and under which id."""

import base64
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

CSV, JSON, BASE64 = "CSV", "JSON", "BASE64"
INPUT, OUTPUT = "INPUT", "OUTPUT"
_encode = msgspec.json.Encoder().encode


class Body(NamedTuple):
    """A body as it is written. ``encoding``: CSV, JSON or BASE64; ``data`` is never base64 yet."""

    data: bytes
    content_type: str
    encoding: str


class Event(NamedTuple):
    """What is captured of one request. ``at``: epoch seconds; ``attributes``: the client's own, empty if none."""

    id: str
    at: int
    inference_id: str
    attributes: str
    input: Body | None
    output: Body | None


class Encodings:
    """Chooses how a body is written, by its media type."""

    def __init__(self, csv: Collection[str], json: Collection[str]) -> None:
        self._known = {kind.lower(): CSV for kind in csv} | {kind.lower(): JSON for kind in json}

    def choose(self, content_type: str) -> str:
        return self._known.get(content_type.partition(";")[0].strip().lower(), BASE64)


def encode_event(event: Event) -> bytes:
    """One line, without its line break."""
    data: dict[str, object] = {}
    if event.input is not None:
        data["endpointInput"] = _side(event.input, INPUT)
    if event.output is not None:
        data["endpointOutput"] = _side(event.output, OUTPUT)
    about: dict[str, object] = {"eventId": event.id}
    if event.attributes:
        about["customAttributes"] = [event.attributes]
    if event.inference_id:
        about["inferenceId"] = event.inference_id
    about["inferenceTime"] = format_time(event.at)
    return _encode({"captureData": data, "eventMetadata": about, "eventVersion": "0"})


def _side(body: Body, mode: str) -> dict[str, str]:
    encoding = body.encoding
    if encoding != BASE64:
        try:
            text = body.data.decode()
        except UnicodeDecodeError:
            encoding = BASE64
    if encoding == BASE64:
        text = base64.b64encode(body.data).decode()
    return {"observedContentType": body.content_type, "mode": mode, "data": text, "encoding": encoding}


@lru_cache(maxsize=64)
def format_time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
