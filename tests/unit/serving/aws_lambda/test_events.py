"""What an event of Lambda asks for; a wrong one is refused and named."""

import base64

import pytest

from tests.unit.serving.aws_lambda.lambda_events import event_bridge, http_api, rest_api, sqs
from tidegate.serving.aws_lambda.events import (
    BadEvent,
    BusEvent,
    DirectRequest,
    HttpRequest,
    MessageBatch,
    PredictionRequest,
    parse,
)

CSV = {"Content-Type": "text/csv", "Accept": "application/json"}


def prediction(event: object) -> PredictionRequest:
    parsed = parse(event)
    assert isinstance(parsed, HttpRequest | DirectRequest | BusEvent)
    return parsed.prediction


@pytest.mark.parametrize("event", [rest_api("1,2", CSV), http_api("1,2", CSV), http_api(b"1,2", CSV)])
def test_http_events_of_both_payload_formats_are_one_request(event: dict[str, object]) -> None:
    asked = prediction(event)
    assert asked.body == b"1,2"
    assert asked.headers == {b"content-type": b"text/csv", b"accept": b"application/json"}


def test_bytes_that_are_no_text_come_in_base64() -> None:
    assert prediction(http_api(b"\x93NUMPY\xff")).body == b"\x93NUMPY\xff"


def test_of_several_headers_the_last_one_counts_as_in_a_worker() -> None:
    event = rest_api("1", {})
    event["multiValueHeaders"] = {"Accept": ["text/csv", "application/json"]}
    assert prediction(event).headers == {b"accept": b"application/json"}


def test_headers_of_the_platform_itself_are_dropped() -> None:
    assert prediction(http_api("1", {"x-tidegate-path": "/v1/models"})).headers == {}


def test_members_of_a_direct_invocation_are_headers() -> None:
    asked = prediction({"body": "1,2", "contentType": "text/csv", "targetModel": "b.tar.gz", "accept": None})
    assert asked.headers == {b"content-type": b"text/csv", b"x-amzn-sagemaker-target-model": b"b.tar.gz"}


def test_a_body_that_is_json_itself_keeps_its_numbers() -> None:
    asked = prediction({"body": {"instances": [[0.1, 1e22, 12345678901234567890, None, "é"]]}})
    assert asked.body == b'{"instances":[[0.1,1e+22,12345678901234567890,null,"\\u00e9"]]}'
    assert asked.headers == {b"content-type": b"application/json"}


def test_an_event_of_eventbridge_asks_with_its_detail() -> None:
    asked = prediction(event_bridge({"employee": 7, "amount": 1250.5}))
    assert asked.body == b'{"employee":7,"amount":1250.5}'
    assert asked.id == "17793124-05d4-b198-2fde-7ededc63b103"
    assert prediction(event_bridge({"body": "1,2", "contentType": "text/csv"})).body == b"1,2"


def test_messages_of_sqs_are_requests_each_with_its_problem_of_its_own() -> None:
    event = sqs({"a": "1,2", "b": "not base64!"})
    event["Records"][1]["messageAttributes"] = {"isBase64Encoded": {"stringValue": "true"}}
    batch = parse(event)
    assert isinstance(batch, MessageBatch) and not batch.ordered
    first, second = batch.messages
    assert first.prediction == PredictionRequest(b"1,2", {b"content-type": b"text/csv"}, "a")
    assert second.prediction is None and "the body of message b is not base64" in second.problem


def test_a_fifo_queue_is_known_by_its_name() -> None:
    batch = parse(sqs({"a": "1"}, fifo=True))
    assert isinstance(batch, MessageBatch) and batch.ordered


def with_member(event: dict[str, object], name: str, value: object) -> dict[str, object]:
    return {**event, name: value}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (None, "not an object"),
        ([1], "not an object"),
        ({}, "of no known kind"),
        ({"rows": [1]}, "of no known kind"),
        ({"body": "1", "contenttype": "text/csv"}, "has a member 'contenttype'; the members are body"),
        ({"body": 5}, "the body of the event is not a text"),
        ({"body": "1", "contentType": 5}, "header 'content-type' is not a text"),
        ({"body": "a", "isBase64Encoded": True}, "is not base64"),
        ({"body": "a", "isBase64Encoded": "yes"}, "must be true or false"),
        ({"body": "\ud800"}, "not Unicode"),
        ({"body": [float("nan")]}, "a number that JSON does not have"),
        ({"body": [float("inf")]}, "a number that JSON does not have"),
        (with_member(http_api("1"), "requestContext", {}), "without the http of payload format 2.0"),
        (with_member(http_api("1"), "headers", [1]), "headers are not an object"),
        (with_member(http_api("1"), "headers", {"accept": "☃"}), "characters that HTTP does not allow"),
        (with_member(rest_api("1"), "httpMethod", None), "no HTTP method"),
        (event_bridge("text"), "the detail of the event is not an object"),
        ({"Records": "x"}, "not a list of objects"),
        ({"Records": [{"eventSource": "aws:s3"}]}, "records of aws:s3 are not served"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, "no messageId"),
    ],
)
def test_what_is_no_request_is_refused_and_named(event: object, told: str) -> None:
    with pytest.raises(BadEvent, match=told):
        parse(event)


def test_a_deep_body_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadEvent, match="nested too deeply"):
        parse({"body": deep})


def test_a_body_of_every_byte_survives() -> None:
    every = bytes(range(256))
    assert prediction({"body": base64.b64encode(every).decode(), "isBase64Encoded": True}).body == every
