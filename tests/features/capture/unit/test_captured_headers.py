"""Inference ids and attributes of captured requests: read as what clients meant, before anybody is sought in them."""

import json

import pytest

from tidegate.domain.capture import Capture, Redaction
from tidegate.features.capture.redaction import Redactor
from tidegate.features.capture.worker.lines import CapturedExchange, LineMaker
from tidegate.serving.contract.invocation import Answer

PLAN = Capture("s3://b/captures")


def captured(given: bytes, redactor: Redactor | None) -> str:
    headers = {b"content-type": b"text/csv", b"x-amzn-sagemaker-inference-id": given}
    line = LineMaker(PLAN, redactor).make(CapturedExchange(0, headers, b"1", Answer(b"1", "text/csv")))
    assert line is not None
    return str(json.loads(line)["eventMetadata"]["inferenceId"])


@pytest.mark.parametrize(
    ("given", "left"),
    [("josé@müller.de", "[email]"), ("José García", "[name]"), ("anna@firma.de", "[email]")],
)
def test_identities_beyond_ascii_are_found_in_headers(given: str, left: str) -> None:
    """Headers are bytes: read as Latin-1, the é of UTF-8 was two characters that no detector takes for a letter."""
    assert captured(given.encode(), Redactor(Redaction(), None)) == left


@pytest.mark.parametrize("given", ["order-7", "größe-7", "日本-7"])
def test_other_ids_are_kept_so_that_labels_find_them(given: str) -> None:
    assert captured(given.encode(), None) == given
    assert captured(given.encode(), Redactor(Redaction(), None)) == given


def test_what_is_no_utf_8_is_kept_byte_by_byte() -> None:
    assert captured(b"gr\xf6\xdfe-7", None) == "größe-7"
