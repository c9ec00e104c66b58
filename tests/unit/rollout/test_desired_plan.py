"""The plan of a spec's rollout before it is deployed."""

from datetime import UTC, datetime

import pytest

from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.rollout.desired_plan import make_plan, make_versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def desire(instances: int, rollout: str) -> DesiredDeployment:
    text = f"endpoint: fraud\nmodel: {{image: tidegate/xgboost, data: s3://b/m.ubj}}\ninstances: {instances}\n"
    return spec.load(f"{text}rollout: {rollout}\n", "fraud.yaml").wish(NOW)


def test_the_serving_version_is_taken_for_one_of_the_same_size() -> None:
    wish = desire(3, "{strategy: canary, size: 10%, wait: 1m}")
    old, new = make_versions(wish)
    assert old.config_name != new.config_name == wish.config.name
    assert old.variants == new.variants and old.variants[0].instance_count == 3
    assert [stage.share for stage in make_plan(wish).stages] == [1_000, 10_000]


def test_a_rollout_that_is_impossible_is_refused() -> None:
    with pytest.raises(Invalid, match="2 of 1 instances is not"):
        make_plan(desire(1, "{strategy: rolling, batch: 2, wait: 1m}"))
