"""The key ``follow`` of a spec, and addresses of registries as model data."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.domain.registry_addresses import FOLLOW
from tidegate.spec.render import render

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GROUP = "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/fraud"
MANY = {"data": "models:/fraud@champion", "follow": True}


def parse(model: dict[str, Any]) -> Any:
    return spec.parse({"endpoint": "fraud", "model": model}, NOW)


@pytest.mark.parametrize("address", ["models:/fraud@champion", GROUP])
def test_data_is_followed_by_default(address: str) -> None:
    found = parse({"data": address, "follow": True}).sections[FOLLOW]
    assert (found.address, found.every, found.restore) == (address, 30, False)


def test_a_resolved_spec_renders_as_it_can_be_deployed() -> None:
    model = {
        "image": "tidegate/xgboost",
        "data": "file:///m/",
        "fingerprint": "models:/fraud/3",
        "follow": {"address": "models:/fraud@champion", "every": "1m", "restore": True},
    }
    deployed = parse(model)
    assert render(deployed)["model"] == model
    assert deployed.sections[FOLLOW].version == "models:/fraud/3"


def test_a_version_of_a_model_package_is_known_as_one() -> None:
    arn = "arn:aws:sagemaker:us-east-1:000000000000:model-package/fraud/3"
    (model,) = parse({"data": "s3://models/fraud.tar.gz", "fingerprint": arn}).models
    assert model.containers[0].package == "fraud/000000003"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"model": {"data": "models:/fraud/3", "follow": True}},
            "follow: 'models:/fraud/3': expected an alias",
        ),
        ({"model": {"data": "s3://m/x", "follow": True}}, "model.follow: 's3://m/x': expected an alias"),
        ({"model": {"data": "models:/fraud"}}, "model.data: 'models:/fraud': expected file:///PATH"),
        ({"model": {"data": "models:/fraud@champion", "follow": {"every": "0"}}}, "must be at least 1s"),
        ({"pipeline": [{"name": "a", **MANY}, {"name": "b", **MANY}]}, "is a key of the model of an endpoint"),
        ({"variants": [{"name": "a", "model": MANY}]}, "is a key of the model of an endpoint"),
    ],
)
def test_what_cannot_be_followed_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid) as refused:
        spec.parse({"endpoint": "fraud", **given}, NOW)
    assert why in refused.value.message


def test_an_address_of_a_registry_is_no_path() -> None:
    given = {"endpoint": "fraud", "model": {"data": "models:/fraud@champion"}}
    assert spec.resolve(given, "/specs") == given
