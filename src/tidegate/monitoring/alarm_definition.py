"""Which alarms can be evaluated. Pure."""

import math

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm
from tidegate.domain.errors import Invalid
from tidegate.monitoring import metric_math
from tidegate.monitoring.alarm_evaluation import EXTRA, INTERVALS, MINUTE
from tidegate.monitoring.samples import STATISTICS, check_extended

DAY = 86_400
MOST_PERIODS = 10_000
"""Of one alarm: somewhat more than a day of 10 seconds, CloudWatch's shortest period for a day."""
MOST_LINES = 20
"""Of one alarm's metric math."""


def check(alarm: Alarm) -> None:
    """Raises Invalid for an alarm that cannot be evaluated."""
    if alarm.rule:
        alarm_rule.parse(alarm.rule)
        return
    period, periods = alarm.period, alarm.evaluation_periods
    if period not in INTERVALS and (period <= 0 or period % MINUTE):
        raise Invalid(f"alarm {alarm.name}: period {period} is not 1, 5, 10, 20, 30 or a multiple of 60 seconds")
    if not 1 <= alarm.datapoints_to_alarm <= periods:
        raise Invalid(
            f"alarm {alarm.name}: datapoints to alarm ({alarm.datapoints_to_alarm}) must be between 1 and the "
            f"evaluation periods ({periods})"
        )
    longest = 7 * DAY if period >= 3600 else DAY
    if period * periods > longest:
        raise Invalid(
            f"alarm {alarm.name}: {periods} periods of {period} s are longer than {longest // DAY} day(s), the "
            "most for this period"
        )
    if periods > MOST_PERIODS:
        raise Invalid(
            f"alarm {alarm.name}: {periods:,} evaluation periods are more than {MOST_PERIODS:,}, the most there may "
            "be: use a longer period"
        )
    if not math.isfinite(alarm.threshold):
        raise Invalid(f"alarm {alarm.name}: threshold {alarm.threshold} is not a number to compare with")
    if alarm.queries:
        _check_math(alarm)
    elif alarm.statistic not in STATISTICS:
        check_extended(alarm.statistic)


def _check_math(alarm: Alarm) -> None:
    if len(alarm.queries) > MOST_LINES:
        raise Invalid(
            f"alarm {alarm.name}: {len(alarm.queries)} lines of metric math; at most {MOST_LINES} may be"
        )
    if sum(query.returned for query in alarm.queries) != 1:
        raise Invalid(f"alarm {alarm.name}: exactly one of Metrics must have ReturnData true: what is watched")
    metric_math.check(alarm.queries)
    most = metric_math.MOST_WATCHED
    if (steps := metric_math.size(alarm.queries) * (alarm.evaluation_periods + EXTRA)) > most:
        raise Invalid(
            f"alarm {alarm.name}: its metric math takes {steps:,} steps per evaluation; at most "
            f"{most:,} are allowed: use fewer evaluation periods, or shorter expressions"
        )
