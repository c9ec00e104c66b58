"""Application Auto Scaling's operations on scalable targets, their tags, and scaling activities."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from tidegate.domain.access import Access
from tidegate.domain.arns import iam_arn
from tidegate.domain.scaling import NotScaledReason
from tidegate.features.autoscaling import activities
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.members import (
    is_requested,
    new_arn_id,
    parse_key,
    render_key,
    take_page,
    target_arn,
)
from tidegate.features.autoscaling.scalable_records import SCALABLE, ActivityRecord, Scalable
from tidegate.features.autoscaling.service import BoundsUpdate, ScalableKey
from tidegate.service import tags as labels
from tidegate.wire.errors import NamedError
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation

T = TypeVar("T")

PAGE_SIZE = 50
_ROLE = (
    "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


def register_scalable_target(call: TxCall, params: Params) -> Params:
    held = params.get("SuspendedState", {})
    bounds = BoundsUpdate(
        params.get("MinCapacity"),
        params.get("MaxCapacity"),
        held.get("DynamicScalingInSuspended"),
        held.get("DynamicScalingOutSuspended"),
        held.get("ScheduledScalingSuspended"),
    )
    new = new_arn_id(call.ctx.ids).replace("-", "")
    done = scalables.register(call.tx, parse_key(params), bounds, params.get("Tags", {}), id=new, now=call.now)
    return {"ScalableTargetARN": target_arn(call, done.id)}


def deregister_scalable_target(call: TxCall, params: Params) -> None:
    scalables.deregister(call.tx, parse_key(params), call.now)


def describe_scalable_targets(call: TxCall, params: Params) -> Params:
    found = [
        (saved.name, saved.body)
        for saved in scalables.list_all(call.tx)
        if is_requested(params, target_key(saved.body), params.get("ResourceIds"))
    ]
    shown, token = take_page(found, params, PAGE_SIZE)
    return {"ScalableTargets": [_render_target(call, one) for one in shown], "NextToken": token}


def describe_parts(
    call: TxCall, params: Params, most: int, parts: Callable[[Scalable], Iterable[tuple[str, T]]]
) -> tuple[list[tuple[Scalable, T]], str | None]:
    """A page of what the requested targets have, such as their policies, and the token of the next page. ``parts``:
    names and records of those that are asked for, of one target."""
    found = [
        (f"{saved.name} {name}", (saved.body, record))
        for saved in scalables.list_all(call.tx)
        if is_requested(params, target_key(saved.body))
        for name, record in parts(saved.body)
    ]
    return take_page(sorted(found, key=lambda one: one[0]), params, most)


def target_key(scalable: Scalable) -> ScalableKey:
    target = scalable.target
    return ScalableKey(target.endpoint, target.variant, target.dimension)


def _render_target(call: TxCall, scalable: Scalable) -> Params:
    target = scalable.target
    role = iam_arn(call.ctx.region, call.ctx.account, _ROLE)
    return {
        **render_key(target_key(scalable)),
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": role,
        "CreationTime": target.created_at,
        "SuspendedState": {
            "DynamicScalingInSuspended": target.suspended.scale_in,
            "DynamicScalingOutSuspended": target.suspended.scale_out,
            "ScheduledScalingSuspended": target.suspended.scheduled,
        },
        "ScalableTargetARN": target_arn(call, scalable.id),
    }


def describe_scaling_activities(call: TxCall, params: Params) -> Params:
    everything = params.get("IncludeNotScaledActivities", False)
    prefix = (
        f"{params['ResourceId'].split('/')[1]}/" if params.get("ResourceId", "").startswith("endpoint/") else ""
    )
    found = [
        (f"{record.activity.started.timestamp():017.6f} {record.name}", record)
        for record in activities.find(call.tx, prefix)
        if is_requested(params, ScalableKey(record.endpoint, record.variant, record.dimension))
        and (everything or not record.activity.not_scaled)
    ]
    shown, token = take_page(
        sorted(found, reverse=True, key=lambda one: one[0]), params, PAGE_SIZE, descending=True
    )
    return {"ScalingActivities": [_render_activity(one) for one in shown], "NextToken": token}


def _render_activity(record: ActivityRecord) -> Params:
    activity = record.activity
    return {
        "ActivityId": activity.id,
        **render_key(ScalableKey(record.endpoint, record.variant, record.dimension)),
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.started,
        "EndTime": activity.ended,
        "StatusCode": activity.status.value,
        "StatusMessage": activity.message or None,
        "Details": activity.details or None,
        "NotScaledReasons": [_render_reason(reason) for reason in activity.not_scaled] or None,
    }


def _render_reason(reason: NotScaledReason) -> Params:
    return {
        "Code": reason.code.value,
        "MaxCapacity": reason.maximum,
        "MinCapacity": reason.minimum,
        "CurrentCapacity": reason.current,
    }


def tag_resource(call: TxCall, params: Params) -> None:
    name, tags = _find_tagged(call, params), params["Tags"]
    if len(labels.read(call.tx, SCALABLE, name) | tags) > labels.MAX_TAGS:
        raise NamedError("TooManyTagsException", f"a scalable target has at most {labels.MAX_TAGS} tags")
    labels.add(call.tx, SCALABLE, name, tags, call.now)


def untag_resource(call: TxCall, params: Params) -> None:
    labels.remove(call.tx, SCALABLE, _find_tagged(call, params), params["TagKeys"], call.now)


def list_tags_for_resource(call: TxCall, params: Params) -> Params:
    return {"Tags": dict(labels.read(call.tx, SCALABLE, _find_tagged(call, params)))}


def _find_tagged(call: TxCall, params: Params) -> str:
    arn: str = params["ResourceARN"]
    saved = scalables.find_by_id(call.tx, arn.rpartition("/")[2])
    if saved is None or arn != target_arn(call, saved.body.id):
        raise NamedError("ResourceNotFoundException", f"there is no scalable target {arn}")
    return saved.name


OPERATIONS: Operations = {
    "RegisterScalableTarget": TxOperation(register_scalable_target, Access.CHANGE),
    "DeregisterScalableTarget": TxOperation(deregister_scalable_target, Access.CHANGE),
    "DescribeScalableTargets": TxOperation(describe_scalable_targets, Access.READ),
    "DescribeScalingActivities": TxOperation(describe_scaling_activities, Access.READ),
    "TagResource": TxOperation(tag_resource, Access.CHANGE),
    "UntagResource": TxOperation(untag_resource, Access.CHANGE),
    "ListTagsForResource": TxOperation(list_tags_for_resource, Access.READ),
}
