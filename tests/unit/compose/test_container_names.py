"""Several containers of a model: their names, their folders, how they answer together, what tells versions apart."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import Version
from tidegate.host.installation import Installation
from tidegate.rollout.digest import digest
from tidegate.service.models import check
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import Serving
from tidegate.settings import Settings
from tidegate.targets.containers import serving_mode
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.start_file import container_specs

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCALER = ContainerDefinition("tidegate/sklearn", "file:///m/scaler.skops", hostname="scaler")
TREES = ContainerDefinition("tidegate/xgboost", "file:///m/model.ubj")
PIPELINE = Model("salary", (SCALER, TREES), NOW, single=False)


def variant(model: Model) -> VariantSpec:
    return VariantSpec(name="AllTraffic", model=model, instance_count=1)


def test_each_container_has_a_name_and_a_folder_of_its_own(tmp_path: Path) -> None:
    fleet = FleetSpec(id=FleetId("salary", 1, "AllTraffic"), config_name="c", variant=variant(PIPELINE), count=1)
    made = container_specs(
        Settings(), Folders(tmp_path, tmp_path, Installation(tmp_path, "id")), ImageTable(), fleet
    )
    assert [each.name for each in made] == ["scaler", "container-2"]
    assert len({each.model_dir for each in made}) == 2
    assert [each.data_url for each in made] == [SCALER.data_url, TREES.data_url]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (PIPELINE, Serving.SERIAL),
        (replace(PIPELINE, execution_mode="Direct"), Serving.DIRECT),
        (replace(PIPELINE, containers=(TREES,)), Serving.SINGLE),
        (replace(PIPELINE, containers=(TREES,), single=True), Serving.SINGLE),
    ],
)
def test_how_they_answer_together(model: Model, expected: Serving) -> None:
    assert serving_mode(model) is expected


def test_versions_that_join_the_same_containers_differently_are_told_apart() -> None:
    joined = [
        PIPELINE,
        replace(PIPELINE, containers=(TREES, SCALER)),
        replace(PIPELINE, execution_mode="Direct"),
        replace(PIPELINE, containers=(replace(SCALER, hostname="other"), TREES)),
    ]
    digests = [digest(Version(1, "c", (variant(model),))) for model in joined]
    assert len(set(digests)) == len(digests)
    assert digest(Version(2, "d", (variant(replace(PIPELINE, name="x")),))) == digests[0]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (replace(PIPELINE, containers=()), "has no container"),
        (replace(PIPELINE, containers=(TREES,) * 16), "has 16 containers; the maximum is 15"),
        (replace(PIPELINE, execution_mode="Direct"), "every container needs a ContainerHostname"),
        (replace(PIPELINE, containers=(SCALER, SCALER)), "'scaler' is given to several containers"),
    ],
)
def test_models_that_are_refused(model: Model, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check(model, lambda container: None)
