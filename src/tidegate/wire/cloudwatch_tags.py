"""CloudWatch's operations on tags; only alarms have tags."""

import re

from tidegate.domain.access import Access
from tidegate.domain.alarm import Alarm
from tidegate.ports.store import StoredRecord
from tidegate.service import tags as use
from tidegate.service.record_kinds import ALARM
from tidegate.wire.cloudwatch_members import parse_tags
from tidegate.wire.errors import NamedError
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation

_ARN = re.compile(r"arn:[^:]+:cloudwatch:([^:]*):([^:]*):alarm:(.+)", re.DOTALL)


def list_tags_for_resource(call: TxCall, params: Params) -> Params:
    tags = use.read(call.tx, ALARM, _find_alarm(call, params).name)
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tag_resource(call: TxCall, params: Params) -> None:
    use.add(call.tx, ALARM, _find_alarm(call, params).name, parse_tags(params), call.now)


def untag_resource(call: TxCall, params: Params) -> None:
    use.remove(call.tx, ALARM, _find_alarm(call, params).name, params["TagKeys"], call.now)


def _find_alarm(call: TxCall, params: Params) -> StoredRecord[Alarm]:
    """The alarm that ResourceARN names. Like CloudWatch, the error for a missing one gives no details."""
    match = _ARN.fullmatch(params["ResourceARN"])
    mine = match is not None and (match[1], match[2]) == (call.ctx.region, call.ctx.account)
    saved = call.tx.get(ALARM, match[3]) if match is not None and mine else None
    if saved is None:
        raise NamedError("ResourceNotFoundException", "Unknown")
    return saved


TAG_OPERATIONS: Operations = {
    "ListTagsForResource": TxOperation(list_tags_for_resource, Access.READ),
    "TagResource": TxOperation(tag_resource, Access.CHANGE),
    "UntagResource": TxOperation(untag_resource, Access.CHANGE),
}
