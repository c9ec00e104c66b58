"""Every operation that is served: service -> operation -> row."""

from tidegate.wire import cloudwatch_alarms, cloudwatch_metrics
from tidegate.wire.operation import Rows

TABLE: dict[str, Rows] = {
    "cloudwatch": {**cloudwatch_alarms.ROWS, **cloudwatch_metrics.ROWS},
}
