"""The ``drift`` section of a spec: a drift schedule that comes and goes with it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.drift import DriftSchedule
from tidegate.domain.errors import Invalid
from tidegate.spec.render import render

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "endpoint": "fraud",
    "model": {"data": "s3://b/m.tar.gz"},
    "capture": {"to": "s3://captures/fraud"},
}


def built(drift: dict[str, Any], **more: Any) -> DriftSchedule:
    wish = spec.parse({**PLAIN, "drift": drift, **more}, NOW)
    assert wish.drift is not None
    assert render(wish)["drift"] == drift, "it is rendered as it was given"
    return wish.drift


def test_a_baseline_is_enough() -> None:
    usual = DriftSchedule("fraud", "s3://baselines/fraud.json", NOW)
    assert built({"baseline": "s3://baselines/fraud.json"}) == replace(usual, by_spec=True)


def test_every_key_has_an_effect() -> None:
    given = {
        "baseline": "file:///b/fraud.json",
        "every": "1h",
        "window": "1d",
        "by": ["country"],
        "columns": ["amount", "country"],
        "score": "predictions[0].score",
        "least": 0.2,
        "false_alarms": 0.01,
        "zone": "Europe/Berlin",
    }
    assert built(given) == DriftSchedule(
        *("fraud", "file:///b/fraud.json", NOW, 3600, 86_400, ("country",), ("amount", "country")),
        *("predictions[0].score", 0.2, 0.01, "Europe/Berlin", True),
    )


def test_a_path_is_that_beside_the_spec_file() -> None:
    found = spec.resolve({**PLAIN, "drift": {"baseline": "fraud.json"}}, "/specs")
    assert isinstance(found, dict) and found["drift"] == {"baseline": "file:///specs/fraud.json"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drift": {"baseline": "fraud.json"}}, "drift: .*baseline"),
        ({"drift": {"baseline": "s3://b/f.json", "every": "1s"}}, "drift: every of 1 s"),
        ({"drift": {"baseline": "s3://b/f.json", "zone": "Mars"}}, "drift: .*Mars"),
        ({"drift": {"baseline": "s3://b/f.json", "least": 2.0}}, "drift: the smallest distance"),
        ({"drift": {"baseline": "s3://b/f.json"}, "capture": None}, "drift: compares what is captured"),
        (
            {"drift": {"baseline": "s3://b/f.json"}, "capture": {"to": "s3://c/f", "sides": ["output"]}},
            "capture.sides: drift compares requests",
        ),
    ],
)
def test_what_cannot_work_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        spec.parse({**PLAIN, **change}, NOW)
