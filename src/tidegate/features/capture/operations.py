"""Converts SageMaker's DataCaptureConfig to the domain's and back."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import Version
from tidegate.wire.config_members import ConfigMember
from tidegate.wire.operation import Params

# Redaction of captures for clients of SageMaker's API, which has no member for it: tags of the endpoint config.
# Values of tags have no commas, so words are separated by spaces.


PREFIX = "tidegate:redact"
FIELDS, COLUMNS, KEY = f"{PREFIX}-fields", f"{PREFIX}-columns", f"{PREFIX}-key"
ALL, NONE = "all", "none"
"""In place of the names of detectors."""
W = TypeVar("W", bound=StrEnum)


def redact(capture: Capture | None, tags: Mapping[str, str]) -> Capture | None:
    """The capture with what its config's tags remove of it. Raises Invalid for a tag that means nothing: what it was
    to remove would be written."""
    given = {name: value for name, value in tags.items() if name.lower().startswith(PREFIX)}
    if not given:
        return capture
    unknown = sorted(given.keys() - {PREFIX, FIELDS, COLUMNS, KEY})
    if unknown:
        raise Invalid(f"the tag {unknown[0]} means nothing: use {PREFIX}, {FIELDS}, {COLUMNS} and {KEY}")
    if capture is None:
        raise Invalid(f"the tag {min(given)} redacts data capture, and the config has no DataCaptureConfig")
    if PREFIX not in given:
        raise Invalid(f"the tag {min(given)} needs {PREFIX} beside it: '{ALL}', '{NONE}', or names of detectors")
    return replace(
        capture,
        redaction=Redaction(
            fields=dict(_parse_field(word) for word in given.get(FIELDS, "").split()),
            detect=_parse_detectors(given[PREFIX]),
            columns=tuple(given.get(COLUMNS, "").split()),
            key=given.get(KEY) or None,
        ),
    )


def _parse_detectors(text: str) -> tuple[Detector, ...]:
    words = text.split()
    if words in ([ALL], [NONE]):
        return tuple(Detector) if words == [ALL] else ()
    if not words:
        raise Invalid(f"the tag {PREFIX} is empty: give '{ALL}', '{NONE}', or names of detectors")
    return tuple(_parse_word(word, Detector, PREFIX) for word in words)


def _parse_field(word: str) -> tuple[str, RedactionMethod]:
    name, equals, action = word.rpartition("=")
    if not (name and equals):
        raise Invalid(f"the tag {FIELDS} has {word!r}: expected NAME=ACTION, such as employee_id=hash")
    path = f"${name}" if name.startswith(".") else name  # values of tags have no $
    return path, _parse_word(action, RedactionMethod, FIELDS)


def _parse_word(word: str, kind: type[W], tag: str) -> W:
    try:
        return kind(word)
    except ValueError:
        raise Invalid(f"the tag {tag} has {word!r}: expected one of {', '.join(kind)}") from None


MODES = {"Input": (True, False), "Output": (False, True), "InputAndOutput": (True, True)}
_NAME = "DataCaptureConfig"


def _parse_capture(params: Params) -> Capture | None:
    """Parse the capture settings of a request; None if the member is absent. Without lists of content types
    everything is written in base64, as on SageMaker; ``EnableCapture`` is true unless it says otherwise."""
    given = params.get(_NAME)
    if given is None:
        return None
    modes = [MODES[option["CaptureMode"]] for option in given["CaptureOptions"]]
    types = given.get("CaptureContentTypeHeader", {})
    return Capture(
        destination=given["DestinationS3Uri"],
        percent=given["InitialSamplingPercentage"],
        enabled=given.get("EnableCapture", True),
        inputs=any(inputs for inputs, _ in modes),
        outputs=any(outputs for _, outputs in modes),
        csv=tuple(types.get("CsvContentTypes", ())),
        json=tuple(types.get("JsonContentTypes", ())),
        kms_key=given.get("KmsKeyId", ""),
    )


def render_capture(capture: Capture) -> Params:
    """Render a config that was not created through this API."""
    sides = {"Input": capture.inputs, "Output": capture.outputs}
    lists = {"CsvContentTypes": capture.csv, "JsonContentTypes": capture.json}
    return {
        "EnableCapture": capture.enabled,
        "InitialSamplingPercentage": capture.percent,
        "DestinationS3Uri": capture.destination,
        "KmsKeyId": capture.kms_key or None,
        "CaptureOptions": [{"CaptureMode": mode} for mode, chosen in sides.items() if chosen],
        "CaptureContentTypeHeader": {member: list(kinds) for member, kinds in lists.items() if kinds} or None,
    }


def _render_summary(capture: Capture) -> Params:
    """Render the capture summary of DescribeEndpoint. The response requires every member, so a key that is not set is
    empty."""
    return {
        "EnableCapture": capture.enabled,
        "CaptureStatus": "Started" if capture.enabled else "Stopped",
        "CurrentSamplingPercentage": capture.percent,
        "DestinationS3Uri": capture.destination,
        "KmsKeyId": capture.kms_key,
    }


def _read(config: EndpointConfig, params: Params, tags: Mapping[str, str]) -> EndpointConfig:
    return replace(config, capture=redact(_parse_capture(params), tags))


def _render(config: EndpointConfig) -> Params | None:
    return None if config.capture is None else render_capture(config.capture)


def _describe(version: Version) -> Params | None:
    capture = version.variants[0].capture
    return None if capture is None else _render_summary(capture)


MEMBER = ConfigMember(_NAME, _read, _render, _describe, PREFIX)
