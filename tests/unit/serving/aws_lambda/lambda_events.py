"""Events in the forms that AWS documents, around a body of our own."""

import base64
from collections.abc import Mapping


def rest_api(
    body: str | None, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> dict[str, object]:
    """API Gateway, REST API: payload format 1.0."""
    given = dict(headers or {})
    return {
        "resource": "/score",
        "path": "/score",
        "httpMethod": method,
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "queryStringParameters": None,
        "requestContext": {"stage": "prod", "requestId": "c6af9ac6", "identity": {"sourceIp": "192.0.2.1"}},
        "body": body,
        "isBase64Encoded": False,
    }


def http_api(
    body: str | bytes | None, headers: Mapping[str, str] | None = None, method: str = "POST", path: str = "/score"
) -> dict[str, object]:
    """API Gateway, HTTP API, and Function URLs: payload format 2.0."""
    packed = isinstance(body, bytes)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.1"}, "requestId": "id"},
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": packed,
    }


def sqs(
    bodies: Mapping[str, str], content_type: str | None = "text/csv", fifo: bool = False
) -> dict[str, list[dict[str, object]]]:
    """``bodies``: by message id."""
    kind = {"contentType": {"stringValue": content_type, "dataType": "String"}} if content_type else {}
    queue = "payroll.fifo" if fifo else "payroll"
    return {
        "Records": [
            {
                "messageId": id,
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g"},
                "messageAttributes": kind,
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-central-1:123456789012:{queue}",
                "awsRegion": "eu-central-1",
            }
            for id, body in bodies.items()
        ]
    }


def event_bridge(detail: object) -> dict[str, object]:
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "payroll submission",
        "source": "payroll.app",
        "account": "123456789012",
        "time": "2026-11-26T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    }
