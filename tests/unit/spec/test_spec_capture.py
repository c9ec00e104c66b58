"""The ``capture`` section of a spec."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod
from tidegate.domain.errors import Invalid
from tidegate.spec.render import render

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TO = {"to": "s3://captures/fraud"}


def built(capture: dict[str, Any], **more: Any) -> Capture:
    wish = spec.parse({"endpoint": "fraud", "model": {"data": "s3://b/m.tar.gz"}, "capture": capture, **more}, NOW)
    assert wish.config.capture is not None
    assert render(wish)["capture"] == capture, "it is rendered as it was given"
    return wish.config.capture


def test_an_address_is_enough() -> None:
    assert built(TO) == Capture("s3://captures/fraud")


def test_every_key_has_an_effect() -> None:
    given = {
        "to": "file:///srv/captures",
        "sample": "20%",
        "sides": ["input"],
        "csv": ["text/plain"],
        "json": ["application/jsonlines"],
        "keep": "2GiB",
        "redact": {
            "fields": {"ssn": "hash", "$.employee.note": "drop"},
            "detect": ["ssn", "email"],
            "columns": ["ssn", "amount"],
            "key": "payroll",
        },
    }
    assert built(given) == Capture(
        "file:///srv/captures",
        percent=20,
        outputs=False,
        csv=("text/plain",),
        json=("application/jsonlines",),
        keep=2 * 2**30,
        redaction=Redaction(
            {"ssn": RedactionMethod.HASH, "$.employee.note": RedactionMethod.DROP},
            (Detector.SSN, Detector.EMAIL),
            ("ssn", "amount"),
            "payroll",
        ),
    )


def test_redaction_looks_for_everything_unless_it_says_what() -> None:
    redaction = built({**TO, "redact": {"key": "payroll"}}).redaction
    assert redaction is not None and redaction.detect == tuple(Detector)


def test_another_capture_is_another_config() -> None:
    base = {"endpoint": "fraud", "model": {"data": "s3://b/m.tar.gz"}}
    names = {
        spec.parse({**base, **more}, NOW).config.name
        for more in ({}, {"capture": TO}, {"capture": {**TO, "sample": "1%"}})
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    ("capture", "message"),
    [
        ({"to": "ftp://x"}, r"capture: to 'ftp://x' is no address"),
        ({**TO, "sample": "0.5%"}, r"capture.sample: 0.5%: must be whole percent"),
        ({**TO, "sample": "101%"}, r"from 0% to 100%"),
        ({**TO, "sides": ["inputs"]}, r"unknown sides 'inputs', did you mean 'input'"),
        ({**TO, "sides": []}, r"neither input nor output"),
        ({**TO, "keep": "2"}, r"capture.keep"),
        ({"to": "file:///srv/c", "kms_key": "alias/k"}, r"leave it out for a folder"),
        ({**TO, "redact": {"fields": {"ssn": "hide"}}}, r"capture.redact.fields.ssn: unknown ssn 'hide'"),
        ({**TO, "redact": {"fields": {"ssn": "hash"}}}, r"redaction by hash needs a key"),
        ({**TO, "redact": {"detect": ["sns"]}}, r"unknown detect 'sns', did you mean 'ssn'"),
        ({**TO, "redact": {"key": "../keys"}}, r"'../keys' is no name of a key"),
    ],
)
def test_what_cannot_work_is_refused(capture: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        built(capture)


@pytest.mark.parametrize(
    "more",
    [{"serverless": {"memory": "1GiB", "max_concurrency": 2}}, {"async": {"output": "s3://answers/x"}}],
)
def test_it_goes_with_a_queue_and_without_instances(more: dict[str, Any]) -> None:
    assert built(TO, **more) == built(TO)
