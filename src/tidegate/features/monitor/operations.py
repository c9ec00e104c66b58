"""SageMaker's operations on monitoring schedules and their executions."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.features.monitor import schedules as use
from tidegate.features.monitor.job_operations import RESOURCES
from tidegate.features.monitor.schedule_records import (
    MonitoringExecution,
    MonitoringJob,
    MonitoringSchedule,
    MonitoringType,
)
from tidegate.ports.store import StoredRecord
from tidegate.service.targets import find_capabilities
from tidegate.wire.errors import name_errors
from tidegate.wire.listing import list_by_status, parse_listing, take_page
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported
from tidegate.wire.sagemaker_tags import parse_tags

_SCHEDULED = ("ScheduledTimeAfter", "ScheduledTimeBefore")
_CREATED = ("CreationTimeAfter", "CreationTimeBefore")
_MODIFIED = ("LastModifiedTimeAfter", "LastModifiedTimeBefore")


def create_schedule(call: TxCall, params: Params) -> Params:
    schedule = _parse_schedule(call, params)
    shortest = _shortest(call, schedule)
    name_errors(lambda: use.create_schedule(call.tx, schedule, parse_tags(params), shortest, call.now))
    return _answer(call, schedule.name)


def describe_schedule(call: TxCall, params: Params) -> Params:
    schedule = name_errors(lambda: use.get_schedule(call.tx, params["MonitoringScheduleName"]))
    last = use.last_execution(call.tx, schedule)
    times = {
        "ScheduleExpression": schedule.expression,
        "DataAnalysisStartTime": schedule.start_offset or None,
        "DataAnalysisEndTime": schedule.end_offset or None,
    }
    summary = _summarise(call, schedule)
    return {
        **{name: value for name, value in summary.items() if name != "MonitoringJobDefinitionName"},
        "MonitoringScheduleConfig": {
            "ScheduleConfig": {name: value for name, value in times.items() if value is not None},
            "MonitoringJobDefinitionName": schedule.job.name,
            "MonitoringType": schedule.job.type.value,
        },
        "LastMonitoringExecutionSummary": _summarise_execution(call, last) if last is not None else None,
    }


def list_schedules(call: TxCall, params: Params) -> Params:
    """There are few records, so all are read and sorted in memory."""
    stored = {name: value for name, value in params.items() if name not in _MODIFIED}
    found = [
        saved
        for saved in use.find_schedules(call.tx, parse_listing(stored).where)
        if _matches(params, _names_of(saved.body.job)) and _is_between(params, _MODIFIED, saved.body.modified_at)
    ]
    page, token = list_by_status(found, params, _status_of)
    return {"MonitoringScheduleSummaries": [_summarise(call, saved.body) for saved in page], "NextToken": token}


def update_schedule(call: TxCall, params: Params) -> Params:
    before = name_errors(lambda: use.get_schedule(call.tx, params["MonitoringScheduleName"]))
    given = _parse_schedule(call, params)
    after = replace(
        given,
        created_at=before.created_at,
        stopped=before.stopped,
        last=before.last,
        last_execution=before.last_execution,
    )
    shortest = _shortest(call, after)
    name_errors(lambda: use.update_schedule(call.tx, after, shortest, call.now))
    return _answer(call, after.name)


def start_schedule(call: TxCall, params: Params) -> None:
    name_errors(lambda: use.start_schedule(call.tx, params["MonitoringScheduleName"], call.now))


def stop_schedule(call: TxCall, params: Params) -> None:
    name_errors(lambda: use.stop_schedule(call.tx, params["MonitoringScheduleName"], call.now))


def delete_schedule(call: TxCall, params: Params) -> None:
    name_errors(lambda: use.delete_schedule(call.tx, params["MonitoringScheduleName"], call.now))


def list_executions(call: TxCall, params: Params) -> Params:
    found = [
        one
        for one in use.find_executions(call.tx, params.get("MonitoringScheduleName"))
        if _matches(params, {**_names_of(one.job), "StatusEquals": one.status.value})
        and _is_between(params, _SCHEDULED, one.scheduled_at)
        and _is_between(params, _CREATED, one.began_at)
        and _is_between(params, _MODIFIED, one.ended_at)
    ]
    found.sort(key=lambda one: one.name)
    found.sort(
        key={
            "ScheduledTime": lambda one: one.scheduled_at.isoformat(),
            "Status": lambda one: one.status.value,
        }.get(params.get("SortBy", ""), lambda one: one.began_at.isoformat()),
        reverse=params.get("SortOrder", "Descending") == "Descending",
    )
    page, token = take_page(found, params)
    return {"MonitoringExecutionSummaries": [_summarise_execution(call, one) for one in page], "NextToken": token}


def _parse_schedule(call: TxCall, params: Params) -> MonitoringSchedule:
    """Raises Invalid, or NamedError for a definition that is not there."""
    given = params["MonitoringScheduleConfig"]
    refuse_unsupported(given, ("MonitoringJobDefinition",))
    type = given.get("MonitoringType", MonitoringType.DATA_QUALITY)
    if type not in RESOURCES:
        raise Invalid(f"MonitoringType {type} is not supported: what is built in is {', '.join(RESOURCES)}")
    if "MonitoringJobDefinitionName" not in given or "ScheduleConfig" not in given:
        raise Invalid("MonitoringScheduleConfig needs MonitoringJobDefinitionName and ScheduleConfig")
    times = given["ScheduleConfig"]
    job = name_errors(lambda: use.get_job(call.tx, MonitoringType(type), given["MonitoringJobDefinitionName"]))
    return MonitoringSchedule(
        params["MonitoringScheduleName"],
        job,
        times["ScheduleExpression"],
        call.now,
        call.now,
        call.now,
        times.get("DataAnalysisStartTime", ""),
        times.get("DataAnalysisEndTime", ""),
    )


def _shortest(call: TxCall, schedule: MonitoringSchedule) -> timedelta:
    """Between two executions, by what the endpoint's target is."""
    can = find_capabilities(call.tx, schedule.job.endpoint, call.ctx.targets)
    return timedelta(seconds=can.shortest_schedule)


def _matches(params: Params, values: Mapping[str, str]) -> bool:
    """Whether a record with these values passes the filters that are given."""
    return all(params.get(name, value) == value for name, value in values.items())


def _names_of(job: MonitoringJob) -> dict[str, str]:
    return {
        "EndpointName": job.endpoint,
        "MonitoringJobDefinitionName": job.name,
        "MonitoringTypeEquals": job.type.value,
    }


def _is_between(params: Params, names: tuple[str, str], moment: datetime) -> bool:
    """``names`` of the bounds, which are exclusive, as in SageMaker's lists."""
    after, before = (params.get(name) for name in names)
    return (after is None or moment > after) and (before is None or moment < before)


def _status_of(saved: StoredRecord[MonitoringSchedule]) -> str:
    return "Stopped" if saved.body.stopped else "Scheduled"


def _summarise(call: TxCall, schedule: MonitoringSchedule) -> Params:
    return {
        "MonitoringScheduleName": schedule.name,
        "MonitoringScheduleArn": _arn(call, schedule.name),
        "MonitoringScheduleStatus": "Stopped" if schedule.stopped else "Scheduled",
        "MonitoringType": schedule.job.type.value,
        "MonitoringJobDefinitionName": schedule.job.name,
        "EndpointName": schedule.job.endpoint,
        "CreationTime": schedule.created_at,
        "LastModifiedTime": schedule.modified_at,
    }


def _summarise_execution(call: TxCall, one: MonitoringExecution) -> Params:
    return {
        "MonitoringScheduleName": one.schedule,
        "MonitoringJobDefinitionName": one.job.name,
        "MonitoringType": one.job.type.value,
        "EndpointName": one.job.endpoint,
        "ScheduledTime": one.scheduled_at,
        "CreationTime": one.began_at,
        "LastModifiedTime": one.ended_at,
        "MonitoringExecutionStatus": one.status.value,
        "ProcessingJobArn": _arn_of_job(call, one.name),
        "FailureReason": one.reason or None,
    }


def _answer(call: TxCall, name: str) -> Params:
    return {"MonitoringScheduleArn": _arn(call, name)}


def _arn(call: TxCall, name: str) -> str:
    return call.arn(f"monitoring-schedule/{name}")


def _arn_of_job(call: TxCall, name: str) -> str:
    return call.arn(f"processing-job/{name}")


OPERATIONS: Operations = {
    "CreateMonitoringSchedule": TxOperation(create_schedule, Access.CHANGE),
    "DescribeMonitoringSchedule": TxOperation(describe_schedule, Access.READ),
    "ListMonitoringSchedules": TxOperation(list_schedules, Access.READ),
    "UpdateMonitoringSchedule": TxOperation(update_schedule, Access.CHANGE),
    "StartMonitoringSchedule": TxOperation(start_schedule, Access.CHANGE),
    "StopMonitoringSchedule": TxOperation(stop_schedule, Access.CHANGE),
    "DeleteMonitoringSchedule": TxOperation(delete_schedule, Access.CHANGE),
    "ListMonitoringExecutions": TxOperation(list_executions, Access.READ),
}
