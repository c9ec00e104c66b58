"""Alarms that are evaluated on data, and the data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.fake_aws.clock import FakeClock
from tests.fake_aws.faults import AwsRefusal

Params = dict[str, Any]
Series = tuple[str, str, tuple[tuple[str, str], ...]]
_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, limit: value > limit,
    "GreaterThanOrEqualToThreshold": lambda value, limit: value >= limit,
    "LessThanThreshold": lambda value, limit: value < limit,
    "LessThanOrEqualToThreshold": lambda value, limit: value <= limit,
}


def _series(namespace: str, name: str, dimensions: Any) -> Series:
    pairs = (
        dimensions.items() if isinstance(dimensions, Mapping) else [(d["Name"], d["Value"]) for d in dimensions]
    )
    return namespace, name, tuple(sorted(pairs))


@dataclass
class FakeCloudWatch:
    clock: FakeClock
    prefix: str
    """Of ARNs of alarms."""
    alarms: dict[str, Params] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    data: dict[Series, list[tuple[datetime, float]]] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds until data is seen."""
    delays: dict[str, float] = field(default_factory=dict)
    """The same for single metrics, by name."""

    def put(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float, at: datetime) -> None:
        self.data.setdefault(_series(namespace, name, dimensions), []).append((at, value))

    def state(self, name: str) -> str:
        return str(self.alarms[name]["StateValue"])

    def put_metric_alarm(self, params: Params) -> Params:
        name, kept = params["AlarmName"], dict(params)
        tags = {one["Key"]: one["Value"] for one in kept.pop("Tags", [])}
        if name not in self.alarms:
            self.tags[name] = tags  # PutMetricAlarm ignores the tags of an alarm that exists
        before = self.alarms.get(name, {}).get("StateValue", "INSUFFICIENT_DATA")
        arn = {"AlarmArn": f"{self.prefix}:alarm:{name}", "StateValue": before}
        self.alarms[name] = {**kept, **arn, "StateUpdatedTimestamp": self.clock.now(), "ActionsEnabled": True}
        return {}

    def describe_alarms(self, params: Params) -> Params:
        wanted = params.get("AlarmNames")
        prefix = params.get("AlarmNamePrefix", "")
        found = [
            alarm
            for name, alarm in sorted(self.alarms.items())
            if (wanted is None or name in wanted) and name.startswith(prefix)
        ]
        return {"MetricAlarms": found}

    def delete_alarms(self, params: Params) -> Params:
        for name in params["AlarmNames"]:
            if name not in self.alarms:
                raise AwsRefusal("ResourceNotFound", f"Alarm not found: {name}", 404)
        for name in params["AlarmNames"]:
            del self.alarms[name]
        return {}

    def set_alarm_state(self, params: Params) -> Params:
        """Holds until the next evaluation."""
        self.alarms[params["AlarmName"]]["StateValue"] = params["StateValue"]
        return {}

    def list_tags_for_resource(self, params: Params) -> Params:
        name = params["ResourceARN"].split(":alarm:")[-1]
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.get(name, {}).items()]}

    def put_metric_data(self, params: Params) -> Params:
        for datum in params["MetricData"]:
            at = datum.get("Timestamp", self.clock.now())
            dimensions = {one["Name"]: one["Value"] for one in datum.get("Dimensions", [])}
            self.put(params["Namespace"], datum["MetricName"], dimensions, float(datum["Value"]), at)
        return {}

    def get_metric_data(self, params: Params) -> Params:
        results = []
        for query in params["MetricDataQueries"]:
            stat = query["MetricStat"]
            metric = stat["Metric"]
            series = _series(metric["Namespace"], metric["MetricName"], metric.get("Dimensions", []))
            points = list(
                self._points(series, stat["Stat"], stat["Period"], params["StartTime"], params["EndTime"])
            )
            results.append(
                {
                    "Id": query["Id"],
                    "Label": metric["MetricName"],
                    "Timestamps": [at for at, _ in points],
                    "Values": [value for _, value in points],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results}

    def _points(
        self, series: Series, stat: str, period: int, start: datetime, end: datetime
    ) -> Iterator[tuple[datetime, float]]:
        begin = int(start.timestamp()) // period * period
        while begin < end.timestamp():
            values = self._between(series, begin, begin + period)
            if values:
                yield datetime.fromtimestamp(begin, start.tzinfo), _statistic(stat, values)
            begin += period

    def _between(self, series: Series, begin: float, end: float) -> list[float]:
        seen = self.clock.now().timestamp() - self.delays.get(series[1], self.delay)
        points = ((at.timestamp(), value) for at, value in self.data.get(series, ()))
        return [value for at, value in points if begin <= at < end and at <= seen]

    def tick(self, now: datetime) -> None:
        for alarm in self.alarms.values():
            period = int(alarm["Period"])
            if period < 60 or int(now.timestamp()) % 60 < 10:
                alarm["StateValue"] = self._evaluate(alarm, now)

    def _evaluate(self, alarm: Params, now: datetime) -> str:
        series = _series(alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions", []))
        period, count = int(alarm["Period"]), int(alarm["EvaluationPeriods"])
        end = int(now.timestamp()) // period * period
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        breaches = _BREACHES[alarm["ComparisonOperator"]]
        missing = alarm.get("TreatMissingData", "missing")
        verdicts: list[bool | None] = []
        for index in range(count):
            values = self._between(series, end - (index + 1) * period, end - index * period)
            if values:
                verdicts.append(breaches(_statistic(stat, values), float(alarm["Threshold"])))
            else:
                verdicts.append({"notBreaching": False, "breaching": True}.get(missing))
        if all(verdict is None for verdict in verdicts):
            return str(alarm["StateValue"]) if missing == "ignore" else "INSUFFICIENT_DATA"
        needed = int(alarm.get("DatapointsToAlarm", count))
        return "ALARM" if sum(verdict is True for verdict in verdicts) >= needed else "OK"


def _statistic(stat: str, values: list[float]) -> float:
    match stat:
        case "Sum":
            return sum(values)
        case "Average":
            return sum(values) / len(values)
        case "Minimum":
            return min(values)
        case "Maximum":
            return max(values)
        case "SampleCount":
            return float(len(values))
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * float(stat[1:]) / 100))]
