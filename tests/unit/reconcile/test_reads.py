"""What alarms are judged by is read so that its parts fit one another."""

from tests.memory_metrics import BusyMetrics
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring.alarm_data import SampleQuery
from tidegate.reconcile.reads import read_all

ERRORS, REQUESTS = (MetricId.of("Mine", name, {}) for name in ("Errors", "Requests"))
AT = 1_800_000_000


async def test_metrics_that_metric_math_divides_are_of_one_moment() -> None:
    each = [Sample(metric, AT, 10, 10, 1, 1, {}) for metric in (REQUESTS, ERRORS)]
    wanted = [SampleQuery(metric, None, range(AT, AT + 60, 60)) for metric in (ERRORS, REQUESTS)]
    found = await read_all(BusyMetrics(list(each), arriving=each), wanted)
    assert [found[one][AT].total for one in wanted] == [10, 10]
