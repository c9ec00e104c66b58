"""CloudWatch's operations on alarms."""

from tidegate.wire.operation import Rows

ROWS: Rows = {}
