"""Converts SageMaker's DataCaptureConfig to the domain's and back."""

from collections.abc import Mapping
from dataclasses import replace

from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.rollout import Version
from tidegate.features.capture import tags as capture_tags
from tidegate.wire.config_members import ConfigMember
from tidegate.wire.operation import Params

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
    return replace(config, capture=capture_tags.redact(_parse_capture(params), tags))


def _render(config: EndpointConfig) -> Params | None:
    return None if config.capture is None else render_capture(config.capture)


def _describe(version: Version) -> Params | None:
    capture = version.variants[0].capture
    return None if capture is None else _render_summary(capture)


MEMBER = ConfigMember(_NAME, _read, _render, _describe, capture_tags.PREFIX)
