"""The config of MLflow's deployments as the rest of a spec file."""

from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.errors import Invalid

pytest.importorskip("mlflow")
from tidegate.cli.mlflow_deployments import SHORT, TidegateDeployments, pack, read_config

ALARM = "{metric: Invocation5XXErrors, statistic: Average, above: 2%}"


def test_text_of_the_command_line_is_read_as_yaml_by_paths() -> None:
    given = {
        "instances": "2",
        "strategy": "canary",
        "size": "10%",
        "rollout.wait": "30m",
        "alarms": f"{{errors: {ALARM}}}",
        "alarms.slow.metric": "ModelLatency",
        "model.environment.TIDEGATE_TRUST": "pickle",
        "follow": "false",
    }
    wanted, switches = read_config(given)
    assert wanted == {
        "instances": 2,
        "rollout": {"strategy": "canary", "size": "10%", "wait": "30m"},
        "alarms": {
            "errors": {"metric": "Invocation5XXErrors", "statistic": "Average", "above": "2%"},
            "slow": {"metric": "ModelLatency"},
        },
        "model": {"environment": {"TIDEGATE_TRUST": "pickle"}},
    }
    assert switches == {"follow": False}


def test_values_of_a_program_stay_as_they_are() -> None:
    wanted = {"instances": 3, "rollout": {"strategy": "linear", "step": "25%"}}
    assert read_config(wanted) == (wanted, {})


def test_short_keys_are_those_that_only_a_rollout_has() -> None:
    assert "strategy" in SHORT and "wait" in SHORT
    assert "alarms" not in SHORT


def test_a_spec_file_is_changed_by_the_other_keys(tmp_path: Path) -> None:
    path = tmp_path / "fraud.yaml"
    path.write_text(
        "endpoint: fraud\nmodel: {image: tidegate/xgboost, data: ./m, environment: {A: b}}\ninstances: 2\n"
    )
    wanted, _ = read_config({"spec": str(path), "instances": "4"})
    assert wanted == {"endpoint": "fraud", "model": {"environment": {"A": "b"}}, "instances": 4}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"follow": "maybe"}, "expected true or false"),
        ({"instances": "2", "instances.more": "1"}, "instances has a value of its own"),
        ({"alarms": "{errors: ["}, "config alarms:1"),
        ({"spec": "/nowhere.yaml"}, "No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_key(config: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        read_config(config)


def test_a_model_that_is_no_section_is_refused() -> None:
    client = TidegateDeployments("tidegate")
    with pytest.raises(Invalid, match="expected keys and values"):
        client._deploy("fraud", "models:/fraud/1", None, {"model": "fraud"})
    with pytest.raises(Invalid, match="comes from the model's URI"):
        client._deploy("fraud", "models:/fraud/1", None, {"model.data": "s3://other"})


def test_several_models_are_not_mlflows(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("endpoint: fraud\npipeline: []\n")
    with pytest.raises(Invalid, match="which knows one model"):
        read_config({"spec": str(path)})


def test_the_same_content_gives_the_same_archive(tmp_path: Path) -> None:
    archives = []
    for name in ("a", "b"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "MLmodel").write_text("flavors: {}\n")
        (tmp_path / name / "data" / "model.pkl").write_bytes(b"x" * 100)
        archives.append(pack(tmp_path / name))
    (tmp_path / "b" / "MLmodel").write_text("flavors: {more: {}}\n")
    assert archives[0] == archives[1] != pack(tmp_path / "b")
