"""A spec of many models: what it becomes, and what is said of slips."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidegate import spec
from tidegate.cli.artifacts import prepare
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DATA = "file:///srv/clients/"


def parsed(multi_model: object, **more: object) -> Any:
    model = {"image": "tidegate/xgboost", "data": DATA, "multi_model": multi_model, **more}
    return spec.parse({"endpoint": "clients", "model": model}, NOW)


def container(multi_model: object, **more: object) -> ContainerDefinition:
    (model,) = parsed(multi_model, **more).models
    assert isinstance(model, Model)
    (found,) = model.containers
    return found


def test_no_settings_are_the_defaults() -> None:
    found = container({})
    assert (found.mode, found.cache, found.environment, found.data_url) == ("MultiModel", True, {}, DATA)


def test_every_setting_is_a_variable_of_the_container() -> None:
    given = {
        "memory": "4GiB",
        "pin": ["acme.tar.gz", "deep/er.tar.gz"],
        "prefetch": ["zoo.tar.gz"],
        "minimum_stay": "1m30s",
        "loading": 3,
        "disk": "10GiB",
        "cache": False,
    }
    found = container(given, environment={"OMP_NUM_THREADS": 1})
    assert found.cache is False
    assert found.environment == {
        "OMP_NUM_THREADS": "1",
        "MULTI_MODEL_MEMORY_MB": "4096.0",
        "MULTI_MODEL_PINNED": "acme.tar.gz,deep/er.tar.gz",
        "MULTI_MODEL_PREFETCH": "zoo.tar.gz",
        "MULTI_MODEL_MINIMUM_STAY": "90",
        "MULTI_MODEL_MAX_LOADING": "3",
        "MULTI_MODEL_DISK_MB": "10240.0",
    }


@pytest.mark.parametrize(
    ("text", "mib"), [("1MiB", "1.0"), ("512 MB", "488.281"), ("1.5GiB", "1536.0"), ("2097152B", "2.0")]
)
def test_sizes(text: str, mib: str) -> None:
    assert container({"memory": text}).environment == {"MULTI_MODEL_MEMORY_MB": mib}


def test_its_requests_go_by_model() -> None:
    (model,) = parsed({}).models
    assert VariantSpec("main", model, 1).effective_routing == "BY_MODEL"


def test_other_settings_are_another_version_and_the_same_are_the_same() -> None:
    names = [parsed(given).models[0].name for given in ({}, {}, {"cache": False}, {"pin": ["a"]}, None)]
    assert names[0] == names[1]
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    ("multi_model", "more", "message"),
    [
        ({"memory": "4"}, {}, "model.multi_model.memory: '4': expected a size such as 4GiB or 512MB"),
        ({"memory": "1kB"}, {}, "expected a size such as 4GiB"),
        ({"memory": "1KB"}, {}, "model.multi_model.memory: '1KB': must be at least 1MiB"),
        ({"minimum_stay": "30"}, {}, "say the unit, such as 30s"),
        ({"pin": ["a,b"]}, {}, "model.multi_model.pin[0]: 'a,b': expected a model's path"),
        ({"loading": 0}, {}, "model.multi_model.loading: 0: must be at least 1"),
        ({"pins": []}, {}, "unknown key 'pins', did you mean 'pin'?"),
        (True, {}, "model.multi_model: expected keys and values"),
        ({}, {"data": "file:///srv/acme.tar.gz"}, "model.data: with multi_model, the folder or s3:// prefix"),
        ({}, {"data": None}, "model.data: with multi_model, the folder or s3:// prefix"),
        (
            {"memory": "1GiB"},
            {"environment": {"MULTI_MODEL_MEMORY_MB": 5}},
            "says the same as multi_model.memory: give one of them",
        ),
    ],
)
def test_slips_are_told_with_their_place(multi_model: object, more: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid) as error:
        parsed(multi_model, **more)
    assert message in error.value.message


def test_one_container_of_several_serves_one_model() -> None:
    stage = {"image": "tidegate/xgboost", "data": DATA, "name": "a"}
    data = {"endpoint": "e", "pipeline": [stage, {**stage, "name": "b", "multi_model": {}}]}
    with pytest.raises(Invalid, match="goes with model, not with one container of several"):
        spec.parse(data, NOW)


def alarm(metric: str, **more: object) -> Any:
    model = {"image": "tidegate/xgboost", "data": DATA, "multi_model": {}}
    alarms = {"a": {"metric": metric, "statistic": "Average", "above": 1, **more}}
    (made,) = spec.parse({"endpoint": "clients", "model": model, "alarms": alarms}, NOW).alarms
    return made


def test_alarms_watch_the_models_together_or_one_of_them() -> None:
    hits = alarm("ModelCacheHit", above=None, below="95%", scope="endpoint")
    assert (hits.namespace, hits.threshold, hits.dimensions) == (
        "AWS/SageMaker",
        0.95,
        {"EndpointName": "clients", "VariantName": "AllTraffic"},
    )
    assert alarm("LoadedModelCount").namespace == "/aws/sagemaker/Endpoints"
    assert alarm("ModelLoadingWaitTime", above="1s").threshold == 1e6
    one = alarm("ModelLatency", above="50ms", dimensions={"TargetModel": "acme.tar.gz"}, scope="endpoint")
    assert (one.dimensions["TargetModel"], one.threshold) == ("acme.tar.gz", 50_000)
    with pytest.raises(Invalid, match="ModelCacheHit is not kept for each model"):
        alarm("ModelCacheHit", dimensions={"TargetModel": "acme.tar.gz"})


def test_models_come_and_go_without_a_new_version(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    text = "endpoint: e\nmodel: {image: tidegate/xgboost, data: ./clients/, multi_model: {}}\n"
    loaded = spec.load(text, "e.yaml")
    before = loaded.wish(NOW, prepare(loaded, tmp_path, must_exist=True))
    (tmp_path / "clients" / "acme.tar.gz").write_bytes(b"x")
    after = loaded.wish(NOW, prepare(loaded, tmp_path, must_exist=True))
    assert before == after
    assert before.models[0].containers[0].fingerprint is None
    assert before.models[0].containers[0].data_url == f"file://{tmp_path}/clients/"


def test_a_folder_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    loaded = spec.load(
        "endpoint: e\nmodel:\n  image: tidegate/xgboost\n  data: ./no\n  multi_model: {}\n", "e.yaml"
    )
    with pytest.raises(Invalid, match=r"e\.yaml:4: .*/no is not a folder"):
        prepare(loaded, tmp_path, must_exist=True)
    prepare(loaded, tmp_path, must_exist=False)
