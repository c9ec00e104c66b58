"""Headers by which a request chooses a model, a container or a component; where there is no choice they are an
error."""

from tidegate.serving.contract.invocation import Call, Rejected
from tidegate.serving.contract.replica_spec import Serving

MODEL = b"x-amzn-sagemaker-target-model"
CONTAINER = b"x-amzn-sagemaker-target-container-hostname"
COMPONENT = b"x-amzn-sagemaker-inference-component"
EXPLANATIONS = b"x-amzn-sagemaker-enable-explanations"
HEADERS = frozenset((MODEL, CONTAINER, COMPONENT, EXPLANATIONS))
_CHOOSING = (
    (MODEL, Serving.MULTI_MODEL, "multi-model endpoint", "target model header"),
    (CONTAINER, Serving.DIRECT, "multi-container endpoint in Direct mode", "target container hostname header"),
)

_NO_COMPONENTS = (
    "Inference Component Name header is not allowed for endpoints to which you don't plan to deploy inference "
    "components. Please remove Inference Component Name header or consider using inference components."
)


def reject_target(call: Call, endpoint: str, serving: Serving) -> Rejected | None:
    """SageMaker's error for a request that names a model, a container or an inference component of an endpoint that
    has no choice of them, or that asks for explanations, which are not supported. Another model must not answer."""
    if HEADERS.isdisjoint(call.headers):
        return None
    if call.headers.get(COMPONENT):
        return Rejected(400, "ValidationError", _NO_COMPONENTS)
    if call.headers.get(EXPLANATIONS):
        message = f"Endpoint {endpoint} has no explainer and does not support enable explanations header."
        return Rejected(400, "ValidationError", message)
    for header, choosing, kind, what in _CHOOSING:
        if serving is not choosing and call.headers.get(header):
            message = f"Endpoint {endpoint} is not a {kind} and does not support {what}."
            return Rejected(400, "ValidationError", message)
    return None
