"""CloudWatch's metric operations through botocore's own clients: those that speak JSON, those that speak query."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.served_wire import START

SPACE = "Shop"
DATUM = "MetricData.member.2"
BOTH = "mutually exclusive and you have specified both."
DIMENSIONS = [{"Name": "Store", "Value": "Bern"}, {"Name": "Till", "Value": "3"}]


def minutes_ago(minutes: float) -> datetime:
    """A whole minute, so many before the server's present."""
    return START - timedelta(minutes=minutes)


def put(client: Any, **members: Any) -> None:
    datum = {"MetricName": "Sales", "Dimensions": DIMENSIONS, "Timestamp": minutes_ago(5), **members}
    client.put_metric_data(Namespace=SPACE, MetricData=[datum])


def statistics(client: Any, **members: Any) -> list[dict[str, Any]]:
    wanted = {
        "Namespace": SPACE,
        "MetricName": "Sales",
        "Dimensions": DIMENSIONS,
        "StartTime": minutes_ago(10),
        "EndTime": minutes_ago(0),
        "Period": 60,
        "Statistics": ["Sum", "Average", "Minimum", "Maximum", "SampleCount"],
        **members,
    }
    answer = client.get_metric_statistics(**{name: value for name, value in wanted.items() if value is not None})
    return sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])


def query(name: str = "q", stat: str = "Sum", **members: Any) -> dict[str, Any]:
    metric = {"Namespace": SPACE, "MetricName": "Sales", "Dimensions": DIMENSIONS}
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}, **members}


def data(client: Any, *queries: dict[str, Any], **members: Any) -> dict[str, Any]:
    wanted = {"StartTime": minutes_ago(10), "EndTime": minutes_ago(0), **members}
    return dict(client.get_metric_data(MetricDataQueries=list(queries), **wanted))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"Value": 2.5}, (2.5, 2.5, 2.5, 2.5, 1)),
        ({"Values": [1.0, 3.0]}, (4.0, 2.0, 1.0, 3.0, 2)),
        ({"Values": [1.0, 3.0], "Counts": [3.0, 1.0]}, (6.0, 1.5, 1.0, 3.0, 4)),
        ({"Values": [2.0, 2.0], "Counts": [1.0, 2.0]}, (6.0, 2.0, 2.0, 2.0, 3)),
        (
            {"StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4}},
            (10.0, 2.5, 1.0, 4.0, 4),
        ),
        ({"Value": -7.0}, (-7.0, -7.0, -7.0, -7.0, 1)),
        ({"Value": 0.0}, (0.0, 0.0, 0.0, 0.0, 1)),
        ({"Value": 2.0**360}, (2.0**360,) * 4 + (1,)),
    ],
    ids=lambda v: str(v)[:40],
)
def test_metric_data_that_was_put_is_read_back(
    cloudwatch: Any, members: dict[str, Any], expected: tuple[float, ...]
) -> None:
    put(cloudwatch, Unit="Count", **members)
    (point,) = statistics(cloudwatch)
    assert tuple(point[name] for name in ("Sum", "Average", "Minimum", "Maximum", "SampleCount")) == expected
    assert (point["Timestamp"], point["Unit"]) == (minutes_ago(5), "Count")


def test_values_of_one_minute_add_up(cloudwatch: Any) -> None:
    for second, value in ((1, 1.0), (59, 2.0), (60, 4.0)):
        put(cloudwatch, Value=value, Timestamp=minutes_ago(5) + timedelta(seconds=second))
    assert [point["Sum"] for point in statistics(cloudwatch)] == [3.0, 4.0]


def test_high_resolution_metrics_are_read_by_ten_seconds(cloudwatch: Any) -> None:
    for second in (1, 2, 11):
        put(
            cloudwatch,
            Value=1.0,
            Timestamp=minutes_ago(5) + timedelta(seconds=second),
            StorageResolution=1,
            Unit="None",
        )
    points = statistics(cloudwatch, Period=10, StartTime=minutes_ago(5), EndTime=minutes_ago(4))
    assert [(point["Timestamp"] - minutes_ago(5)).total_seconds() for point in points] == [0, 10]
    assert [point["Sum"] for point in points] == [2.0, 1.0]


def test_no_timestamp_means_now(cloudwatch: Any) -> None:
    cloudwatch.put_metric_data(Namespace=SPACE, MetricData=[{"MetricName": "Sales", "Value": 1.0}])
    (point,) = statistics(cloudwatch, Dimensions=None, EndTime=minutes_ago(-1))
    assert point["Sum"] == 1.0


def test_dimensions_match_as_an_exact_set(cloudwatch: Any) -> None:
    put(cloudwatch, Value=1.0)
    assert len(statistics(cloudwatch, Dimensions=list(reversed(DIMENSIONS)))) == 1
    assert statistics(cloudwatch, Dimensions=DIMENSIONS[:1]) == []
    assert statistics(cloudwatch, Dimensions=None) == []


def test_the_start_of_a_span_counts_and_its_end_does_not(cloudwatch: Any) -> None:
    put(cloudwatch, Value=1.0)
    assert len(statistics(cloudwatch, StartTime=minutes_ago(5), EndTime=minutes_ago(4))) == 1
    assert statistics(cloudwatch, StartTime=minutes_ago(6), EndTime=minutes_ago(5)) == []
    within = minutes_ago(5) + timedelta(seconds=30)
    assert len(statistics(cloudwatch, StartTime=within, EndTime=minutes_ago(3))) == 1


def test_a_unit_filters(cloudwatch: Any) -> None:
    put(cloudwatch, Value=1.0, Unit="Seconds")
    assert len(statistics(cloudwatch, Unit="Seconds")) == 1
    assert statistics(cloudwatch, Unit="Count") == []


def test_values_of_different_units_are_never_added_up(cloudwatch: Any) -> None:
    put(cloudwatch, Value=3.0, Unit="Seconds")
    put(cloudwatch, Values=[1000.0, 2000.0], Unit="Milliseconds")
    found = {point["Unit"]: (point["Sum"], point["SampleCount"]) for point in statistics(cloudwatch)}
    assert found == {"Seconds": (3.0, 1), "Milliseconds": (3000.0, 2)}
    (one,) = data(cloudwatch, query())["MetricDataResults"]
    assert (one["Label"], one["Values"]) == ("Sales", [3000.0])
    assert one["Messages"] == [
        {"Code": "MultipleUnits", "Value": "Multiple units returned: '[Milliseconds, Seconds]'"}
    ]
    in_seconds = query()
    in_seconds["MetricStat"]["Unit"] = "Seconds"
    (one,) = data(cloudwatch, in_seconds)["MetricDataResults"]
    assert (one["Label"], one["Values"]) == ("Sales", [3.0])
    assert "Messages" not in one


def test_expressions_do_not_mix_units(cloudwatch: Any, refusal: Any) -> None:
    put(cloudwatch, Value=3.0, Unit="Seconds")
    put(cloudwatch, Value=1000.0, Unit="Milliseconds")
    times = {"StartTime": minutes_ago(10), "EndTime": minutes_ago(0)}
    double = {"Id": "double", "Expression": "2 * m1"}
    code, _, message = refusal(cloudwatch.get_metric_data, MetricDataQueries=[query("m1"), double], **times)
    assert (code, "set Unit" in message) == ("ValidationError", True)
    in_seconds = query("m1", ReturnData=False)
    in_seconds["MetricStat"]["Unit"] = "Seconds"
    (one,) = data(cloudwatch, in_seconds, double)["MetricDataResults"]
    assert one["Values"] == [6.0]


def test_percentiles_are_close_to_those_of_the_values(cloudwatch: Any) -> None:
    put(cloudwatch, Values=[float(value) for value in range(1, 101)])
    (point,) = statistics(cloudwatch, Statistics=None, ExtendedStatistics=["p50", "p99.9", "p0.0"])
    found = point["ExtendedStatistics"]
    assert found["p50"] == pytest.approx(50, rel=0.03)
    assert found["p99.9"] == pytest.approx(100, rel=0.02)
    assert found["p0.0"] == pytest.approx(1, rel=0.02)
    assert "Sum" not in point


def test_no_percentile_of_values_of_which_only_the_sums_are_known(cloudwatch: Any) -> None:
    put(cloudwatch, StatisticValues={"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2})
    assert statistics(cloudwatch, Statistics=None, ExtendedStatistics=["p50"]) == []


@pytest.mark.parametrize(
    ("members", "code", "says"),
    [
        ({}, "MissingParameter", "one of Value, Values and StatisticValues"),
        ({"Value": 1.0, "Values": [1.0]}, "InvalidParameterValue", f"{DATUM}.Value and {DATUM}.Values are {BOTH}"),
        (
            {"Value": 1.0, "StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1}},
            "InvalidParameterCombination",
            f"{DATUM}.Value and {DATUM}.StatisticValues are {BOTH}",
        ),
        ({"Value": 1.0, "Counts": [1.0]}, "InvalidParameterCombination", "Counts requires Values"),
        (
            {"Values": [1.0, 2.0], "Counts": [1.0]},
            "InvalidParameterValue",
            f"parameters {DATUM}.Values and {DATUM}.Counts must be of the same size.",
        ),
        ({"Values": [1.0], "Counts": [0.0]}, "InvalidParameterValue", "must be above 0"),
        ({"Values": []}, "InvalidParameterValue", "must not be empty."),
        ({"Values": [1.0] * 151}, "InvalidParameterValue", "must not have a size greater than 150."),
        (
            {"Value": float("nan")},
            "InvalidParameterValue",
            f"The value NaN for parameter {DATUM}.Value is invalid.",
        ),
        ({"Value": float("-inf")}, "InvalidParameterValue", f"value -Infinity for parameter {DATUM}.Value is"),
        ({"Value": -(2.0**361)}, "InvalidParameterValue", "2^360"),
        (
            {"Values": [1.0], "Counts": [float("nan")]},
            "InvalidParameterValue",
            f"The value NaN for parameter {DATUM}.Counts",
        ),
        (
            {"StatisticValues": {"SampleCount": float("inf"), "Sum": 1, "Minimum": 1, "Maximum": 1}},
            "InvalidParameterValue",
            "SampleCount",
        ),
        (
            {"StatisticValues": {"SampleCount": 0, "Sum": 0, "Minimum": 0, "Maximum": 0}},
            "InvalidParameterValue",
            "is not valid",
        ),
        (
            {"StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 2, "Maximum": 1}},
            "InvalidParameterValue",
            "is not valid",
        ),
        ({"Value": 1.0, "StorageResolution": 10}, "InvalidParameterValue", "neither 1 nor 60"),
        ({"Value": 1.0, "Unit": "Apples"}, "ValidationError", "Apples"),
        ({"Value": 1.0, "Timestamp": minutes_ago(60 * 24 * 14 + 1)}, "InvalidParameterValue", "two weeks"),
        ({"Value": 1.0, "Timestamp": minutes_ago(-121)}, "InvalidParameterValue", "two hours"),
        ({"Value": 1.0, "Dimensions": DIMENSIONS[:1] * 2}, "InvalidParameterValue", "names a dimension twice"),
        (
            {"Value": 1.0, "Dimensions": [{"Name": f"n{i}", "Value": "v"} for i in range(31)]},
            "ValidationError",
            "30",
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_bad_data_is_refused_and_nothing_is_half_written(
    refusing: Any, refusal: Any, members: dict[str, Any], code: str, says: str
) -> None:
    good = {"MetricName": "Sales", "Dimensions": DIMENSIONS, "Timestamp": minutes_ago(5), "Value": 1.0}
    bad = {"MetricName": "Sales", "Dimensions": DIMENSIONS, **members}
    found = refusal(refusing.put_metric_data, Namespace=SPACE, MetricData=[good, bad])
    assert found[:2] == (code, 400)
    assert says in found[2]
    assert statistics(refusing) == []
    assert refusing.list_metrics()["Metrics"] == []


@pytest.mark.parametrize(
    ("namespace", "says"),
    [
        ("AWS/SageMaker", "The value AWS/ for parameter Namespace is invalid."),
        ("AWS/Own", "The value AWS/ for parameter Namespace is invalid."),
        ("aws/sagemaker", "the platform alone writes there"),
        (" AWS/SageMaker", "the platform alone writes there"),
        ("\uff21WS/SageMaker", "the platform alone writes there"),
        ("/aws/sagemaker/Endpoints", "the platform alone writes there"),
        ("/AWS/SageMaker/TransformJobs", "the platform alone writes there"),
        ("aws/sagemaker/Endpoints/data-metrics", "the platform alone writes there"),
        ("tidegate/Evidence", "the platform alone writes there"),
        ("TideGate/labels ", "the platform alone writes there"),
        ("AWS /SageMaker", "the platform alone writes there"),
        ("aws/\u200bsagemaker", "the platform alone writes there"),
        ("\u2060tide\u00adgate/Evidence", "the platform alone writes there"),
    ],
)
def test_a_client_cannot_write_to_a_metric_of_the_platform(
    refusing: Any, refusal: Any, namespace: str, says: str
) -> None:
    ours = [{"Name": "EndpointName", "Value": "fraud"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    datum = {"MetricName": "Invocation5XXErrors", "Dimensions": ours, "Value": 0.0}
    code, status, message = refusal(refusing.put_metric_data, Namespace=namespace, MetricData=[datum, datum])
    assert (code, status) == ("InvalidParameterValue", 400)
    assert says in message
    assert refusing.list_metrics()["Metrics"] == []


@pytest.mark.parametrize("namespace", ["AWSome/Shop", "/aws/lambda", "tidegate", "Mine/AWS/SageMaker"])
def test_names_that_only_resemble_are_a_clients_own(cloudwatch: Any, namespace: str) -> None:
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "Sales", "Value": 1.0}])
    assert [one["Namespace"] for one in cloudwatch.list_metrics()["Metrics"]] == [namespace]


def test_at_most_1000_data_are_put_in_one_call(cloudwatch: Any, refusal: Any) -> None:
    one = {"MetricName": "Sales", "Timestamp": minutes_ago(5), "Value": 1.0}
    code, status, message = refusal(cloudwatch.put_metric_data, Namespace=SPACE, MetricData=[one] * 1001)
    assert (code, status) == ("InvalidParameterValue", 400)
    assert message == "The collection MetricData must not have a size greater than 1000."
    assert statistics(cloudwatch, Dimensions=None) == []
    cloudwatch.put_metric_data(Namespace=SPACE, MetricData=[one] * 1000)
    (point,) = statistics(cloudwatch, Dimensions=None)
    assert point["SampleCount"] == 1000


def test_data_two_weeks_old_and_two_hours_ahead_is_accepted(cloudwatch: Any) -> None:
    put(cloudwatch, Value=1.0, Timestamp=minutes_ago(60 * 24 * 14))
    put(cloudwatch, Value=1.0, Timestamp=minutes_ago(-120))
    window = {"StartTime": minutes_ago(60 * 24 * 15), "EndTime": minutes_ago(-130), "Period": 3600}
    assert len(statistics(cloudwatch, **window)) == 2


@pytest.mark.parametrize(
    ("members", "code", "says"),
    [
        (
            {"Statistics": None},
            "InvalidParameterCombination",
            "Must specify either Statistics or ExtendedStatistics",
        ),
        ({"ExtendedStatistics": ["p99"]}, "InvalidParameterCombination", "exclude each other"),
        (
            {"Statistics": None, "ExtendedStatistics": ["Sum"]},
            "InvalidParameterValue",
            "The value Sum for parameter",
        ),
        ({"Statistics": None, "ExtendedStatistics": ["p101"]}, "InvalidParameterValue", "p101"),
        ({"Period": 45}, "InvalidParameterValue", "Period 45"),
        ({"EndTime": minutes_ago(10)}, "InvalidParameterValue", "StartTime must be less"),
        (
            {"EndTime": minutes_ago(10) + timedelta(milliseconds=999)},
            "InvalidParameterValue",
            "The parameter StartTime must be less than the parameter EndTime.",
        ),
        ({"StartTime": minutes_ago(24 * 60 + 1)}, "InvalidParameterCombination", "1,441 datapoints"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_impossible_statistics_requests_are_refused(
    refusing: Any, refusal: Any, members: dict[str, Any], code: str, says: str
) -> None:
    wanted = {
        "Namespace": SPACE,
        "MetricName": "Sales",
        "StartTime": minutes_ago(10),
        "EndTime": minutes_ago(0),
        "Period": 60,
        "Statistics": ["Sum"],
        **members,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    found = refusal(refusing.get_metric_statistics, **given)
    assert found[:2] == (code, 400)
    assert says in found[2]


def test_data_newest_first_or_oldest_first(cloudwatch: Any) -> None:
    for minutes in (7, 5, 3):
        put(cloudwatch, Value=float(minutes), Timestamp=minutes_ago(minutes))
    answer = data(cloudwatch, query())
    (result,) = answer["MetricDataResults"]
    assert (result["Id"], result["Label"], result["StatusCode"]) == ("q", "Sales", "Complete")
    assert result["Values"] == [3.0, 5.0, 7.0]
    assert result["Timestamps"] == [minutes_ago(m) for m in (3, 5, 7)]
    assert "NextToken" not in answer
    (turned,) = data(cloudwatch, query(), ScanBy="TimestampAscending")["MetricDataResults"]
    assert turned["Values"] == [7.0, 5.0, 3.0]


def test_several_queries_labels_and_hidden_ones(cloudwatch: Any) -> None:
    put(cloudwatch, Values=[1.0, 3.0])
    queries = (
        query("a", Label="Money"),
        query("b", ReturnData=False),
        query("c", stat="p100"),
        query("d", "Maximum"),
    )
    results = data(cloudwatch, *queries)["MetricDataResults"]
    assert [(r["Id"], r["Label"]) for r in results] == [
        ("a", "Money"),
        ("c", "Sales Bern 3 p100"),
        ("d", "Sales Bern 3 Maximum"),
    ]
    assert [r["Values"] for r in results] == [[4.0], [pytest.approx(3.0, rel=0.01)], [3.0]]


@pytest.mark.parametrize(
    ("pairs", "labels"),
    [
        ([("Sum", 60)], ["Sales"]),
        ([("Sum", 60), ("Minimum", 60)], ["Sales Sum", "Sales Minimum"]),
        ([("Sum", 60), ("Sum", 30)], ["Sales 60", "Sales 30"]),
        ([("Sum", 60), ("Minimum", 30)], ["Sales Sum 60", "Sales Minimum 30"]),
    ],
)
def test_default_labels_say_what_tells_queries_apart(
    cloudwatch: Any, pairs: list[tuple[str, int]], labels: list[str]
) -> None:
    queries = [query(f"q{number}", stat) for number, (stat, _) in enumerate(pairs)]
    for one, (_, period) in zip(queries, pairs, strict=True):
        one["MetricStat"] |= {"Period": period, "Metric": {"Namespace": SPACE, "MetricName": "Sales"}}
    assert [one["Label"] for one in data(cloudwatch, *queries)["MetricDataResults"]] == labels


def test_metric_math_in_data(cloudwatch: Any) -> None:
    put(cloudwatch, Values=[1.0, 3.0], Timestamp=minutes_ago(6))
    put(cloudwatch, Value=5.0)
    share = {"Id": "share", "Expression": "100 * m2 / m1", "Label": "percent"}
    results = data(cloudwatch, query("m1", ReturnData=False), query("m2", "Maximum"), share)["MetricDataResults"]
    assert [(r["Id"], r["Label"], r["Values"]) for r in results] == [
        ("m2", "Sales", [5.0, 3.0]),
        ("share", "percent", [100.0, 75.0]),
    ]
    assert results[1]["Timestamps"] == [minutes_ago(5), minutes_ago(6)]


def test_metric_math_over_too_long_a_time_is_refused(refusing: Any, refusal: Any) -> None:
    """Ten days of seconds would hold everybody else up."""
    often = query("m1")
    often["MetricStat"]["Period"] = 1
    queries = [often, {"Id": "e", "Expression": "m1 + m1"}]
    times = {"StartTime": minutes_ago(14_400), "EndTime": minutes_ago(0)}
    code, status, message = refusal(refusing.get_metric_data, MetricDataQueries=queries, **times)
    assert (code, status) == ("ValidationError", 400)
    assert "shorten the time range" in message


def test_a_query_without_data_is_complete_and_empty(cloudwatch: Any) -> None:
    (result,) = data(cloudwatch, query())["MetricDataResults"]
    assert (result["StatusCode"], result["Values"], result["Timestamps"]) == ("Complete", [], [])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_metric_data_comes_in_pages(cloudwatch: Any, size: int) -> None:
    for minutes in (7, 5, 3):
        put(cloudwatch, Value=float(minutes), Timestamp=minutes_ago(minutes))
    found: dict[str, list[float]] = {}
    token: dict[str, str] = {}
    status: dict[str, str] = {}
    while True:
        answer = data(cloudwatch, query("a"), query("b", "Maximum"), MaxDatapoints=size, **token)
        assert sum(len(r["Values"]) for r in answer["MetricDataResults"]) <= size
        for result in answer["MetricDataResults"]:
            found.setdefault(result["Id"], []).extend(result["Values"])
            status[result["Id"]] = result["StatusCode"]
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert found == {"a": [3.0, 5.0, 7.0], "b": [3.0, 5.0, 7.0]}
    assert status == {"a": "Complete", "b": "Complete"}


@pytest.mark.parametrize(
    ("queries", "says"),
    [
        ([], "0 entries"),
        ([{"Id": "e", "Expression": "a + b"}], "at least one metric"),
        ([query("a"), {"Id": "e", "Expression": "a + b"}], "no line with the Id 'b'"),
        (
            [query("a"), {"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(a)"}],
            "ANOMALY_DETECTION_BAND is not supported",
        ),
        ([query("a"), {"Id": "e", "Expression": "a", "Period": 300}], "must have the same Period"),
        ([{"Id": "e"}], "The parameter MetricDataQueries.member.1.MetricStat is required.\n"),
        ([{**query(), "Expression": "a"}], "exactly one of MetricStat and Expression"),
        ([query("Upper")], "'Upper'"),
        ([query("a"), query("a")], "comes twice"),
        (
            [query(), query("r", stat="Mean")],
            "The value Mean for parameter MetricDataQueries.member.2.MetricStat.Stat is not a valid statistic.",
        ),
        ([query()] * 501, "501 entries"),
        (
            [{"Id": "e", "MetricStat": {"Metric": {"MetricName": "M"}, "Period": 60, "Stat": "Sum"}}],
            "needs Namespace",
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_impossible_metric_queries_are_refused(
    refusing: Any, refusal: Any, queries: list[dict[str, Any]], says: str
) -> None:
    times = {"StartTime": minutes_ago(10), "EndTime": minutes_ago(0)}
    code, status, message = refusal(refusing.get_metric_data, MetricDataQueries=queries, **times)
    assert (code, status) == ("ValidationError", 400)
    assert says in message


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (timedelta(seconds=-1), "The parameter EndTime must be greater than StartTime."),
        (timedelta(0), "The parameter StartTime must not equal parameter EndTime."),
        (timedelta(milliseconds=999), "The parameter StartTime must not equal parameter EndTime."),
    ],
)
def test_an_empty_or_reversed_range_of_data_is_refused(
    refusing: Any, refusal: Any, end: timedelta, says: str
) -> None:
    times = {"StartTime": minutes_ago(10), "EndTime": minutes_ago(10) + end}
    found = refusal(refusing.get_metric_data, MetricDataQueries=[query()], **times)
    assert found == ("ValidationError", 400, says)


def test_a_forged_page_token_is_refused(refusing: Any, refusal: Any) -> None:
    times = {"StartTime": minutes_ago(10), "EndTime": minutes_ago(0)}
    for token in ("x", "W10=", "dHJ1ZQ=="):
        found = refusal(refusing.get_metric_data, MetricDataQueries=[query()], NextToken=token, **times)
        assert found == ("InvalidNextToken", 400, "Request parameter NextToken is invalid")


def test_metrics_are_listed_by_namespace_name_and_dimensions(cloudwatch: Any) -> None:
    put(cloudwatch, Value=1.0)
    put(cloudwatch, Value=1.0, Dimensions=DIMENSIONS[:1])
    put(cloudwatch, Value=1.0, MetricName="Returns")
    put(cloudwatch, Value=1.0, MetricName="Old", Timestamp=minutes_ago(60 * 5))
    cloudwatch.put_metric_data(Namespace="Other", MetricData=[{"MetricName": "Sales", "Value": 1.0}])

    def look(**members: Any) -> list[tuple[str, str, int]]:
        found = cloudwatch.list_metrics(**members)["Metrics"]
        return [(m["Namespace"], m["MetricName"], len(m["Dimensions"])) for m in found]

    everything = [("Other", "Sales", 0), ("Shop", "Old", 2), ("Shop", "Returns", 2), ("Shop", "Sales", 1)]
    assert look() == [*everything, ("Shop", "Sales", 2)]
    assert look(Namespace="Shop", MetricName="Sales") == [("Shop", "Sales", 1), ("Shop", "Sales", 2)]
    assert look(Dimensions=[{"Name": "Till"}], MetricName="Sales") == [("Shop", "Sales", 2)]
    assert look(Dimensions=[{"Name": "Till", "Value": "9"}]) == []
    assert ("Shop", "Old", 2) not in look(RecentlyActive="PT3H")
    (found,) = cloudwatch.list_metrics(Namespace="Shop", MetricName="Returns")["Metrics"]
    assert found["Dimensions"] == DIMENSIONS


def test_metrics_are_listed_in_pages(cloudwatch: Any) -> None:
    wanted = [f"metric-{number:04}" for number in range(1001)]
    for start in range(0, len(wanted), 500):
        batch = [{"MetricName": name, "Value": 1.0} for name in wanted[start : start + 500]]
        cloudwatch.put_metric_data(Namespace=SPACE, MetricData=batch)
    pages = list(cloudwatch.get_paginator("list_metrics").paginate(Namespace=SPACE))
    assert [len(page["Metrics"]) for page in pages] == [500, 500, 1]
    assert [metric["MetricName"] for page in pages for metric in page["Metrics"]] == wanted
