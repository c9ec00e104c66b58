"""Requests that name a model or a container where there is none to choose."""

from tidegate.worker.invocation import Call, Rejected
from tidegate.worker.spec import Serving

MODEL = b"x-amzn-sagemaker-target-model"
CONTAINER = b"x-amzn-sagemaker-target-container-hostname"
_CHOOSING = (
    (MODEL, Serving.MULTI_MODEL, "multi-model endpoint", "target model header"),
    (CONTAINER, Serving.DIRECT, "multi-container endpoint in Direct mode", "target container hostname header"),
)


def refused(call: Call, endpoint: str, serving: Serving) -> Rejected | None:
    """An answer in SageMaker's words to a request that names a model or a container where the endpoint has no
    choice of them: another one must not answer in its place."""
    if MODEL not in call.headers and CONTAINER not in call.headers:
        return None
    for header, choosing, kind, what in _CHOOSING:
        if serving is not choosing and call.headers.get(header):
            message = f"Endpoint {endpoint} is not a {kind} and does not support {what}."
            return Rejected(400, "ValidationError", message)
    return None
