"""Models that may bring their process down are tried in another one first, once."""

import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes import load, probe_load

ROWS = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a model, in a folder of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}
    lightgbm.train(settings, lightgbm.Dataset(ROWS, ROWS.sum(axis=1)), 5).save_model(folder / "model.txt")
    return folder


def damage(folder: Path) -> None:
    """In the middle, where the frame that is looked at first is whole: LightGBM's reader aborts at it."""
    path = folder / "model.txt"
    lines = path.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("left_child="))
    lines[place] = "left_child=1 2\n"
    path.write_text("".join(lines))


def test_a_model_damaged_in_its_middle_is_refused_and_nothing_dies(model: Path) -> None:
    damage(model)
    with pytest.raises(ArtifactError) as caught:
        load(RuntimeKind.LIGHTGBM, model, {})
    assert caught.value.message == (
        "the process that tried to load the lightgbm model (model.txt) was ended by SIGABRT: the file is damaged;"
        " save it again"
    )


def test_what_came_of_it_is_kept_for_the_next_worker(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(RuntimeKind.LIGHTGBM, model, {})
    monkeypatch.setattr(sys, "executable", "/bin/false")
    load(RuntimeKind.LIGHTGBM, model, {})
    damage(model)
    with pytest.raises(ArtifactError, match="ended with exit code 1"):
        load(RuntimeKind.LIGHTGBM, model, {})


def test_a_trial_that_takes_too_long_is_ended(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_load, "TIMEOUT", 0.01)
    monkeypatch.setattr(probe_load, "_begin", lambda *_: subprocess.Popen(["sleep", "60"], stdout=-1))
    with (
        pytest.raises(ArtifactError, match=r"within 0\.01 s"),
        probe_load.probe_in_child(RuntimeKind.LIGHTGBM, model, {}),
    ):
        pass


def test_a_forged_number_of_features_is_refused(model: Path) -> None:
    path = model / "model.txt"
    path.write_text(path.read_text().replace("max_feature_idx=3", "max_feature_idx=2000000000"))
    with pytest.raises(ArtifactError):
        load(RuntimeKind.LIGHTGBM, model, {})
