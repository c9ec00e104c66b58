"""Metric math: as Python reckons it, and whatever text comes, it is read or refused, never anything else."""

import contextlib
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Query
from tidegate.monitoring.metric_math import DEEPEST, check, evaluate, order, parse

METRIC = MetricId("Shop", "Sales")
IDS = ("m1", "m2", "sales_3")
LISTED = ("AVG", "MAX", "MIN", "SUM")
AT = 1_772_366_400
"""A Sunday, 12:00 UTC."""
numbers = st.one_of(st.integers(0, 9).map("{}.0".format), st.sampled_from(["0.5", ".25", "1e3", "2.", "1E-2"]))


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    listed = st.lists(inner, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", " * ", "/"]), inner).map("".join),
        st.tuples(inner, numbers).map(lambda pair: f"({pair[0]}) ^ {pair[1]}"),
        inner.map("({})".format),
        inner.map("-{}".format),
        st.tuples(st.sampled_from(sorted(LISTED)), listed).map(lambda pair: f"{pair[0]}([{pair[1]}])"),
    )


expressions = st.recursive(st.one_of(numbers, st.sampled_from(IDS)), joined, max_leaves=12)
values = st.one_of(st.integers(-50, 50).map(float), st.floats(-1e6, 1e6, allow_nan=False))


def lines(expression: str) -> list[Query]:
    metrics = [Query(id, METRIC, "Sum", returned=False) for id in IDS]
    return [*metrics, Query("e", expression=expression)]


def result(expression: str, *spans: Mapping[str, float | None]) -> list[float | None]:
    read = {id: [span.get(id) for span in spans] for id in IDS}
    return evaluate(lines(expression), read, range(AT, AT + 60 * len(spans), 60))["e"]


def by_python(expression: str, known: Mapping[str, float]) -> float | None:
    functions = {
        "SUM": math.fsum,
        "AVG": lambda of: math.fsum(of) / len(of),
        "MIN": min,
        "MAX": max,
    }
    try:
        found = eval(expression.replace("^", "**"), {"__builtins__": {}}, {**functions, **known})
    except (ZeroDivisionError, OverflowError):
        return None
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


@given(expressions, st.fixed_dictionaries({id: values for id in IDS}))
def test_metric_math_computes_as_python_does(expression: str, known: dict[str, float]) -> None:
    (found,) = result(expression, known)
    expected = by_python(expression, known)
    if expected is None:
        # a part of a list had no value and was passed over; by Python the whole has none
        assert found is None or any(name in expression for name in LISTED)
    elif found is None:
        assert "^" in expression, "only a part that is infinite may vanish again for Python"
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.one_of(st.text(max_size=40), st.text("m12()[],+-*/^.<>=!&|\"' SUMFILREPTAVGXNDO0e\n", max_size=60)))
def test_any_text_is_parsed_as_metric_math_or_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        parse(text)


@given(expressions, st.lists(st.fixed_dictionaries({id: st.none() | values for id in IDS}), max_size=4))
def test_metric_math_computes_each_span_alone(expression: str, spans: list[dict[str, float | None]]) -> None:
    together = result(expression, *spans)
    assert together == [result(expression, span)[0] for span in spans]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m1 / m2", [2.0, None, None]),
        ("SUM([m1, m2])", [6.0, 5.0, 3.0]),
        ("SUM(METRICS())", [6.0, 5.0, 3.0]),
        ("AVG([m1, m2])", [3.0, 5.0, 1.5]),
        ("m1 / FILL(m2, 1)", [2.0, 5.0, None]),
        ("FILL(m2, REPEAT)", [2.0, 2.0, 0.0]),
        ("FILL(m2, -1.5)", [2.0, -1.5, 0.0]),
        ("100 * m1 / SUM([m1, m2]) - 2 ^ 2", [pytest.approx(62.6667, rel=1e-4), 96.0, 96.0]),
        # what one of two series lacks is 0 for a comparison, and a number is never missing
        ("m1 > m2", [1.0, 1.0, 1.0]),
        ("m2 > m1", [0.0, 0.0, 0.0]),
        ("m2 >= sales_3", [1.0, None, 1.0]),
        ("sales_3 == sales_3", [None, None, None]),
        ("m2 < 1", [0.0, None, 1.0]),
        ("m1 == 5 OR m2 == 2", [1.0, 1.0, 0.0]),
        ("m1 >= 4 AND m2 != 2", [0.0, 0.0, 0.0]),
        ("m1 >= 4 && m1 <= 5 || m2 == 0", [1.0, 1.0, 1.0]),
        ("1 + 1 > 1", [1.0, 1.0, 1.0]),
        ("IF(m1 > 3, m1 / m2, 0)", [2.0, None, 0.0]),
        ("IF(m1 > 3, m1)", [4.0, 5.0, None]),
        ("IF(m2, 1, 2)", [1.0, None, 2.0]),
        ("IF(FILL(m2, 0) > 1, 100 * m2 / m1, 0)", [50.0, 0.0, 0.0]),
        ("IF(m1 > 3 AND m2 > 1, IF(m1 == 4, 7, 8), 9)", [7.0, 9.0, 9.0]),
        ("MAX([ABS(m1 - 5), CEIL(m2 / 4), FLOOR(m2 / 4)])", [1.0, 0.0, 2.0]),
        ("ABS(0 - m1)", [4.0, 5.0, 3.0]),
        ("LOG10(m2 * 50)", [2.0, None, None]),
        ("DIFF(m1)", [None, 1.0, -2.0]),
        ("DIFF(m2)", [None, None, -2.0]),
        ("RATE(m1) * PERIOD(m1)", [None, 1.0, -2.0]),
        ("RATE(m2) * 120", [None, None, -2.0]),
        ("RUNNING_SUM(m1)", [4.0, 9.0, 12.0]),
        ("AVG(m1)", [4.0, 4.0, 4.0]),
        ("m1 - MAX(m1)", [-1.0, 0.0, -2.0]),
        ("SUM(m2) > 1", [1.0, 1.0, 1.0]),
        ("DATAPOINT_COUNT(m2)", [2.0, 2.0, 2.0]),
        ("METRIC_COUNT(METRICS())", [3.0, 3.0, 3.0]),
        ("METRIC_COUNT(METRICS('m'))", [2.0, 2.0, 2.0]),
        ('SUM(METRICS("m2"))', [2.0, None, 0.0]),
        ("SUM(FILL(METRICS(), 1))", [7.0, 7.0, 4.0]),
        ("FIRST(METRICS()) + LAST([m1, m1])", [8.0, 10.0, 6.0]),
        ("FILL(m2, LINEAR)", [2.0, 1.0, 0.0]),
        ("STDDEV([m1, m2])", [1.0, 0.0, 1.5]),
        ("HOUR(m1) * 100 + MINUTE(m1)", [1200.0, 1201.0, 1202.0]),
        ("IF(DAY(m1) < 6, m1, 0)", [0.0, 0.0, 0.0]),
        ("YEAR(m1) * 10000 + MONTH(m1) * 100 + DATE(m1)", [20260301.0] * 3),
        ("EPOCH(m2) - 1772366400", [0.0, None, 120.0]),
        ("TIME_SERIES(5) > m2", [1.0, 1.0, 1.0]),
        ("1e308 * 10", [None, None, None]),
        ("(-8) ^ 0.5", [None, None, None]),
    ],
)
def test_metric_math_leaves_out_missing_and_undefined_values(
    expression: str, expected: list[float | None]
) -> None:
    spans: list[dict[str, float | None]] = [{"m1": 4.0, "m2": 2.0}, {"m1": 5.0}, {"m1": 3.0, "m2": 0.0}]
    assert result(expression, *spans) == expected


def test_expressions_of_expressions_in_any_order() -> None:
    queries = [
        Query("twice", expression="2 * share"),
        Query("share", expression="a / b"),
        Query("a", METRIC, "Sum"),
        Query("b", METRIC, "p99"),
    ]
    check(queries)
    assert evaluate(queries, {"a": [3.0], "b": [4.0]}, range(1))["twice"] == [1.5]


def test_a_long_chain_is_put_into_order_and_a_longer_one_is_refused_before_it_is() -> None:
    chain = [Query(f"e{n}", expression=f"e{n - 1}") for n in range(499, 0, -1)]
    whole = [*chain, Query("e0", METRIC, "Sum")]
    check(whole)
    assert [one.id for one in order(whole)] == [f"e{n}" for n in range(500)]
    assert evaluate(whole, {"e0": [7.0]}, range(1))["e499"] == [7.0]
    circle = [*whole, *(Query(f"c{n}", expression=f"c{(n + 1) % 501}") for n in range(501))]
    with pytest.raises(Invalid, match="more than 1000 steps"):
        check(circle)
    with pytest.raises(Invalid, match="it is made of itself"):
        order(circle)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("ANOMALY_DETECTION_BAND(m1, 2)", "ANOMALY_DETECTION_BAND is not supported: use SUM, AVG, MIN, MAX"),
        ("IF(m1 > 2)", "',' is missing"),
        ("IF(METRICS() > 1, 1, 0)", "operators take no lists"),
        ("IF(m1, METRICS(), 0)", "not lists"),
        ("SEARCH('x', 'Sum')", "SEARCH is not supported"),
        ("m1 > ", "it ends too early"),
        ("m1 = 2", "'=' is not expected"),
        ("NOT m1", "'NOT' is not supported"),
        ("FILL(m1, NEXT)", "a number, REPEAT or LINEAR"),
        ("FIRST(m1)", "FIRST needs a list: FIRST([m1, m2])"),
        ("HOUR(METRICS())", "HOUR takes one series"),
        ("METRICS()", "the result is a list of series"),
        ("[m1, m2]", "the result is a list of series"),
        ("ABS(METRICS())", "the result is a list of series"),
        ("METRICS() / 2", "operators take no lists"),
        ("-METRICS()", "operators take no lists"),
        ("METRICS() ^ 2", "operators take no lists"),
        ("SUM([[m1], m2])", "a list within a list"),
        ("m1 +", "it ends too early"),
        ("(m1", "')' is missing"),
        ("m1 m2", "'m2' is not expected"),
        ("M1", "'M1' is not supported"),
        ("m9 + 1", "there is no line with the Id 'm9'"),
        ("e + 1", "it is made of itself"),
        ("(" * (DEEPEST + 1) + "m1" + ")" * (DEEPEST + 1), f"more than {DEEPEST} parentheses"),
        ("+".join(["m1"] * 1000), "steps for each point"),
        ("1e999", "is not a number"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refused_expression_says_why(expression: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(lines(expression))
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("queries", "says"),
    [
        ([Query("a", METRIC, "Sum"), Query("a", METRIC, "Sum")], "comes twice"),
        ([Query("Upper", METRIC, "Sum")], "'Upper'"),
        ([Query("a", METRIC, "Mean")], "Mean"),
        ([Query("e", expression="1")], "needs at least one metric"),
        ([Query("a", METRIC, "Sum", expression="1")], "exactly one of"),
    ],
)
def test_impossible_metric_math_lines_are_refused(queries: list[Query], says: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(queries)
    assert says in caught.value.message
