"""CloudWatch's operations on metrics."""

from tidegate.wire.operation import Rows

ROWS: Rows = {}
