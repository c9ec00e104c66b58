"""Members that Application Auto Scaling's operations share: what is scaled, resource names, pages."""

import base64
import json
import re
import uuid
from collections.abc import Sequence
from typing import TypeVar

from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import Dimension
from tidegate.features.autoscaling.service import ScalableKey
from tidegate.ports.clock import Ids
from tidegate.wire.errors import NamedError
from tidegate.wire.operation import OperationCall, Params

T = TypeVar("T")

NAMESPACE = "sagemaker"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")


def parse_key(params: Params) -> ScalableKey:
    """The key that ServiceNamespace, ResourceId and ScalableDimension identify. Raises Invalid for resources that are
    not supported."""
    if params["ServiceNamespace"] != NAMESPACE:
        raise Invalid(f"Service namespace {params['ServiceNamespace']} is not supported: only {NAMESPACE} is")
    resource, dimension = params["ResourceId"], params["ScalableDimension"]
    match = _RESOURCE.fullmatch(resource)
    if match is None:
        raise Invalid(f"Resource ID {resource} is not supported: expected endpoint/NAME/variant/NAME")
    if dimension not in list(Dimension):
        raise Invalid(f"Scalable dimension {dimension} is not supported: use one of {', '.join(Dimension)}")
    return ScalableKey(match[1], match[2], Dimension(dimension))


def render_key(key: ScalableKey) -> Params:
    """The members that identify it in an answer."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{key.endpoint}/variant/{key.variant}",
        "ScalableDimension": key.dimension.value,
    }


def is_requested(params: Params, found: ScalableKey, resources: Sequence[str] | None = None) -> bool:
    """Whether a Describe operation asks for this key. Raises Invalid for a dimension without a resource."""
    named = resources if resources is not None else [params["ResourceId"]] if params.get("ResourceId") else None
    dimension = params.get("ScalableDimension")
    if dimension is not None and named is None:
        raise Invalid("You must specify a resource ID when specifying a scalable dimension")
    shown = render_key(found)
    return (
        params["ServiceNamespace"] == NAMESPACE
        and (named is None or shown["ResourceId"] in named)
        and dimension in (None, shown["ScalableDimension"])
    )


def new_arn_id(ids: Ids) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ids.new("scaling")))


def target_arn(call: OperationCall, id: str) -> str:
    return call.arn(f"scalable-target/{id}", "application-autoscaling")


def autoscaling_arn(call: OperationCall, kind: str, id: str, key: ScalableKey, named: str) -> str:
    """ARN of a ``scalingPolicy`` or a ``scheduledAction``; ``named`` is like ``policyName/NAME``."""
    path = f"resource/sagemaker/endpoint/{key.endpoint}/variant/{key.variant}"
    return call.arn(f"{kind}:{id}:{path}:{named}", "autoscaling")


def take_page(
    items: Sequence[tuple[str, T]], params: Params, most: int, *, descending: bool = False
) -> tuple[list[T], str | None]:
    """A page of items sorted by their first element, and the token of the next page."""
    limit = params.get("MaxResults", most)
    if not 1 <= limit <= most:
        raise Invalid(f"MaxResults {limit} must be between 1 and {most}")
    after = _decode_token(params.get("NextToken"))
    left = [one for one in items if after is None or (one[0] < after if descending else one[0] > after)]
    shown = left[:limit]
    token = base64.urlsafe_b64encode(json.dumps(shown[-1][0]).encode()).decode() if len(left) > limit else None
    return [item for _, item in shown], token


def _decode_token(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        found = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except ValueError:
        found = None
    if not isinstance(found, str):
        raise NamedError("InvalidNextTokenException", "The next token is not from this operation")
    return found
