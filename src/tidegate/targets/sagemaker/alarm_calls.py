"""PutMetricAlarm for the alarms of a spec, and for the one that aborts a rollout.

SageMaker has no abort. So every rollout is guarded by an alarm of its own on the metric ``tidegate/Abort``, and
``abort`` puts data to that metric: SetAlarmState would be undone by the next evaluation.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.metric import INSTANCES, SAGEMAKER, MetricId
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.calls import Findings, Params, SagemakerCall
from tidegate.targets.sagemaker.options import SagemakerOptions

ABORT_NAMESPACE, ABORT_METRIC = "tidegate", "Abort"
ABORT_PERIOD, ABORT_PERIODS = 10, 30
"""One datapoint keeps the alarm in ALARM for 5 minutes, so that SageMaker cannot miss it."""
OWN_METRICS = (
    "ContainerLatency",
    "InFlightLatency",
    "MirrorCopies",
    "MirrorDropped",
    "MirrorAgreement",
    "MirrorDifference",
    "MirrorLargestDifference",
    "BatchingMismatches",
    "CapturedRequests",
    "CaptureDropped",
    "CaptureBacklog",
)
"""Metrics of tidegate's workers that SageMaker does not have."""
_STATISTICS = ("Average", "Sum", "Minimum", "Maximum", "SampleCount")


def abort_dimensions(endpoint: str, config: str) -> dict[str, str]:
    return {"EndpointName": endpoint, "EndpointConfigName": config}


def abort_alarm_name(config: str) -> str:
    return f"tidegate-abort-{config}"


def abort_alarm(endpoint: str, config: str) -> SagemakerCall:
    params = {
        "AlarmName": abort_alarm_name(config),
        "AlarmDescription": f"Rolls the update of {endpoint} to {config} back when 'tidegate rollout abort' says so.",
        "Namespace": ABORT_NAMESPACE,
        "MetricName": ABORT_METRIC,
        "Dimensions": _dimensions(abort_dimensions(endpoint, config)),
        "Statistic": "Maximum",
        "Period": ABORT_PERIOD,
        "EvaluationPeriods": ABORT_PERIODS,
        "DatapointsToAlarm": 1,
        "Threshold": 1.0,
        "ComparisonOperator": ComparisonOperator.GREATER_OR_EQUAL.value,
        "TreatMissingData": MissingData.NOT_BREACHING.value,
    }
    return SagemakerCall(
        "cloudwatch", "PutMetricAlarm", params, "SageMaker has no abort: data of this alarm does it"
    )


def compile_alarms(
    wish: DesiredDeployment, config: str, options: SagemakerOptions, found: Findings
) -> dict[str, SagemakerCall]:
    """Name of an alarm in the spec -> its call, whose ``AlarmName`` is the name at AWS."""
    made: dict[str, SagemakerCall] = {}
    for alarm in wish.alarms:
        at_aws = _rename_metric(alarm, wish, config)
        at_aws = _with_period(at_aws, options, found)
        guards = alarm.name in wish.deployment.alarms
        made[alarm.name] = SagemakerCall(
            "cloudwatch",
            "PutMetricAlarm",
            _params(at_aws, guards, wish, found),
            "rolls the update back" if guards else "of the spec; it guards no rollout",
        )
    return made


def _rename_metric(alarm: Alarm, wish: DesiredDeployment, config: str) -> Alarm:
    """Return the alarm with the config's name at AWS in place of that of the spec."""
    name = re.sub(f"^{re.escape(wish.config.name)}-", f"{config}-", alarm.name)
    dimensions = dict(alarm.dimensions)
    if dimensions.get("EndpointConfigName") == wish.config.name:
        dimensions["EndpointConfigName"] = config
    return replace(alarm, name=name, dimensions=dimensions)


def _with_period(alarm: Alarm, options: SagemakerOptions, found: Findings) -> Alarm:
    """Metrics of endpoints have a point a minute: a shorter period would only see INSUFFICIENT_DATA."""
    if alarm.namespace not in (SAGEMAKER, INSTANCES):
        if alarm.period in (1, 5):
            found.note(f"alarm {alarm.name}: CloudWatch has periods from 10 s; {alarm.period} s becomes 10 s")
            return _stretch(alarm, 10)
        return alarm
    least = 10 if options.enhanced_metrics and alarm.namespace == SAGEMAKER else limits.METRIC_PERIOD
    if alarm.period >= least:
        return alarm
    found.note(
        f"alarm {alarm.name}: SageMaker publishes {alarm.metric} every {least} s, so its period of {alarm.period} s"
        f" becomes {least} s"
    )
    return _stretch(alarm, least)


def _stretch(alarm: Alarm, period: int) -> Alarm:
    """Over the same span, at least."""
    periods = max(1, -(-alarm.period * alarm.evaluation_periods // period))
    part = alarm.datapoints_to_alarm / alarm.evaluation_periods
    datapoints = max(1, min(periods, round(part * periods)))
    return replace(alarm, period=period, evaluation_periods=periods, datapoints_to_alarm=datapoints)


def _params(alarm: Alarm, guards: bool, wish: DesiredDeployment, found: Findings) -> Params:
    if alarm.namespace == SAGEMAKER and alarm.metric in OWN_METRICS:
        found.refuse(
            f"alarm {alarm.name}: SageMaker has no metric {alarm.metric}, which tidegate's workers count; take the"
            " alarm out, or use mode: engine with an alarm of another metric"
        )
    if alarm.signal is not None:
        found.refuse(
            f"alarm {alarm.name}: CloudWatch reads no signals from {alarm.signal.url}; take the alarm out, or use"
            " mode: engine, where tidegate's controller reads them"
        )
    if len(alarm.name) > limits.ALARM_NAME:
        found.refuse(f"alarm {alarm.name[:60]}...: longer than {limits.ALARM_NAME} characters")
    if alarm.period * alarm.evaluation_periods > limits.ALARM_SPAN:
        found.refuse(
            f"alarm {alarm.name}: looks back {alarm.period * alarm.evaluation_periods} s, CloudWatch a day at most"
        )
    if alarm.metric == "ModelLatency" and alarm.threshold < 1000:
        found.note(
            f"alarm {alarm.name}: ModelLatency is in microseconds, and {alarm.threshold:g} is less than a millisecond"
        )
    params: Params = {
        "AlarmName": alarm.name,
        "ComparisonOperator": alarm.comparison.value,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "Threshold": float(alarm.threshold),
        "TreatMissingData": _missing(alarm, guards, wish, found).value,
        "Namespace": alarm.namespace,
        "MetricName": alarm.metric,
        "Dimensions": _dimensions(alarm.dimensions),
        "Period": alarm.period,
    }
    params["Statistic" if alarm.statistic in _STATISTICS else "ExtendedStatistic"] = alarm.statistic
    if alarm.description:
        params["AlarmDescription"] = alarm.description
    return params


def _missing(alarm: Alarm, guards: bool, wish: DesiredDeployment, found: Findings) -> MissingData:
    """Metrics of a new config have no data before it has traffic. Where evidence is required, that must stay
    visible as INSUFFICIENT_DATA; otherwise it counts as good."""
    if not guards or alarm.missing is not MissingData.MISSING or wish.deployment.require_evidence:
        return alarm.missing
    found.note(f"alarm {alarm.name}: periods without requests count as not breaching")
    return MissingData.NOT_BREACHING


def _dimensions(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in sorted(dimensions.items())]


def metric_params(metric: MetricId) -> Params:
    """Namespace, name and dimensions as the APIs of CloudWatch and Application Auto Scaling take them."""
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": _dimensions(dict(metric.dimensions)),
    }
