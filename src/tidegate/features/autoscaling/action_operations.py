"""Application Auto Scaling's operations on scheduled actions."""

from collections.abc import Iterator

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import ScheduledAction
from tidegate.features.autoscaling import policies as use
from tidegate.features.autoscaling.members import autoscaling_arn, new_arn_id, parse_key, render_key
from tidegate.features.autoscaling.scalable_records import ActionRecord, Scalable
from tidegate.features.autoscaling.service import ScalableKey
from tidegate.features.autoscaling.target_operations import describe_parts, target_key
from tidegate.wire.operation import OperationCall, Operations, Params, TxCall, TxOperation

PAGE_SIZE = 50


def put_scheduled_action(call: TxCall, params: Params) -> None:
    which = parse_key(params)

    def make(before: ActionRecord | None) -> ActionRecord:
        return _make_record(call, which, params, before)

    use.put_action(call.tx, which, params["ScheduledActionName"], make, call.now)


def _make_record(
    call: OperationCall, which: ScalableKey, params: Params, before: ActionRecord | None
) -> ActionRecord:
    """Omitted members keep their value, except for the start and the end."""
    name, old = params["ScheduledActionName"], before.action if before is not None else None
    schedule = params.get("Schedule") or (old.schedule if old is not None else None)
    if schedule is None:
        raise Invalid("Schedule must be given when a scheduled action is created")
    bounds = params.get("ScalableTargetAction")
    if bounds is None and old is not None:
        bounds = {"MinCapacity": old.minimum, "MaxCapacity": old.maximum}
    bounds = bounds or {}
    action = ScheduledAction(
        name,
        schedule,
        old.created_at if old is not None else call.now,
        params.get("Timezone") or (old.timezone if old is not None else "UTC"),
        params.get("StartTime"),
        params.get("EndTime"),
        bounds.get("MinCapacity"),
        bounds.get("MaxCapacity"),
    )
    if before is not None:
        return ActionRecord(action, before.arn)
    arn = autoscaling_arn(call, "scheduledAction", new_arn_id(call.ctx.ids), which, f"scheduledActionName/{name}")
    return ActionRecord(action, arn)


def delete_scheduled_action(call: TxCall, params: Params) -> None:
    use.delete_action(call.tx, parse_key(params), params["ScheduledActionName"], call.now)


def describe_scheduled_actions(call: TxCall, params: Params) -> Params:
    wanted = params.get("ScheduledActionNames")

    def requested(scalable: Scalable) -> Iterator[tuple[str, ActionRecord]]:
        for record in scalable.actions:
            if not wanted or record.action.name in wanted:
                yield record.action.name, record

    shown, token = describe_parts(call, params, PAGE_SIZE, requested)
    return {"ScheduledActions": [_render_action(*one) for one in shown], "NextToken": token}


def _render_action(scalable: Scalable, record: ActionRecord) -> Params:
    action = record.action
    return {
        "ScheduledActionName": action.name,
        "ScheduledActionARN": record.arn,
        **render_key(target_key(scalable)),
        "Schedule": action.schedule,
        "Timezone": action.timezone,
        "StartTime": action.start,
        "EndTime": action.end,
        "ScalableTargetAction": {"MinCapacity": action.minimum, "MaxCapacity": action.maximum},
        "CreationTime": action.created_at,
    }


OPERATIONS: Operations = {
    "PutScheduledAction": TxOperation(put_scheduled_action, Access.CHANGE),
    "DeleteScheduledAction": TxOperation(delete_scheduled_action, Access.CHANGE),
    "DescribeScheduledActions": TxOperation(describe_scheduled_actions, Access.READ),
}
