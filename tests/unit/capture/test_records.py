"""The line of one request, as SageMaker writes it."""

import base64
import json

import pytest

from tidegate.capture.paths import file_name, is_captured, layout
from tidegate.capture.records import BASE64, CSV, JSON, Body, Encodings, Event, encode_event

AT = 1_644_859_549


def test_a_line_has_the_members_of_sagemaker() -> None:
    event = Event(
        id="8a3c2a3e-6f0e-4f0e-9f0e-3f0e8a3c2a3e",
        at=AT,
        inference_id="order-7",
        attributes="trace=1",
        input=Body(b"1,2", "text/csv", CSV),
        output=Body(b'{"p": 0.5}', "application/json; charset=utf-8", JSON),
    )
    assert json.loads(encode_event(event)) == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": "1,2",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "application/json; charset=utf-8",
                "mode": "OUTPUT",
                "data": '{"p": 0.5}',
                "encoding": "JSON",
            },
        },
        "eventMetadata": {
            "eventId": "8a3c2a3e-6f0e-4f0e-9f0e-3f0e8a3c2a3e",
            "customAttributes": ["trace=1"],
            "inferenceId": "order-7",
            "inferenceTime": "2022-02-14T17:25:49Z",
        },
        "eventVersion": "0",
    }


def test_what_is_not_there_is_left_out() -> None:
    line = json.loads(encode_event(Event("e", AT, "", "", None, Body(b"0.5", "text/csv", CSV))))
    assert list(line["captureData"]) == ["endpointOutput"]
    assert line["eventMetadata"] == {"eventId": "e", "inferenceTime": "2022-02-14T17:25:49Z"}


@pytest.mark.parametrize("encoding", [BASE64, CSV])
def test_bytes_that_are_no_text_are_written_in_base64(encoding: str) -> None:
    body = Body(b"\xff\x00\n", "text/csv", encoding)
    side = json.loads(encode_event(Event("e", AT, "", "", body, None)))["captureData"]["endpointInput"]
    assert side["encoding"] == "BASE64" and base64.b64decode(side["data"]) == b"\xff\x00\n"


def test_a_line_has_no_line_break_inside() -> None:
    assert b"\n" not in encode_event(Event("e", AT, "a\nb", "", Body(b"1\r\n2\n", "text/csv", CSV), None))


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/csv", CSV),
        ("Text/CSV; charset=utf-8", CSV),
        ("application/json", JSON),
        ("application/x-npy", BASE64),
        ("", BASE64),
    ],
)
def test_the_media_type_chooses_the_encoding(content_type: str, encoding: str) -> None:
    assert Encodings(["text/csv"], ["application/json"]).choose(content_type) == encoding


def test_files_lie_in_folders_by_the_hour() -> None:
    id = "8a3c2a3e-6f0e-4f0e-9f0e-3f0e8a3c2a3e"
    name = file_name(AT + 0.0625, id)
    assert layout(name) == f"2022/02/14/17/25-49-062-{id}.jsonl"
    assert is_captured(layout(name) or "")
    assert layout("current") is None and not is_captured("2022/02/14/17/notes.jsonl")
