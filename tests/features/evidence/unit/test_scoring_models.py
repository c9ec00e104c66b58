"""What a scoring process is started with, and what is refused before it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid, NotFound
from tidegate.features.evidence.replay.scoring.models import (
    make_replica,
    model_at,
    model_of_spec,
    served_model,
    serving_entry,
    serving_variant,
)
from tidegate.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256-" + "0" * 64


def settings(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def test_model_data_alone_chooses_its_runtime(tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_bytes(b"x")
    replica = make_replica(model_at(tmp_path / "model.ubj", settings(), NOW), settings(), tmp_path, None)
    (container,) = replica.containers
    assert (container.runtime.kind.value, container.data_url) == ("auto", (tmp_path / "model.ubj").as_uri())
    assert container.environment == {}
    folder = model_at(tmp_path, settings(), NOW)
    assert folder.containers[0].data_url == tmp_path.as_uri() + "/"


def test_a_model_may_do_what_the_command_is_trusted_with_and_nothing_else(tmp_path: Path) -> None:
    trusting = settings(TIDEGATE_TRUST="pickle")
    replica = make_replica(model_at(tmp_path, trusting, NOW), trusting, tmp_path, None)
    assert replica.containers[0].environment == {"TIDEGATE_TRUST": "pickle"}
    asking = model_at(tmp_path, trusting, NOW)
    with pytest.raises(Invalid, match="this server unpickles nothing"):
        make_replica(asking, settings(), tmp_path, None)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no such file or folder"):
        model_at(tmp_path / "nothing", settings(), NOW)


def wish(variants: str) -> Any:
    return spec.parse(spec.load(f"endpoint: fraud\n{variants}").data, NOW)


def test_of_several_variants_one_must_be_named() -> None:
    two = wish(
        "variants:\n"
        "- {name: blue, model: {image: tidegate/xgboost, data: 's3://m/a'}}\n"
        "- {name: green, model: {image: tidegate/xgboost, data: 's3://m/b'}}\n"
    )
    assert model_of_spec(two, "green", "a.yaml").containers[0].data_url == "s3://m/b"
    for name in ("", "red"):
        with pytest.raises(Invalid, match=r"a\.yaml: say by --with variant=NAME which one is meant: blue, green"):
            model_of_spec(two, name, "a.yaml")


def test_many_models_are_not_one(tmp_path: Path) -> None:
    many = wish("model: {image: tidegate/xgboost, data: 's3://models/', multi_model: {}}\n")
    with pytest.raises(Invalid, match="is several models"):
        make_replica(model_of_spec(many, "", "a.yaml"), settings(), tmp_path, None)


def test_what_serves_is_found_in_the_history() -> None:
    entries = [{"state": "RollingOut", "version": 3}, {"state": "Serving", "version": 2}]
    assert serving_entry(entries, "fraud")["version"] == 2
    with pytest.raises(NotFound, match="endpoint fraud has no version that serves"):
        serving_entry(entries[:1], "fraud")
    variants = [{"name": "blue", "shadow": False}, {"name": "copy", "shadow": True}]
    assert serving_variant({"variants": variants}, "", "fraud") == "blue"
    with pytest.raises(Invalid, match="--with variant"):
        serving_variant({"variants": variants}, "copy", "fraud")


def test_what_serves_has_the_data_that_was_kept(tmp_path: Path) -> None:
    described = {
        "ModelName": "fraud-1",
        "PrimaryContainer": {"Image": "tidegate/xgboost", "ModelDataUrl": "s3://m/a", "Environment": {"A": "1"}},
    }
    model = served_model(described, [DIGEST], NOW)
    with pytest.raises(Invalid, match="is not on this machine"):
        make_replica(model, settings(), tmp_path, tmp_path)
    (tmp_path / DIGEST).mkdir()
    (container,) = make_replica(model, settings(), tmp_path, tmp_path).containers
    assert container.data_url == (tmp_path / DIGEST).as_uri() + "/" and container.environment == {"A": "1"}
