"""Locations where the response of a request is stored, and notifications that a request has ended. Pure."""

from datetime import UTC, datetime
from typing import Any

from tidegate.domain.asynchronous import AsyncConfig, Item, ItemOutcome, OutcomeKind
from tidegate.domain.errors import Invalid


def locations(
    config: AsyncConfig, name: str, extension: str | None, filename: str | None
) -> tuple[str, str | None]:
    """Return the addresses of the response and of the failure. ``filename`` replaces ``name.out``. Raises Invalid for
    an extension that leads out of the folder."""
    parts = [part for part in (extension or "").split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise Invalid(f"S3OutputPathExtension {extension!r} must stay below the output path: leave out . and ..")
    below = "".join(f"/{part}" for part in parts)
    output = f"{config.output.rstrip('/')}{below}/{filename or f'{name}.out'}"
    if config.failure is None:
        return output, None
    return output, f"{config.failure.rstrip('/')}{below}/{filename or name}-error.out"


def sinks(item: Item, outcome: ItemOutcome) -> tuple[str, ...]:
    return item.success if outcome.end is OutcomeKind.COMPLETED else item.error


def notice(item: Item, outcome: ItemOutcome, region: str) -> dict[str, Any]:
    """The body of a notification, with SageMaker's members. ``eventId`` is added, the same each time it is sent."""
    done = outcome.end is OutcomeKind.COMPLETED
    asked = {"endpointName": item.endpoint, "inputLocation": item.input}
    body: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": _timestamp(outcome.at),
        "receivedTime": _timestamp(item.accepted_at),
        "invocationStatus": "Completed" if done else "Failed",
        "requestParameters": {
            "contentType": item.headers.get("content-type", "application/octet-stream"),
            **{name: value for name, value in asked.items() if value is not None},
        },
        "inferenceId": item.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
        "eventId": f"{item.id}-{'success' if done else 'error'}",
    }
    if done:
        body["responseParameters"] = {"contentType": outcome.content_type, "outputLocation": item.output}
    else:
        kind = "ExpiredError" if outcome.end is OutcomeKind.EXPIRED else "ClientError"
        body["failureReason"] = f"{kind}: {outcome.reason}"
        if item.failure is not None:
            body["responseParameters"] = {"failureLocation": item.failure}
    if outcome.shown is not None and ("success" if done else "error") in item.include:
        body["inferenceResponse"] = outcome.shown
    return body


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
