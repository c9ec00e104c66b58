"""Several containers of an endpoint in a spec: pipelines, containers side by side, alarms on one of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidegate import spec
from tidegate.cli.artifacts import prepare
from tidegate.domain.errors import Invalid

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCALER = {"name": "scaler", "image": "tidegate/sklearn", "data": "file:///m/scaler.skops"}
TREES = {"name": "trees", "image": "tidegate/xgboost", "data": "file:///m/model.ubj", "environment": {"A": 1}}
LIMIT = {"statistic": "Average", "above": "1%"}


def several(key: str, *containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"endpoint": "salary", key: list(containers), **more}


@pytest.mark.parametrize(("key", "mode"), [("pipeline", "Serial"), ("containers", "Direct")])
def test_containers_keep_their_order_and_names(key: str, mode: str) -> None:
    [model] = spec.parse(several(key, SCALER, TREES), NOW).models
    assert (model.execution_mode, model.single) == (mode, False)
    assert model.container_names == ("scaler", "trees")
    assert [each.image for each in model.containers] == ["tidegate/sklearn", "tidegate/xgboost"]
    assert model.containers[1].environment == {"A": "1"}


def test_whatever_changes_an_answer_changes_the_name() -> None:
    wished = [
        several("pipeline", SCALER, TREES),
        several("pipeline", TREES, SCALER),
        several("containers", SCALER, TREES),
        several("pipeline", SCALER, {**TREES, "name": "other"}),
        several("pipeline", SCALER, {**TREES, "fingerprint": "2"}),
    ]
    names = [spec.parse(each, NOW).models[0].name for each in wished]
    assert len(set(names)) == len(names)
    assert spec.parse(wished[0], NOW).models[0].name == names[0]


def test_a_variant_may_be_a_pipeline_and_another_not() -> None:
    variants = [
        {"name": "a", "pipeline": [SCALER, TREES]},
        {"name": "b", "model": {"image": "tidegate/xgboost"}},
    ]
    models = spec.parse({"endpoint": "salary", "variants": variants}, NOW).models
    assert [model.container_names for model in models] == [("scaler", "trees"), ("primary",)]


BAD: list[tuple[dict[str, Any], str]] = [
    (several("pipeline", SCALER), "pipeline: 1 containers, expected 2 to 15"),
    (several("containers", *[SCALER] * 16), "containers: 16 containers, expected 2 to 15"),
    (several("pipeline", SCALER, SCALER), "pipeline[1].name: 'scaler' is given twice"),
    (several("pipeline", SCALER, {**TREES, "name": "a b"}), "pipeline[1].name: 'a b': expected 1 to 63"),
    (several("pipeline", SCALER, {"image": "x"}), "pipeline[1]: 'name' is missing"),
    (several("pipeline", SCALER, {**TREES, "image": ""}), "pipeline[1].image: must not be empty"),
    (several("pipeline", SCALER, {**TREES, "data": "x"}), "pipeline[1].data: 'x': expected file:///PATH"),
    (several("pipeline", SCALER, {**TREES, "imag": ""}), "pipeline[1]: unknown key 'imag', did you mean 'image'"),
    (several("pipeline", SCALER, TREES, model={"image": "x"}), "pipeline: give either model or pipeline"),
    (several("pipeline", SCALER, TREES, variants=[]), "variants: give either pipeline or variants"),
]


@pytest.mark.parametrize(("data", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_bad_containers(data: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        spec.parse(data, NOW)
    assert str(caught.value).startswith(said)


def test_an_alarm_may_watch_one_container() -> None:
    alarm = {**LIMIT, "metric": "Invocation5XXErrors", "dimensions": {"ContainerName": "trees"}}
    wish = spec.parse(several("pipeline", SCALER, TREES, alarms={"trees": alarm}), NOW)
    assert wish.alarms[0].dimensions == {
        "EndpointName": "salary",
        "VariantName": "AllTraffic",
        "EndpointConfigName": wish.config.name,
        "ContainerName": "trees",
    }


BAD_ALARMS: list[tuple[dict[str, Any], str]] = [
    (
        {"dimensions": {"ContainerName": "treees"}},
        ".dimensions.ContainerName: unknown ContainerName 'treees', did",
    ),
    ({"dimensions": {"Container": "trees"}}, ".dimensions.Container: 'Container' needs namespace"),
    ({"metric": "ModelLatency", "above": "1s", "dimensions": {"ContainerName": "trees"}}, ".dimensions: ModelLat"),
    (
        {"metric": "ContainerLatency", "above": "1s"},
        ": ContainerLatency is a metric of one container: give dimensions",
    ),
]


@pytest.mark.parametrize(("keys", "said"), BAD_ALARMS, ids=[said[:40] for _, said in BAD_ALARMS])
def test_bad_alarms_on_a_container(keys: dict[str, Any], said: str) -> None:
    alarm = {**LIMIT, "metric": "Invocations", **keys}
    with pytest.raises(Invalid) as caught:
        spec.parse(several("pipeline", SCALER, TREES, alarms={"a": alarm}), NOW)
    assert str(caught.value).startswith(f"alarms.a{said}")


def test_an_only_container_has_no_series_of_its_own() -> None:
    alarm = {**LIMIT, "metric": "Invocations", "dimensions": {"ContainerName": "primary"}}
    data = {"endpoint": "salary", "model": {"image": "x"}, "alarms": {"a": alarm}}
    with pytest.raises(Invalid, match=r"alarms\.a\.dimensions: the endpoint has only one container"):
        spec.parse(data, NOW)


def test_the_data_of_each_container_is_found_and_told_apart(tmp_path: Path) -> None:
    (tmp_path / "scaler.skops").write_text("one")
    (tmp_path / "model.ubj").write_text("two")
    text = """\
endpoint: salary
pipeline:
- {name: scaler, image: tidegate/sklearn, data: scaler.skops}
- {name: trees, image: tidegate/xgboost, data: ./model.ubj}
"""
    data: Any = prepare(spec.load(text, "s.yaml"), tmp_path, must_exist=True)
    assert [each["data"] for each in data["pipeline"]] == [
        (tmp_path / name).as_uri() for name in ("scaler.skops", "model.ubj")
    ]
    first, second = (each["fingerprint"] for each in data["pipeline"])
    assert first != second
    assert first.startswith("sha256-")
    with pytest.raises(Invalid, match=r"s\.yaml:4: model data .*model\.ubj"):
        (tmp_path / "model.ubj").unlink()
        prepare(spec.load(text, "s.yaml"), tmp_path, must_exist=True)


def test_the_method_of_a_model_is_a_variable_of_its_container() -> None:
    [model] = spec.parse(several("pipeline", {**SCALER, "method": "transform"}, TREES), NOW).models
    assert model.containers[0].environment == {"SKLEARN_METHOD": "transform"}
    with pytest.raises(Invalid, match=r"unknown method 'predict_probs'.*predict_proba"):
        spec.parse(several("pipeline", {**SCALER, "method": "predict_probs"}, TREES), NOW)
    twice = {**SCALER, "method": "transform", "environment": {"SKLEARN_METHOD": "predict"}}
    with pytest.raises(Invalid, match="duplicates method"):
        spec.parse(several("pipeline", twice, TREES), NOW)
