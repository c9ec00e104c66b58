"""Metric math queries (MetricDataQuery), which CloudWatch and Application Auto Scaling write the same way."""

from collections.abc import Iterable, Sequence

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Query
from tidegate.wire.cloudwatch_members import parse_dimensions, render_dimensions
from tidegate.wire.operation import Params


def parse_query(line: Params) -> Query:
    """Parse one query. Raises Invalid. Constraints between queries are not checked here."""
    id, stat = line["Id"], line.get("MetricStat")
    if line.get("AccountId") is not None:
        raise Invalid(f"{id}: AccountId: other accounts are not supported; leave it out")
    if (stat is None) == (line.get("Expression") is None):
        raise Invalid(f"{id}: exactly one of MetricStat and Expression must be given")
    shown = {"label": line.get("Label"), "returned": line.get("ReturnData", True), "period": line.get("Period")}
    if stat is None:
        return Query(id, expression=line["Expression"], **shown)
    named = stat["Metric"]
    if named.get("Namespace") is None or named.get("MetricName") is None:
        raise Invalid(f"{id}: MetricStat.Metric needs Namespace and MetricName")
    metric = MetricId.of(named["Namespace"], named["MetricName"], parse_dimensions(named))
    return Query(id, metric, stat["Stat"], stat.get("Unit"), **shown)


def parse_common_period(lines: Iterable[Params]) -> int:
    """The common period in seconds. Raises Invalid if the periods differ or none is given."""
    given = {_parse_period(line) for line in lines} - {0}
    if len(given) != 1:
        raise Invalid(f"all metric math queries must have the same Period; these have {sorted(given) or 'none'}")
    return given.pop()


def _parse_period(line: Params) -> int:
    """0 if the query has none."""
    own, of_metric = (int(part.get("Period") or 0) for part in (line, line.get("MetricStat") or {}))
    if own and of_metric and own != of_metric:
        raise Invalid(f"{line['Id']}: Period {own} and MetricStat.Period {of_metric} differ; leave Period out")
    return own or of_metric


def render_queries(queries: Sequence[Query], period: int | None = None) -> list[Params]:
    """Render queries; ``period`` is left out if None, as in Application Auto Scaling."""
    return [_render_query(one, period) for one in queries]


def _render_query(one: Query, period: int | None) -> Params:
    shared: Params = {"Id": one.id, "Label": one.label, "ReturnData": one.returned, "Period": one.period}
    if one.metric is None:
        return shared | {"Expression": one.expression}
    named = {
        "Namespace": one.metric.namespace,
        "MetricName": one.metric.name,
        "Dimensions": render_dimensions(dict(one.metric.dimensions)),
    }
    return shared | {"MetricStat": {"Metric": named, "Period": period, "Stat": one.statistic, "Unit": one.unit}}
