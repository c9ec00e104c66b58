"""The number in the answers of a Prometheus server and of others."""

import json
from typing import Any

import pytest

from tidegate.domain.errors import Transient
from tidegate.features.signals.reader import parse_prometheus, parse_value

NOW = 1_700_000_000.0


def vector(*values: tuple[float, str]) -> dict[str, Any]:
    return {
        "resultType": "vector",
        "result": [{"metric": {"n": str(n)}, "value": v} for n, v in enumerate(values)],
    }


def prometheus(data: dict[str, Any]) -> float:
    return parse_prometheus(200, json.dumps({"status": "success", "data": data}).encode(), NOW)


def test_a_vector_of_one_series_and_a_scalar_are_numbers() -> None:
    assert prometheus(vector((NOW, "0.025"))) == 0.025
    assert prometheus({"resultType": "scalar", "result": [NOW - 59, "-1e3"]}) == -1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (vector(), "gives no series"),
        (vector((NOW, "1"), (NOW, "2")), "several series"),
        (vector((NOW, "NaN")), "not a number"),
        (vector((NOW, "+Inf")), "infinite"),
        ({"resultType": "scalar", "result": [NOW, "-Inf"]}, "infinite"),
        (vector((NOW - 61, "1")), "more than 60 s ago"),
        (vector((NOW + 61, "1")), "more than 60 s ahead"),
        (vector((float("nan"), "1")), "look at the clocks"),
        ({"resultType": "matrix", "result": []}, "gives a matrix"),
        ({"resultType": "string", "result": [NOW, "1"]}, "gives a string"),
        ({"resultType": "vector", "result": [{"metric": {}, "histogram": [NOW, {}]}]}, "not one of Prometheus's"),
        ({"result": []}, "not one of Prometheus's"),
    ],
)
def test_what_is_no_number_of_now_is_no_datapoint(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(Transient, match=reason):
        prometheus(data)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            400,
            b'{"status": "error", "errorType": "bad_data", "error": "1:3: parse\\n error"}',
            r"refused the query \(bad_data\): 1:3: parse error",
        ),
        (200, b'{"status": "error", "errorType": "timeout", "error": "slow"}', r"\(timeout\): slow"),
        (503, b"Service Unavailable", "answered with 503"),
        (503, b'{"data": {"resultType": "scalar", "result": [0, "1"]}}', "answered with 503"),
        (302, b"", "redirects are not followed"),
        (200, b"<html>", "not JSON"),
        (200, b"[" * 100_000, "not JSON"),
        (200, b"[1]", "not one of Prometheus's"),
    ],
)
def test_errors_of_the_server_are_told(status: int, body: bytes, reason: str) -> None:
    with pytest.raises(Transient, match=reason):
        parse_prometheus(status, body, NOW)


def test_a_document_has_its_number_at_the_path() -> None:
    assert parse_value(200, b'{"rates": [{"lost": 3}]}', "$.rates[0].lost") == 3.0
    assert parse_value(201, b"0.5", "$") == 0.5


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b'{"rate": "3"}', "not a number"),
        (200, b'{"rate": true}', "not a number"),
        (200, b'{"rate": null}', "not a number"),
        (200, b'{"rate": NaN}', "the value is not a number"),
        (200, b'{"rate": 1e999}', "infinite"),
        (200, b'{"rate": 1' + b"0" * 400 + b"}", "infinite"),
        (200, b"{}", r"nothing at \$\.rate"),
        (500, b'{"rate": 3}', "answered with 500"),
        (200, b"rate 3", "not JSON"),
    ],
)
def test_a_document_without_a_number_gives_none(status: int, body: bytes, reason: str) -> None:
    with pytest.raises(Transient, match=reason):
        parse_value(status, body, "$.rate")
