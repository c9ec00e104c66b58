"""Headers of a request for a prediction: which model, container or component they choose, an error where there is no
choice, and the limits of SageMaker's service model, which clients do not check."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from tidegate.serving.contract.invocation import Call, Rejected
from tidegate.serving.contract.replica_spec import Serving

MODEL = b"x-amzn-sagemaker-target-model"
CONTAINER = b"x-amzn-sagemaker-target-container-hostname"
COMPONENT = b"x-amzn-sagemaker-inference-component"
EXPLANATIONS = b"x-amzn-sagemaker-enable-explanations"
HEADERS = frozenset((MODEL, CONTAINER, COMPONENT, EXPLANATIONS))
_ASCII = rb"[\x00-\x7f]*"
_MOST_SHOWN = 256
_PRINTABLE = rb"\S[\x20-\x7e]*"


class _Limit(NamedTuple):
    member: str
    """Of the operation, as SageMaker's messages name it."""
    most: int
    """Characters."""
    pattern: bytes
    shown: str
    """The pattern as the service model has it."""
    secret: bool = False
    """Whether messages leave the value out."""


_LIMITS: Mapping[bytes, _Limit] = {
    b"content-type": _Limit("contentType", 1024, _ASCII, r"\p{ASCII}*"),
    b"accept": _Limit("accept", 1024, _ASCII, r"\p{ASCII}*"),
    b"x-amzn-sagemaker-accept": _Limit("accept", 1024, _ASCII, r"\p{ASCII}*"),
    b"x-amzn-sagemaker-custom-attributes": _Limit("customAttributes", 1024, _ASCII, r"\p{ASCII}*", secret=True),
    b"x-amzn-sagemaker-inference-id": _Limit("inferenceId", 64, _PRINTABLE, r"\A\S[\p{Print}]*\z"),
    b"x-amzn-sagemaker-prefix-aware-id": _Limit("prefixAwareId", 64, _PRINTABLE, r"\A\S[\p{Print}]*\z"),
    MODEL: _Limit("targetModel", 1024, _PRINTABLE, r"\A\S[\p{Print}]*\z"),
}
"""The headers whose values nothing else checks: an unknown variant, container or session is an error by itself."""
_CHOOSING = (
    (MODEL, Serving.MULTI_MODEL, "multi-model endpoint", "target model header"),
    (CONTAINER, Serving.DIRECT, "multi-container endpoint in Direct mode", "target container hostname header"),
)

_NO_COMPONENTS = (
    "Inference Component Name header is not allowed for endpoints to which you don't plan to deploy inference "
    "components. Please remove Inference Component Name header or consider using inference components."
)


def reject_target(call: Call, endpoint: str, serving: Serving) -> Rejected | None:
    """SageMaker's error for a request with a header that exceeds its limits, that names a model, a container or an
    inference component of an endpoint that has no choice of them, or that asks for explanations, which are not
    supported. Another model must not answer."""
    if violation := find_violation(call.headers):
        return Rejected(400, "ValidationError", violation)
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


def find_violation(headers: Mapping[bytes, bytes]) -> str | None:
    """SageMaker's message for a header that is too long or breaks its pattern; an empty one counts as absent."""
    for name, limit in _LIMITS.items():
        value = headers.get(name)
        if not value:
            continue
        if len(value) > limit.most:
            return _describe(limit, value, f"Member must have length less than or equal to {limit.most}")
        if re.fullmatch(limit.pattern, value) is None:
            return _describe(limit, value, f"Member must satisfy regular expression pattern: {limit.shown}")
    return None


def _describe(limit: _Limit, value: bytes, constraint: str) -> str:
    shown = "" if limit.secret else f" '{value[:_MOST_SHOWN].decode('ascii', 'replace')}'"
    return (
        f"1 validation error detected: Value{shown} at '{limit.member}' failed to satisfy constraint: {constraint}"
    )
