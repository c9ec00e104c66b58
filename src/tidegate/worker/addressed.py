"""Requests that name a model where there is none to choose."""

from tidegate.worker.invocation import Call, Rejected

MODEL = b"x-amzn-sagemaker-target-model"


def refused(call: Call, endpoint: str) -> Rejected | None:
    """For an endpoint of one model: an answer in SageMaker's words to a request that names another, which the
    model that is there must not answer in its place."""
    if not call.headers.get(MODEL):
        return None
    message = f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header."
    return Rejected(400, "ValidationError", message)
