"""What a config compiles to, and what is refused."""

from dataclasses import replace

import pytest

from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import Serverless
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, Capabilities
from tidegate.domain.rollout import (
    BlueGreen,
    CapacitySize,
    DeploymentConfig,
    RollingUpdate,
    SizeType,
    TrafficRouting,
    Version,
)
from tidegate.rollout.plan import compile_plan

ANY = Capabilities()


def shares(config: DeploymentConfig, count: int = 4) -> list[int]:
    return [stage.share for stage in compile_plan(version("v1", count), version("v2", count), config, ANY).stages]


@pytest.mark.parametrize(
    ("config", "count", "expected"),
    [
        (DeploymentConfig(), 4, [10_000]),
        (all_at_once(60), 4, [10_000]),
        (canary(percent(5), 60), 2, [500, 10_000]),
        (canary(instances(1), 60), 3, [3_333, 10_000]),
        (canary(instances(2), 60), 4, [5_000, 10_000]),
        (linear(percent(50), 60), 4, [5_000, 10_000]),
        (linear(percent(33), 60), 4, [3_300, 6_600, 10_000]),
        (linear(percent(30), 60), 4, [3_000, 6_000, 9_000, 10_000]),
        (linear(percent(49), 60), 4, [4_900, 9_800, 10_000]),
        (linear(percent(14), 60), 7, [1_400, 2_800, 4_200, 5_600, 7_000, 8_400, 10_000]),
        (linear(percent(1), 60), 1, [*range(100, 10_001, 100)]),
        (linear(instances(1), 60), 3, [3_333, 6_666, 10_000]),
        (linear(instances(2), 60), 5, [4_000, 8_000, 10_000]),
        (rolling(percent(25), 60), 4, [2_500, 5_000, 7_500, 10_000]),
        (rolling(percent(33), 60), 3, [3_333, 6_666, 10_000]),
        (rolling(percent(5), 60), 2, [5_000, 10_000]),
        (rolling(instances(2), 60), 5, [4_000, 8_000, 10_000]),
        (rolling(percent(50), 60), 1, [10_000]),
    ],
)
def test_shares_of_a_plan(config: DeploymentConfig, count: int, expected: list[int]) -> None:
    assert shares(config, count) == expected


def test_the_wait_lies_between_steps_and_the_termination_wait_after_the_last() -> None:
    plan = compile_plan(version("v1"), version("v2"), linear(percent(50), 300, 600), ANY)
    assert [stage.bake for stage in plan.stages] == [300, 600]


def test_blue_green_keeps_both_sides_whole() -> None:
    plan = compile_plan(version("v1"), version("v2"), canary(percent(10), 300), ANY)
    assert {(stage.new_part, stage.old_part) for stage in plan.stages} == {(10_000, 10_000)}


def test_rolling_replaces_batch_by_batch() -> None:
    plan = compile_plan(version("v1", 6), version("v2", 3), rolling(instances(1), 60, instances(2)), ANY)
    new, old = version("v2", 3), version("v1", 6)
    counts = [(new.counts(s.new_part)["AllTraffic"], old.counts(s.old_part)["AllTraffic"]) for s in plan.stages]
    assert counts == [(1, 6), (2, 4), (3, 2)]
    assert [old.counts(part)["AllTraffic"] for part in plan.rollback_parts] == [2, 4, 6]


@pytest.mark.parametrize("total", range(1, 41))
def test_any_count_survives_as_a_part_of_its_total(total: int) -> None:
    """Basis points are whole numbers; thirds and sevenths must come back as the instances that they were."""
    for batch in range(1, total + 1):
        count = min(batch, total)
        part = 10_000 * count // total
        assert version("v", total).counts(part) == {"AllTraffic": count}


def test_a_first_version_is_brought_up_at_once_without_guardrails() -> None:
    plan = compile_plan(None, version("v1"), canary(percent(10), 300), ANY)
    assert [(s.share, s.bake) for s in plan.stages] == [(10_000, 0)] and plan.alarms == ()


def config(**policy: BlueGreen | RollingUpdate | int | None) -> DeploymentConfig:
    return DeploymentConfig(**policy)  # type: ignore[arg-type]


REFUSED = {
    "canary over half": (canary(percent(51), 60), 4, "CanarySize must be at most 50 %"),
    "canary of 2 in 3": (canary(instances(2), 60), 3, "2 of 3 instances is not"),
    "canary of 1 in 1": (canary(instances(1), 60), 1, "CanarySize"),
    "canary of nothing": (canary(percent(0), 60), 4, "CanarySize"),
    "canary without size": (config(blue_green=BlueGreen(TrafficRouting.CANARY, 60)), 4, "CANARY needs CanarySize"),
    "linear over half": (linear(percent(60), 60), 4, "LinearStepSize must be at most 50 %"),
    "linear of 3 in 4": (linear(instances(3), 60), 4, "LinearStepSize"),
    "rolling over half": (rolling(percent(51), 60), 4, "MaximumBatchSize must be 5 to 50 %"),
    "rolling under 5 %": (rolling(percent(4), 60), 100, "MaximumBatchSize"),
    "rolling 1 of 30": (rolling(instances(1), 60), 30, "1 of 30 instances is not"),
    "rolling back by nothing": (
        rolling(percent(50), 60, CapacitySize(SizeType.INSTANCE_COUNT, 0)),
        4,
        "RollbackMaximumBatchSize",
    ),
    "both policies": (config(blue_green=BlueGreen(), rolling=RollingUpdate(percent(50))), 4, "exclude each other"),
    "no time for its waits": (
        config(blue_green=BlueGreen(TrafficRouting.CANARY, 300, percent(10), 300), execution_timeout=600),
        4,
        "must exceed the waits of the update, which add up to 600 s",
    ),
}


@pytest.mark.parametrize(("config", "count", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(config: DeploymentConfig, count: int, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        compile_plan(version("v1", count), version("v2", count), config, ANY)
    with pytest.raises(Invalid, match=message):
        compile_plan(None, version("v2", count), config, ANY)


TWO = {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("old", "new", "config", "message"),
    [
        (version("v1"), version("v2", TWO), canary(percent(10), 60), "variant names must stay the same"),
        (version("v1"), version("v2", TWO), all_at_once(60), "variant names must stay the same"),
        (version("v1", TWO), version("v2", TWO), rolling(percent(50), 60), "works for one variant"),
        (version("v1"), version("v2", TWO, {"a": 0, "b": 0}), all_at_once(), "a weight above 0"),
        (version("v1"), version("v2", 0), all_at_once(), "an instance and a weight"),
    ],
)
def test_versions_that_do_not_fit_are_refused(
    old: Version, new: Version, config: DeploymentConfig, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        compile_plan(old, new, config, ANY)


def test_the_default_update_may_change_variants() -> None:
    assert compile_plan(version("v1"), version("v2", TWO), DeploymentConfig(), ANY).stages[0].share == 10_000


def test_shares_are_fitted_to_what_the_target_splits() -> None:
    whole_percents = Capabilities(smallest_share=100)
    plan = compile_plan(version("v1", 3), version("v2", 3), canary(instances(1), 60), whole_percents)
    assert [stage.share for stage in plan.stages] == [3_300, 10_000]
    with pytest.raises(Invalid, match=r"splits traffic in steps of 10 %; a step to 5 % is too fine"):
        compile_plan(version("v1"), version("v2"), canary(percent(5), 60), Capabilities(smallest_share=1_000))


@pytest.mark.parametrize(
    ("config", "count", "expected"),
    [
        (canary(percent(10), 60), 2, [5_000, 10_000]),
        (canary(percent(10), 60), 3, [3_333, 10_000]),
        (canary(percent(10), 60), 20, [1_000, 10_000]),
        (linear(percent(10), 60), 4, [2_500, 5_000, 7_500, 10_000]),
        (linear(percent(33), 60), 10, [3_000, 6_000, 9_000, 10_000]),
        (canary(instances(1), 60), 3, [3_333, 10_000]),
        (all_at_once(60), 1, [10_000]),
    ],
)
def test_on_sagemaker_a_share_is_that_of_whole_instances(
    config: DeploymentConfig, count: int, expected: list[int]
) -> None:
    plan = compile_plan(version("v1", count), version("v2", count), config, SAGEMAKER_CAPABILITIES)
    assert [stage.share for stage in plan.stages] == expected


@pytest.mark.parametrize("config", [canary(percent(10), 60), all_at_once(60, alarms=("slow",))])
@pytest.mark.parametrize("type_", ["ml.inf1.xlarge", None])
def test_on_sagemaker_a_guard_that_would_be_off_is_refused(config: DeploymentConfig, type_: str | None) -> None:
    new = version("v2", 4)
    changed = {"instance_type": type_} if type_ else {"serverless": Serverless(2**30, 5)}
    new = replace(new, variants=tuple(replace(one, **changed) for one in new.variants))
    with pytest.raises(Invalid, match="all at once without alarms: leave DeploymentConfig out"):
        compile_plan(version("v1", 4), new, config, SAGEMAKER_CAPABILITIES)
    assert compile_plan(version("v1", 4), new, config, ANY).stages
