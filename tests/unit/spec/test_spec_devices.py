"""The key ``devices`` of a spec."""

from datetime import UTC, datetime

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.spec.render import render

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_devices_are_asked_for_by_each_instance() -> None:
    model = {"image": "tidegate/script", "data": "file:///m"}
    desired = spec.parse({"endpoint": "e", "model": model, "devices": 2, "shadow": {"model": model}}, NOW)
    assert (desired.config.variants[0].devices, desired.config.shadows[0].devices) == (2, 0)
    assert render(desired)["devices"] == 2
    none = spec.parse({"endpoint": "e", "model": model, "shadow": {"model": model}}, NOW)
    zero = {"endpoint": "e", "model": model, "devices": 0, "shadow": {"model": model, "devices": 0}}
    assert spec.parse(zero, NOW).config.name == none.config.name
    assert desired.config.name != none.config.name


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"devices": -1}, "devices: -1: must be 0 to 16"),
        ({"devices": 17}, "devices: 17: must be 0 to 16"),
        (
            {"devices": 1, "serverless": {"memory": "1GiB", "max_concurrency": 1}},
            "cannot be combined with serverless",
        ),
        (
            {"devices": 1, "model": {"image": "tidegate/onnx", "data": "file:///m/", "multi_model": {}}},
            "multi_model",
        ),
    ],
)
def test_devices_that_cannot_be_given_are_refused(more: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        spec.parse({"endpoint": "e", "model": {"image": "tidegate/script", "data": "file:///m"}, **more}, NOW)
