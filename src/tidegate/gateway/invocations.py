"""Predictions for those who cannot sign: the console, and commands with an API token. The server signs for them."""

from starlette.requests import Request
from starlette.responses import Response

from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name

PASSED_ON = (
    *("content-type", "accept", "x-amzn-sagemaker-target-model", "x-amzn-sagemaker-target-variant"),
    *("x-amzn-sagemaker-target-container-hostname", "x-amzn-sagemaker-session-id"),
    *("x-amzn-sagemaker-inference-id", "x-amzn-sagemaker-custom-attributes"),
)
RETURNED = (
    *("content-type", "x-amzn-invoked-production-variant", "x-tidegate-config", "retry-after"),
    *("x-amzn-sagemaker-new-session-id", "x-amzn-sagemaker-custom-attributes", "x-amzn-errortype"),
)
HARMLESS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""The answer is the model's: nothing of it may act as a page of the console."""


async def invoke(gateway: Gateway, request: Request) -> Response:
    name, body = parse_endpoint_name(request), bytes(request.state.body)
    headers = {key: request.headers[key] for key in PASSED_ON if key in request.headers}
    answer = await gateway.predict(f"/endpoints/{name}/invocations", headers, body)
    returned = {key: answer.headers[key] for key in RETURNED if key in answer.headers}
    return Response(answer.body, answer.status, {**returned, **HARMLESS})
