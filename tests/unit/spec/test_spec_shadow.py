"""A shadow in a spec file: a variant of its own whose weight over the other's is the share."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"}
OTHER = {"image": "tidegate/xgboost", "data": "file:///m/other.tar.gz"}
PLAIN: dict[str, Any] = {"endpoint": "fraud", "model": MODEL}


def test_the_share_is_the_weight_over_that_of_the_variant() -> None:
    wish = spec.parse({**PLAIN, "shadow": {"model": OTHER, "share": "20%", "instances": 2}}, NOW)
    [shadow] = wish.config.shadows
    assert (shadow.name, shadow.weight, shadow.instance_count) == ("shadow", 0.2, 2)
    assert [variant.name for variant in wish.config.variants] == ["AllTraffic"]
    assert shadow.model_name in {model.name for model in wish.models} and len(wish.models) == 2
    weighed = {"endpoint": "fraud", "variants": [{"name": "a", "model": MODEL, "weight": 4.0}]}
    [shadow] = spec.parse({**weighed, "shadow": {"model": OTHER, "share": "12.5%"}}, NOW).config.shadows
    assert shadow.weight == 0.5


def test_without_a_shadow_names_are_as_they_were_and_a_shadow_is_a_new_config() -> None:
    plain = spec.parse(PLAIN, NOW)
    shaded = spec.parse({**PLAIN, "shadow": {"model": OTHER}}, NOW)
    assert plain.config.shadows == ()
    assert plain.config.name != shaded.config.name
    assert plain.models[0].name == shaded.models[0].name
    assert shaded.config.shadows[0].weight == 1.0


def test_an_alarm_may_watch_the_shadow() -> None:
    alarm = {"metric": "InvocationModelErrors", "statistic": "average", "above": "5%", "variant": "shadow"}
    wish = spec.parse({**PLAIN, "shadow": {"model": OTHER}, "alarms": {"worse": alarm}}, NOW)
    assert wish.alarms[0].dimensions["VariantName"] == "shadow"


def test_the_model_data_of_a_shadow_is_found_beside_the_file() -> None:
    found = spec.resolve({**PLAIN, "shadow": {"model": {**OTHER, "data": "other.tar.gz"}}}, "/here")
    assert isinstance(found, dict) and found["shadow"]["model"]["data"] == "file:///here/other.tar.gz"


TWO = {"endpoint": "fraud", "variants": [{"name": "a", "model": MODEL}, {"name": "b", "model": MODEL}]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**PLAIN, "shadow": {"model": OTHER, "share": "120%"}}, "shadow.share: 120%: must be from 0% to 100%"),
        ({**PLAIN, "shadow": {"model": OTHER, "share": "20"}}, "shadow.share: '20': expected a share such as 20%"),
        ({**PLAIN, "shadow": {"model": OTHER, "name": "AllTraffic"}}, "shadow.name: 'AllTraffic' is the name of"),
        ({**PLAIN, "shadow": {"model": OTHER, "name": "a_b"}}, "shadow.name: 'a_b': expected 1 to 63"),
        ({**PLAIN, "shadow": {"model": OTHER, "instances": 0}}, "shadow.instances: 0: must be at least 1"),
        ({**PLAIN, "shadow": {"share": "20%"}}, "shadow: 'model' is missing"),
        ({**TWO, "shadow": {"model": OTHER}}, "shadow: a shadow needs exactly one variant, and there are several"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=f"^{said}".replace("(", r"\(")):
        spec.parse(given, NOW)
