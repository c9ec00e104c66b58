"""CloudWatch's operations on alarms."""

from tidegate.domain import alarm_rule
from tidegate.domain.access import Access
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.domain.errors import Invalid
from tidegate.monitoring.samples import STATISTICS, is_extended
from tidegate.ports.store import Tx
from tidegate.service import alarms as use
from tidegate.wire.cloudwatch_members import (
    decode_token,
    encode_token,
    invalid_as_validation_error,
    parse_dimensions,
    parse_metric,
    parse_tags,
    render_dimensions,
)
from tidegate.wire.errors import NamedError
from tidegate.wire.metric_queries import parse_common_period, parse_query, render_queries
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params, TxCall, TxOperation

PAGE_SIZE = 50
"""Page size when MaxRecords is absent, as in CloudWatch."""

UNSUPPORTED = {
    "ThresholdMetricId": "anomaly detection is not supported; give a Threshold",
    "EvaluationCriteria": "PromQL alarms are not supported; name one metric by Namespace and MetricName",
    "EvaluationInterval": "PromQL alarms are not supported; leave it out",
    "WarmUpConfiguration": "warm-up is not supported; leave it out",
}
"""Members that would change what an alarm means and are not implemented. They are refused, never ignored."""
SUPPRESSION = ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
ACTION_MEMBERS = ("OKActions", "AlarmActions", "InsufficientDataActions")
FAMILY = ("ChildrenOfAlarmName", "ParentsOfAlarmName")
REQUIRED_MEMBERS = ("EvaluationPeriods", "Threshold")
SINGLE_METRIC_MEMBERS = ("MetricName", "Namespace", "Period")
EXCLUDED_WITH_METRICS = (*SINGLE_METRIC_MEMBERS, "Dimensions", "Unit", "Statistic", "ExtendedStatistic")
ECHOED_MEMBERS = (
    "DatapointsToAlarm",
    "EvaluateLowSampleCountPercentile",
    "EvaluationWindow",
    "ActionConfiguration",
)
"""Members that Describe echoes as they were given."""


def put_metric_alarm(call: TxCall, params: Params) -> None:
    """Tags apply only to a new alarm, as in CloudWatch."""
    with invalid_as_validation_error():
        use.put(call.tx, _parse_alarm(call, params), call.now, parse_tags(params))


def put_composite_alarm(call: TxCall, params: Params) -> None:
    """Tags apply only to a new alarm, as in CloudWatch."""
    with invalid_as_validation_error():
        for member in SUPPRESSION:
            if params.get(member) is not None:
                raise Invalid(
                    f"{member} is not supported: an alarm's actions are not carried out here; leave it out"
                )
        if any(":autoscaling:" in action for member in ACTION_MEMBERS for action in params.get(member) or ()):
            raise Invalid("a composite alarm has no actions of scaling: name a metric alarm in the policy")
        alarm = Alarm(
            name=params["AlarmName"],
            **_no_metric(),
            period=60,
            evaluation_periods=1,
            datapoints_to_alarm=1,
            threshold=0.0,
            comparison=ComparisonOperator.GREATER,
            configured_at=call.now,
            **_common_members(params),
            rule=params["AlarmRule"],
            wire={"ActionConfiguration": found} if (found := params.get("ActionConfiguration")) else {},
        )
        use.put(call.tx, alarm, call.now, parse_tags(params))


def describe_alarms(call: TxCall, params: Params) -> Params:
    """Metric alarms alone, unless AlarmTypes says otherwise."""
    for member in FAMILY:
        if params.get(member) is not None:
            return _describe_family(call, member, params)
    names = params.get("AlarmNames")
    if names and params.get("AlarmNamePrefix") is not None:
        raise Invalid("AlarmNames and AlarmNamePrefix exclude each other; give one of them")
    answer: Params = {"MetricAlarms": [], "CompositeAlarms": [], "LogAlarms": []}
    types = params.get("AlarmTypes") or ["MetricAlarm"]
    if not {"MetricAlarm", "CompositeAlarm"}.intersection(types):
        return answer
    state = params.get("StateValue")
    where = use.AlarmFilter(
        names=tuple(names) if names else None,
        prefix=params.get("AlarmNamePrefix"),
        state=AlarmState(state) if state else None,
        action_prefix=params.get("ActionPrefix"),
        composite=_wants_composite(types),
    )
    found, more = use.find(call.tx, where, params.get("MaxRecords") or PAGE_SIZE, decode_token(params, str))
    answer["MetricAlarms"] = [_members(call, alarm) for alarm in found if not alarm.rule]
    answer["CompositeAlarms"] = [_composite_members(call, alarm) for alarm in found if alarm.rule]
    answer["NextToken"] = encode_token(found[-1].name) if more else None
    return answer


def _wants_composite(types: list[str]) -> bool | None:
    return None if {"MetricAlarm", "CompositeAlarm"} <= set(types) else "CompositeAlarm" in types


def _describe_family(call: TxCall, member: str, params: Params) -> Params:
    """The alarms that a composite alarm's rule names, or the composite alarms whose rule names an alarm."""
    if any(params.get(other) is not None for other in params if other not in (member, "MaxRecords", "NextToken")):
        raise Invalid(f"{member} can only be combined with MaxRecords and NextToken")
    name, children = params[member], member == "ChildrenOfAlarmName"
    rule = next((one.rule for one in use.find(call.tx, use.AlarmFilter(names=(name,)))[0]), "")
    if children and not rule:
        raise Invalid(f"{member}: there is no composite alarm {name}")
    named = alarm_rule.named_alarms(rule) if children else None
    where = use.AlarmFilter(names=named, composite=None if children else True)
    found, _ = use.find(call.tx, where)
    kept = [one for one in found if children or name in alarm_rule.named_alarms(one.rule)]
    after, limit = decode_token(params, str), params.get("MaxRecords") or PAGE_SIZE
    left = [one for one in kept if after is None or one.name > after]
    shown = {one.name: _family_members(call, one, children) for one in left[:limit]}
    return {
        "MetricAlarms": [shown[one.name] for one in left[:limit] if not one.rule],
        "CompositeAlarms": [shown[one.name] for one in left[:limit] if one.rule],
        "NextToken": encode_token(left[limit - 1].name) if len(left) > limit else None,
    }


def _family_members(call: OperationCall, alarm: Alarm, children: bool) -> Params:
    named = {"AlarmName": alarm.name, "AlarmArn": call.arn(f"alarm:{alarm.name}", "cloudwatch")}
    if not children:
        return named
    state = {
        "StateValue": alarm.state.value,
        "StateUpdatedTimestamp": alarm.state_updated_at or alarm.configured_at,
    }
    return {**named, "ActionsEnabled": alarm.actions_enabled, **state}


def describe_alarms_for_metric(call: TxCall, params: Params) -> Params:
    statistic = params.get("Statistic") or params.get("ExtendedStatistic")
    found = use.find_for_metric(call.tx, parse_metric(params), statistic, params.get("Period"), params.get("Unit"))
    return {"MetricAlarms": [_members(call, alarm) for alarm in found]}


def describe_alarm_history(call: TxCall, params: Params) -> Params:
    types = params.get("AlarmTypes") or ["MetricAlarm"]
    if not {"MetricAlarm", "CompositeAlarm"}.intersection(types):
        return {"AlarmHistoryItems": []}
    if params.get("AlarmContributorId") is not None:
        raise Invalid("AlarmContributorId: alarm contributors are not supported; leave it out")
    where = use.HistoryFilter(
        name=params.get("AlarmName"),
        item=params.get("HistoryItemType"),
        since=params.get("StartDate"),
        until=params.get("EndDate"),
        newest_first=params.get("ScanBy") != "TimestampAscending",
        composite=_wants_composite(types),
    )
    limit = params.get("MaxRecords") or 100
    found, more = use.history(call.tx, where, limit, decode_token(params, int) or 0)
    items = [
        {
            "AlarmName": item.name,
            "AlarmType": "CompositeAlarm" if item.composite else "MetricAlarm",
            "Timestamp": item.at,
            "HistoryItemType": item.item,
            "HistorySummary": item.summary,
            "HistoryData": item.data,
        }
        for item in found
    ]
    return {"AlarmHistoryItems": items, "NextToken": None if more is None else encode_token(more)}


async def delete_alarms(call: OperationCall, params: Params) -> None:
    names = params["AlarmNames"]

    def work(tx: Tx) -> list[str]:
        if use.find_dependents(tx, names) - set(names):
            with invalid_as_validation_error():
                raise Invalid(f"Cannot delete {', '.join(names)} as there are composite alarm(s) depending on it.")
        use.delete(tx, names, call.now)
        return use.guarded_endpoints(tx, names)

    _kick(call, await call.ctx.store.run(work))


async def set_alarm_state(call: OperationCall, params: Params) -> None:
    name, state, reason = params["AlarmName"], AlarmState(params["StateValue"]), params["StateReason"]

    def work(tx: Tx) -> list[str]:
        use.set_state(tx, name, state, reason, params.get("StateReasonData"), call.now)
        return use.guarded_endpoints(tx, [name])

    _kick(call, await call.ctx.store.run(work))


def enable_alarm_actions(call: TxCall, params: Params) -> None:
    use.set_actions(call.tx, params["AlarmNames"], True, call.now)


def disable_alarm_actions(call: TxCall, params: Params) -> None:
    use.set_actions(call.tx, params["AlarmNames"], False, call.now)


def _kick(call: OperationCall, endpoints: list[str]) -> None:
    for endpoint in endpoints:
        call.ctx.kick(endpoint)


def _parse_alarm(call: TxCall, params: Params) -> Alarm:
    _refuse_unsupported(params)
    periods = params["EvaluationPeriods"]
    extended = params.get("ExtendedStatistic")
    watched = _metric_math(params["Metrics"]) if params.get("Metrics") else _parse_single_metric(params)
    return Alarm(
        name=params["AlarmName"],
        **watched,
        evaluation_periods=periods,
        datapoints_to_alarm=params.get("DatapointsToAlarm") or periods,
        threshold=float(params["Threshold"]),
        comparison=ComparisonOperator(params["ComparisonOperator"]),
        configured_at=call.now,
        missing=_missing_data(params.get("TreatMissingData")),
        **_common_members(params),
        ignore_low_samples=_ignores_low_samples(params.get("EvaluateLowSampleCountPercentile"), extended),
        wire={member: params[member] for member in ECHOED_MEMBERS if params.get(member) is not None},
    )


def _common_members(params: Params) -> Params:
    return {
        "description": params.get("AlarmDescription"),
        "actions_enabled": params.get("ActionsEnabled", True),
        "ok_actions": tuple(params.get("OKActions") or ()),
        "alarm_actions": tuple(params.get("AlarmActions") or ()),
        "insufficient_data_actions": tuple(params.get("InsufficientDataActions") or ()),
    }


def _no_metric() -> Params:
    return {"namespace": "", "metric": "", "dimensions": {}, "statistic": ""}


def _parse_single_metric(params: Params) -> Params:
    simple, extended = params.get("Statistic"), params.get("ExtendedStatistic")
    if (simple is None) == (extended is None):
        raise Invalid("exactly one of Statistic and ExtendedStatistic must be given")
    if extended is not None and not is_extended(extended):
        raise NamedError(
            "InvalidParameterValueException",
            f"The value {extended} for parameter ExtendedStatistic is not supported.",
        )
    return {
        "namespace": params["Namespace"],
        "metric": params["MetricName"],
        "dimensions": parse_dimensions(params),
        "statistic": simple or extended or "",
        "period": params["Period"],
        "unit": params.get("Unit"),
    }


def _metric_math(lines: list[Params]) -> Params:
    return _no_metric() | {
        "period": parse_common_period(lines),
        "queries": tuple(parse_query(line) for line in lines),
    }


def _refuse_unsupported(params: Params) -> None:
    for member, why in UNSUPPORTED.items():
        if params.get(member) is not None:
            raise Invalid(f"{member}: {why}")
    if (params.get("EvaluationWindow") or {}).get("WallClockWindow") is not None:
        raise Invalid("EvaluationWindow.WallClockWindow is not supported: evaluation windows slide")
    operator = params.get("ComparisonOperator")
    if operator not in list(ComparisonOperator):
        raise Invalid(
            f"ComparisonOperator {operator} is not supported; use one of {', '.join(ComparisonOperator)}"
        )
    math = bool(params.get("Metrics"))
    for member in EXCLUDED_WITH_METRICS if math else ():
        if params.get(member):
            raise Invalid(f"{member} should not be set if list of Metrics is set.")
    for member in REQUIRED_MEMBERS if math else (*SINGLE_METRIC_MEMBERS, *REQUIRED_MEMBERS):
        if params.get(member) is None:
            raise Invalid(f"{member} must be given")


def _missing_data(word: str | None) -> MissingData:
    if word is not None and word not in list(MissingData):
        raise Invalid(f"TreatMissingData {word!r} is unknown; use one of {', '.join(MissingData)}")
    return MissingData.MISSING if word is None else MissingData(word)


def _ignores_low_samples(word: str | None, extended: str | None) -> bool:
    if word is not None and word not in ("evaluate", "ignore"):
        raise Invalid(
            f"Option {word} is not supported. "
            "Supported options for parameter EvaluateLowSampleCountPercentile are evaluate and ignore."
        )
    if word is not None and extended is None:
        raise Invalid("EvaluateLowSampleCountPercentile needs a percentile as ExtendedStatistic")
    return word == "ignore"


def _composite_members(call: OperationCall, alarm: Alarm) -> Params:
    return {**_state_members(call, alarm), "AlarmRule": alarm.rule, **alarm.wire}


def _state_members(call: OperationCall, alarm: Alarm) -> Params:
    return {
        "AlarmName": alarm.name,
        "AlarmArn": call.arn(f"alarm:{alarm.name}", "cloudwatch"),
        "AlarmDescription": alarm.description,
        "AlarmConfigurationUpdatedTimestamp": alarm.configured_at,
        "ActionsEnabled": alarm.actions_enabled,
        "OKActions": list(alarm.ok_actions),
        "AlarmActions": list(alarm.alarm_actions),
        "InsufficientDataActions": list(alarm.insufficient_data_actions),
        "StateValue": alarm.state.value,
        "StateReason": alarm.state_reason,
        "StateReasonData": alarm.state_reason_data,
        "StateUpdatedTimestamp": alarm.state_updated_at or alarm.configured_at,
        "StateTransitionedTimestamp": alarm.state_changed_at or alarm.configured_at,
    }


def _members(call: OperationCall, alarm: Alarm) -> Params:
    return {
        **_state_members(call, alarm),
        **_metric_members(alarm),
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": _datapoints(alarm),
        "Threshold": alarm.threshold,
        "ComparisonOperator": alarm.comparison.value,
        "TreatMissingData": alarm.missing.value,
        **alarm.wire,
    }


def _datapoints(alarm: Alarm) -> int | None:
    """CloudWatch shows it only if it was given. Alarms created through this API have it in ``ECHOED_MEMBERS``."""
    given = alarm.datapoints_to_alarm
    return None if given == alarm.evaluation_periods else given


def _metric_members(alarm: Alarm) -> Params:
    if alarm.queries:
        return {"Metrics": render_queries(alarm.queries, alarm.period)}
    standard = alarm.statistic in STATISTICS
    return {
        "MetricName": alarm.metric,
        "Namespace": alarm.namespace,
        "Statistic": alarm.statistic if standard else None,
        "ExtendedStatistic": None if standard else alarm.statistic,
        "Dimensions": render_dimensions(alarm.dimensions),
        "Period": alarm.period,
        "Unit": alarm.unit,
    }


OPERATIONS: Operations = {
    "PutMetricAlarm": TxOperation(put_metric_alarm, Access.CHANGE),
    "PutCompositeAlarm": TxOperation(put_composite_alarm, Access.CHANGE),
    "DescribeAlarms": TxOperation(describe_alarms, Access.READ),
    "DescribeAlarmsForMetric": TxOperation(describe_alarms_for_metric, Access.READ),
    "DescribeAlarmHistory": TxOperation(describe_alarm_history, Access.READ),
    "DeleteAlarms": AsyncOperation(delete_alarms, Access.CHANGE),
    "SetAlarmState": AsyncOperation(set_alarm_state, Access.CHANGE),
    "EnableAlarmActions": TxOperation(enable_alarm_actions, Access.CHANGE),
    "DisableAlarmActions": TxOperation(disable_alarm_actions, Access.CHANGE),
}
