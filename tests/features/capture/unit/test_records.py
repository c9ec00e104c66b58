"""The line of one request, as SageMaker writes it."""

import base64
import json
from typing import Any

import pytest

from tidegate.features.capture.records import (
    BASE64,
    CSV,
    JSON,
    Encodings,
    Kind,
    encode_line,
    format_about,
    make_frame,
)
from tidegate.rows.capture_paths import file_name, is_captured, layout

AT = 1_644_859_549
ID = "8a3c2a3e-6f0e-4f0e-9f0e-3f0e8a3c2a3e"
TABLE, DOCUMENT = ("text/csv", CSV), ("application/json; charset=utf-8", JSON)


def line(
    sent: Kind = TABLE, answered: Kind = DOCUMENT, data: bytes = b"1,2", about: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """``about``: inference id and attributes."""
    named = format_about(AT, *about)
    made = encode_line(make_frame(sent, answered), data, b'{"p": 0.5}', ID.encode(), named)
    assert made.endswith(b"}\n") and made.count(b"\n") == 1
    found: dict[str, Any] = json.loads(made)
    return found


def test_a_line_has_the_members_of_sagemaker() -> None:
    assert line(about=("order-7", "trace=1")) == {
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
            "eventId": ID,
            "customAttributes": ["trace=1"],
            "inferenceId": "order-7",
            "inferenceTime": "2022-02-14T17:25:49Z",
        },
        "eventVersion": "0",
    }


@pytest.mark.parametrize(
    ("sent", "answered", "sides"),
    [
        (TABLE, None, {"endpointInput": "1,2"}),
        (None, DOCUMENT, {"endpointOutput": '{"p": 0.5}'}),
        (None, None, {}),
    ],
)
def test_a_side_that_is_not_captured_is_left_out(sent: Kind, answered: Kind, sides: dict[str, str]) -> None:
    found = line(sent, answered)
    assert {name: side["data"] for name, side in found["captureData"].items()} == sides
    assert found["eventMetadata"] == {"eventId": ID, "inferenceTime": "2022-02-14T17:25:49Z"}


@pytest.mark.parametrize("about", [("", ""), ('a"\n', ""), ("", "ü\\")])
def test_what_clients_send_breaks_no_line(about: tuple[str, str]) -> None:
    found = line(('te"xt\n', CSV), data='"\r\n\\ü\u2028'.encode(), about=about)
    assert found["captureData"]["endpointInput"]["data"] == '"\r\n\\ü\u2028'
    assert found["captureData"]["endpointInput"]["observedContentType"] == 'te"xt\n'
    assert found["eventMetadata"].get("inferenceId", "") == about[0]


def test_other_media_types_are_written_in_base64() -> None:
    side = line(("application/x-npy", BASE64), data=b"\xff\x00\n")["captureData"]["endpointInput"]
    assert side["encoding"] == "BASE64" and base64.b64decode(side["data"]) == b"\xff\x00\n"
    with pytest.raises(UnicodeDecodeError):
        line(data=b"\xff")


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
    name = file_name(AT + 0.0625, ID)
    assert layout(name) == f"2022/02/14/17/25-49-062-{ID}.jsonl"
    assert is_captured(layout(name) or "")
    assert layout("current") is None and not is_captured("2022/02/14/17/notes.jsonl")
