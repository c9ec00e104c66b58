"""SageMaker's operations on tags."""

import base64
import binascii
import re
from typing import Any

from tidegate.domain.access import Access
from tidegate.domain.arns import record_name
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import Tags
from tidegate.host.features import features
from tidegate.ports.store import Kind
from tidegate.service import tags as use
from tidegate.service.record_kinds import CONFIG, ENDPOINT, MODEL, TRANSFORM
from tidegate.service.records import require
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation

PAGE_SIZE = 50
PACKAGE = "model-package"
"""The resource whose name in an ARN is not the name of its record."""

_KINDS: dict[str, Kind[Any]] = {
    "model": MODEL,
    "endpoint-config": CONFIG,
    "endpoint": ENDPOINT,
    "transform-job": TRANSFORM,
}
"""Of the core. Features add theirs with the hook ``taggable``."""
_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:([^:]*):([^:]*):([^/]+)/(.+)")


def add_tags(call: TxCall, params: Params) -> Params:
    kind, name = _parse_resource(call, params)
    return {"Tags": _render_tags(use.add(call.tx, kind, name, parse_tags(params), call.now))}


def list_tags(call: TxCall, params: Params) -> Params:
    kind, name = _parse_resource(call, params)
    require(call.tx, kind, name)
    tags = use.read(call.tx, kind, name)
    after = _decode_token(params.get("NextToken"))
    keys = [key for key in sorted(tags) if after is None or key > after]
    shown = keys[: params.get("MaxResults", PAGE_SIZE)]
    token = base64.urlsafe_b64encode(shown[-1].encode()).decode() if len(shown) < len(keys) else None
    return {"Tags": _render_tags({key: tags[key] for key in shown}), "NextToken": token}


def delete_tags(call: TxCall, params: Params) -> None:
    kind, name = _parse_resource(call, params)
    use.remove(call.tx, kind, name, params["TagKeys"], call.now)


def parse_tags(params: Params) -> Tags:
    """Tags given at creation. Raises Invalid for a duplicate key."""
    given = params.get("Tags", [])
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) < len(given):
        raise Invalid("Duplicate tag keys found: give each key once")
    return tags


def _taggable() -> dict[str, Kind[Any]]:
    found = dict(_KINDS)
    for _, kinds in features().hooks("taggable"):
        found |= kinds
    return found


def _parse_resource(call: TxCall, params: Params) -> tuple[Kind[Any], str]:
    arn: str = params["ResourceArn"]
    match = _ARN.fullmatch(arn)
    kinds = _taggable()
    kind = kinds.get(match[3]) if match else None
    if match is None or kind is None:
        raise Invalid(f'"{arn}" is not the ARN of one of these: {", ".join(kinds)}')
    if (match[1], match[2]) != (call.ctx.region, call.ctx.account):
        raise Invalid(f'"{arn}" does not belong to this server, whose ARNs begin with {call.arn("...")}')
    return kind, record_name(match[4]) if match[3] == PACKAGE else match[4]


def _decode_token(token: str | None) -> str | None:
    try:
        return None if token is None else base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        raise Invalid("NextToken is not from ListTags: start from the first page") from None


def _render_tags(tags: Tags) -> list[Params]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


OPERATIONS: Operations = {
    "AddTags": TxOperation(add_tags, Access.CHANGE),
    "ListTags": TxOperation(list_tags, Access.READ),
    "DeleteTags": TxOperation(delete_tags, Access.CHANGE),
}
