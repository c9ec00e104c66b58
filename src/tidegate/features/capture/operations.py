"""Converts SageMaker's DataCaptureConfig to the domain's and back."""

from tidegate.domain.capture import Capture
from tidegate.wire.operation import Params

MODES = {"Input": (True, False), "Output": (False, True), "InputAndOutput": (True, True)}
MEMBER = "DataCaptureConfig"


def parse_capture(params: Params) -> Capture | None:
    """None if the member is absent. Without lists of content types everything is written in base64, as on SageMaker;
    ``EnableCapture`` is true unless it says otherwise."""
    given = params.get(MEMBER)
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


def render_summary(capture: Capture) -> Params:
    """What DescribeEndpoint says. Every member is required there, so that a key which is not set is empty."""
    return {
        "EnableCapture": capture.enabled,
        "CaptureStatus": "Started" if capture.enabled else "Stopped",
        "CurrentSamplingPercentage": capture.percent,
        "DestinationS3Uri": capture.destination,
        "KmsKeyId": capture.kms_key,
    }
