"""A spec file becomes domain objects, or says in one line what is wrong and where."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import spec
from tidegate.domain.alarm import ComparisonOperator, MissingData
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import RoutingStrategy
from tidegate.domain.rollout import BlueGreen, CapacitySize, RollingUpdate, SizeType, TrafficRouting
from tidegate.spec.value_types import NAME

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINIMAL = {"endpoint": "fraud", "model": {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"}}
FULL = """\
endpoint: fraud
model:
  image: tidegate/xgboost
  data: ./model.tar.gz
  environment: {THREADS: 1, MODE: strict}
instances: 4
instance_type: ml.c5.xlarge
routing: least_outstanding_requests
rollout:
  strategy: linear
  step: 25%
  wait: 1h
  final_bake: 10m
  timeout: 8h
  alarms: [errors, slow]
alarms:
  errors:
    {metric: Invocation5XXErrors, statistic: average, above: 2%, periods: 3, datapoints: 2, missing: notBreaching}
  slow: {metric: ModelLatency, statistic: p99, at_least: 100ms, period: 1m}
  busy: {metric: CPUUtilization, statistic: Maximum, above: 90%, scope: endpoint}
tags: {team: payroll}
"""


def changed(**more: Any) -> dict[str, Any]:
    return {**MINIMAL, **more}


def rollout(**keys: Any) -> BlueGreen | RollingUpdate:
    deployment = spec.parse(changed(rollout=keys), NOW).deployment
    found = deployment.blue_green or deployment.rolling
    assert found is not None
    return found


def test_without_an_image_the_data_says_which_runtime_it_is_for() -> None:
    for model in ({"data": "file:///m/model.ubj"}, {"environment": {"MODEL_HANDLER": "scoring:Scorer"}}):
        unnamed, named = (
            spec.parse({"endpoint": "fraud", "model": each}, NOW)
            for each in (model, {"image": "tidegate/auto", **model})
        )
        assert unnamed == named
        assert unnamed.models[0].containers[0].image == "tidegate/auto"


def test_a_full_file() -> None:
    loaded = spec.load(FULL, "fraud.yaml")
    wish = loaded.wish(NOW, spec.resolve(loaded.data, "/srv/fraud"))
    assert wish.endpoint == "fraud"
    assert wish.tags == {"team": "payroll"}
    container = wish.models[0].containers[0]
    assert container.image == "tidegate/xgboost"
    assert container.data_url == "file:///srv/fraud/model.tar.gz"
    assert container.environment == {"THREADS": "1", "MODE": "strict"}
    variant = wish.config.variants[0]
    assert (variant.name, variant.model_name) == ("AllTraffic", wish.models[0].name)
    assert (variant.instance_count, variant.instance_type) == (4, "ml.c5.xlarge")
    assert variant.routing is RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
    size = CapacitySize(SizeType.CAPACITY_PERCENT, 25)
    assert wish.deployment.blue_green == BlueGreen(TrafficRouting.LINEAR, 3600, size, 600)
    assert wish.deployment.execution_timeout == 8 * 3600
    assert wish.deployment.alarms == (f"{wish.config.name}-errors", f"{wish.config.name}-slow")


def test_alarms_watch_the_new_version_unless_told_otherwise() -> None:
    loaded = spec.load(FULL, "fraud.yaml")
    wish = loaded.wish(NOW, spec.resolve(loaded.data, "/srv"))
    errors, slow, busy = wish.alarms
    both = {"EndpointName": "fraud", "VariantName": "AllTraffic"}
    assert errors.dimensions == slow.dimensions == {**both, "EndpointConfigName": wish.config.name}
    assert (errors.statistic, errors.threshold, errors.comparison) == ("Average", 0.02, ComparisonOperator.GREATER)
    assert (errors.evaluation_periods, errors.datapoints_to_alarm, errors.period) == (3, 2, 10)
    assert errors.missing is MissingData.NOT_BREACHING
    assert (slow.statistic, slow.threshold, slow.comparison) == (
        "p99",
        100_000.0,
        ComparisonOperator.GREATER_OR_EQUAL,
    )
    assert (slow.period, slow.datapoints_to_alarm, slow.missing) == (60, 3, MissingData.MISSING)
    assert (busy.name, busy.dimensions, busy.threshold) == ("fraud-busy", both, 90.0)
    assert busy.namespace == "/aws/sagemaker/Endpoints"


def test_every_alarm_guards_the_rollout_unless_some_are_named() -> None:
    alarms = {"a": {"metric": "Invocations", "statistic": "Sum", "below": 1}}
    wish = spec.parse(changed(alarms=alarms, rollout={"strategy": "canary", "size": 1}), NOW)
    assert wish.deployment.alarms == (f"{wish.config.name}-a",)
    assert spec.parse(changed(alarms=alarms, rollout={"alarms": []}), NOW).deployment.alarms == ()


def test_a_metric_of_ones_own_has_its_own_dimensions() -> None:
    own = {
        "metric": "Drift",
        "namespace": "Payroll",
        "statistic": "Maximum",
        "above": 0.2,
        "dimensions": {"A": "b"},
    }
    alarm = spec.parse(changed(alarms={"drift": own}), NOW).alarms[0]
    assert (alarm.namespace, alarm.metric, alarm.dimensions) == ("Payroll", "Drift", {"A": "b"})
    assert alarm.name == "fraud-drift"


def test_strategies() -> None:
    ten, half = CapacitySize(SizeType.CAPACITY_PERCENT, 10), CapacitySize(SizeType.CAPACITY_PERCENT, 50)
    assert rollout(strategy="all_at_once", final_bake="1m") == BlueGreen(termination_wait=60)
    assert rollout(strategy="canary", size="10%", wait="30m") == BlueGreen(TrafficRouting.CANARY, 1800, ten)
    one = CapacitySize(SizeType.INSTANCE_COUNT, 1)
    assert rollout(strategy="canary", size=1) == BlueGreen(TrafficRouting.CANARY, 0, one)
    assert rollout(strategy="rolling", batch="50%", rollback_batch=1) == RollingUpdate(half, 0, one)
    assert spec.parse(MINIMAL, NOW).deployment.blue_green == BlueGreen()


def test_waits_may_be_longer_than_on_sagemaker() -> None:
    found = rollout(strategy="linear", step="1%", wait="1d12h30m")
    assert isinstance(found, BlueGreen)
    assert found.wait == 36 * 3600 + 1800


def test_several_variants_share_by_weight() -> None:
    model = MINIMAL["model"]
    variants = [
        {"name": "a", "model": model, "weight": 3, "startup_timeout": "2m"},
        {"name": "b", "model": {**MINIMAL["model"], "environment": {"X": "1"}}, "instances": 2},  # type: ignore[dict-item]
    ]
    wish = spec.parse({"endpoint": "e", "variants": variants}, NOW)
    a, b = wish.config.variants
    assert (a.weight, a.startup_timeout, b.weight, b.instance_count) == (3.0, 120, 1.0, 2)
    assert {model.name for model in wish.models} == {a.model_name, b.model_name}
    assert a.model_name.startswith("e-a-") and b.model_name.startswith("e-b-")


def test_the_same_content_has_the_same_names_and_other_content_has_others() -> None:
    first, again = spec.parse(MINIMAL, NOW), spec.parse(MINIMAL, datetime(2027, 1, 1, tzinfo=UTC))
    assert (first.config.name, first.models[0].name) == (again.config.name, again.models[0].name)
    model = {**MINIMAL["model"], "fingerprint": "b"}  # type: ignore[dict-item]
    other = spec.parse(changed(model=model), NOW)
    assert other.models[0].name != first.models[0].name and other.config.name != first.config.name
    more = spec.parse(changed(instances=3), NOW)
    assert more.models[0].name == first.models[0].name and more.config.name != first.config.name
    waits = spec.parse(changed(rollout={"final_bake": "5m"}), NOW)
    assert waits.config.name == first.config.name


def test_names_stay_within_63_characters() -> None:
    wish = spec.parse(changed(endpoint="a" * 54 + "-" + "b" * 8), NOW)
    assert all(re.fullmatch(NAME, name) for name in (wish.config.name, wish.models[0].name))


BAD: list[tuple[dict[str, Any], str]] = [
    (changed(rollout={"cannary": 1}), "rollout: unknown key 'cannary', expected one of alarms, batch"),
    (changed(rollout={"stpe": 1}), "rollout: unknown key 'stpe', did you mean 'step'?"),
    (
        changed(rollout={"strategy": "cannary"}),
        "rollout.strategy: unknown strategy 'cannary', did you mean 'canary'?",
    ),
    (changed(rollout={"strategy": "canary"}), "rollout: strategy canary needs 'size', such as size: 10%"),
    (changed(rollout={"strategy": "canary", "size": "60%"}), "rollout.size: 60%: must be from 1% to 50%"),
    (changed(rollout={"strategy": "canary", "size": 0}), "rollout.size: '0': expected a share such as 10%"),
    (changed(rollout={"strategy": "linear", "step": "51%"}), "rollout.step: 51%: must be from 1% to 50%"),
    (changed(rollout={"strategy": "rolling", "batch": "4%"}), "rollout.batch: 4%: must be from 5% to 50%"),
    (
        changed(rollout={"strategy": "rolling", "batch": "5%", "rollback_batch": "4%"}),
        "rollout.rollback_batch: 4%: must be from 5% to 100%",
    ),
    (changed(endpoint=12), "endpoint: expected text, got 12: put it in quotes"),
    (changed(endpoint=date(2026, 1, 1)), "endpoint: expected text, got the date 2026-01-01: put it in quotes"),
    (changed(rollout={"strategy": "rolling", "batch": "x"}), "rollout.batch: 'x': expected a share"),
    (
        changed(rollout={"strategy": "linear", "step": "10%", "batch": 1}),
        "rollout.batch: applies to rolling, but the strategy is linear",
    ),
    (changed(rollout={"wait": "1m"}), "rollout.wait: applies to canary and linear and rolling"),
    (changed(rollout={"final_bake": 60}), "rollout.final_bake: '60': add a unit, such as 60s"),
    (changed(rollout={"final_bake": "1.5s"}), "rollout.final_bake: '1.5s': must be whole seconds"),
    (changed(rollout={"final_bake": "soon"}), "rollout.final_bake: 'soon': expected a time such as 90s"),
    (
        changed(rollout={"final_bake": "1h", "timeout": "30m"}),
        "rollout.timeout: '30m': must be longer than the waits",
    ),
    (changed(rollout={"alarms": ["a"]}), "rollout.alarms[0]: unknown alarm 'a', the file declares no alarms"),
    (changed(rollout=["canary"]), "rollout: expected keys and values, got a list"),
    (changed(instances=0), "instances: 0: must be at least 1"),
    (changed(instances=True), "instances: expected a whole number, got True"),
    (changed(instances="two"), "instances: expected a whole number, got 'two'"),
    (changed(endpoint="-x"), "endpoint: '-x': expected 1 to 63 letters"),
    (changed(endpoint="x" * 64), "endpoint: "),
    (changed(tags={"a": 1}), "tags.a: expected text, got 1"),
    (changed(routing="randm"), "routing: unknown routing 'randm', did you mean 'random'?"),
    (changed(variants=[]), "variants: give either model or variants, not both"),
    (changed(startup_timeout="0"), "startup_timeout: '0': must be at least 1s"),
    ({"endpoint": "x"}, "'model' is missing (or 'pipeline', 'containers' or 'variants')"),
    ({"endpoint": "x", "variants": []}, "variants: 0 variants, expected 1 to 10"),
    ({"endpoint": "x", "model": {}}, "model: 'data' is missing, which the runtime is chosen by"),
    ({"endpoint": "x", "model": {"image": ""}}, "model.image: must not be empty"),
    ({"endpoint": "x", "model": {"image": "i", "data": "./x"}}, "model.data: './x': expected file:///PATH"),
    (
        {"endpoint": "x", "model": {"image": "i", "environment": {"A=B": "1"}}},
        "model.environment.A=B: not a valid name of an environment variable",
    ),
    (
        {"endpoint": "x", "model": {"image": "i", "environment": {"A": True}}},
        "model.environment.A: expected text or",
    ),
    (changed(tags={5: "a"}), "tags: key 5 must be text"),
]


@pytest.mark.parametrize(("data", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_bad_specs(data: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        spec.parse(data, NOW)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


BAD_ALARMS: list[tuple[dict[str, Any], str]] = [
    ({"metric": "Invocation5XErrors"}, ".metric: unknown metric 'Invocation5XErrors', did you mean 'Invocation"),
    ({"statistic": "p101"}, ".statistic: unknown statistic 'p101'"),
    ({"above": None}, ": no limit: give one of above, at_least, below, at_most"),
    ({"below": 1}, ": two limits: give one of"),
    ({"above": "many"}, ".above: 'many': expected a number for Invocations"),
    ({"above": "x%"}, ".above: 'x%': expected a number before %"),
    ({"above": float("nan")}, ".above: nan: must be a finite number"),
    ({"metric": "ModelLatency", "above": 100}, ".above: 100: add a unit, such as 100ms"),
    ({"period": "7s"}, ".period: '7s': expected 1s, 5s, 10s, 20s, 30s or whole minutes"),
    ({"periods": 0}, ".periods: 0: must be at least 1"),
    ({"datapoints": 4}, ".datapoints: 4: must be from 1 to periods (3)"),
    ({"missing": "not_breaching"}, ".missing: unknown missing 'not_breaching', did you mean 'notBreaching'?"),
    ({"scope": "old"}, ".scope: unknown scope 'old'"),
    ({"variant": "x"}, ".variant: unknown variant 'x', expected one of AllTraffic"),
    ({"dimensions": {"a": "b"}}, ".dimensions.a: 'a' needs namespace"),
]


@pytest.mark.parametrize(("keys", "said"), BAD_ALARMS, ids=[said[:40] for _, said in BAD_ALARMS])
def test_bad_alarms(keys: dict[str, Any], said: str) -> None:
    alarm = {"metric": "Invocations", "statistic": "Sum", "above": 1, **keys}
    with pytest.raises(Invalid) as caught:
        spec.parse(changed(alarms={"errors": alarm}), NOW)
    assert str(caught.value).startswith("alarms.errors" + said)


def test_an_alarm_of_one_of_several_variants_must_say_which() -> None:
    variants = [{"name": name, "model": MINIMAL["model"]} for name in ("a", "b")]
    alarms = {"x": {"metric": "Invocations", "statistic": "Sum", "above": 1}}
    with pytest.raises(Invalid, match=r"alarms\.x: 'variant' is missing: which of a, b"):
        spec.parse({"endpoint": "e", "variants": variants, "alarms": alarms}, NOW)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["endpoint", "model", "instances", "variants", "rollout", "alarms", "tags", "routing"])


@given(st.dictionaries(keys, plain), st.booleans())
def test_whatever_comes_in_only_invalid_comes_out(data: dict[str, Any], complete: bool) -> None:
    try:
        wish = spec.parse({**MINIMAL, **data} if complete else data, NOW)
    except Invalid as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert wish.models


def test_the_published_schema_is_fresh() -> None:
    """``tidegate spec schema > docs/spec.schema.json`` makes it fresh."""
    published = Path(__file__).parents[3] / "docs" / "spec.schema.json"
    assert json.loads(published.read_text()) == json.loads(json.dumps(spec.schema()))
