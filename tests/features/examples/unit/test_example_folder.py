"""The folder of an example: written whole or not at all, with specs whose times can be shortened."""

import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid, NotFound
from tidegate.features.examples.catalogue import Example, find_example
from tidegate.features.examples.contract import SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.folder import make_example, read_requests, read_summary
from tidegate.prices import Catalogue

EXAMPLE = Example("payroll-fraud", "made_up", "Made up", "nothing", "xgboost")


def build(folder: Path, scale: float) -> TrainedExample:
    for name in ("v1", "better", "worse"):
        (folder / f"{name}.ubj").write_text(name)
    versions = {
        name: TrainedVersion(f"about {name}", (f"{name}.ubj",), {"AUC": 0.5, "moved": scale})
        for name in ("v1", "better", "worse")
    }
    requests = [SampleRequest("1,2", headers={"A": "b"}, expected="1")]
    return TrainedExample("AUC", "made-up rows", versions, requests, evidence="20%")


def fail(folder: Path, scale: float) -> TrainedExample:
    (folder / "v1.ubj").write_text("half")
    raise OSError("no space")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("tidegate.features.examples.made_up")
    module.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tidegate.features.examples.made_up", module)
    return module


def test_what_is_written_is_read_back(made: types.ModuleType, tmp_path: Path) -> None:
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load(), scale=0.5)
    assert read_requests(tmp_path / "e") == [SampleRequest("1,2", headers={"A": "b"}, expected="1")]
    assert read_summary(tmp_path / "e")["versions"]["worse"]["quality"]["moved"] == 0.5
    assert "| better | 0.500 |" in (tmp_path / "e" / "card.md").read_text()


def test_the_specs_are_the_plan_s_and_only_the_worse_one_compares_predictions(
    made: types.ModuleType, tmp_path: Path
) -> None:
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    for version in ("v1", "better", "worse"):
        loaded = spec.load((tmp_path / "e" / f"{version}.yaml").read_text())
        assert isinstance(loaded.data, dict)
        assert loaded.data["model"]["data"] == (tmp_path / "e" / f"{version}.ubj").as_uri()
        assert loaded.data["rollout"]["wait"] == "1h"
        assert ("evidence" in loaded.data) == (version == "worse")


@pytest.mark.parametrize(
    ("speed", "wait", "period"), [(60, "60s", "5s"), (3, "1200s", "20s"), (10_000, "1s", "5s")]
)
def test_speed_shortens_the_times_of_rollout_and_alarms(
    made: types.ModuleType, tmp_path: Path, speed: float, wait: str, period: str
) -> None:
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load(), speed=speed)
    data = spec.load((tmp_path / "e" / "v1.yaml").read_text()).data
    assert isinstance(data, dict)
    assert (data["rollout"]["wait"], data["alarms"]["errors"]["period"]) == (wait, period)


def test_a_folder_of_somebody_else_is_left_alone(made: types.ModuleType, tmp_path: Path) -> None:
    mine = tmp_path / "e"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(Invalid, match="choose another --folder"):
        make_example(EXAMPLE, mine, Catalogue.load())
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_training_that_fails_leaves_nothing(made: types.ModuleType, tmp_path: Path) -> None:
    made.build = fail  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="no space"):
        make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.delitem(sys.modules, "tidegate.features.examples.recommendations", raising=False)
    with pytest.raises(Invalid, match=r"pip install 'tidegate\[lightgbm\]'"):
        make_example(find_example("learning-recommendations"), tmp_path / "e", Catalogue.load())


def test_an_unknown_example_and_a_speed_that_is_none_are_refused(made: types.ModuleType, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="did you mean 'payroll-fraud'"):
        find_example("payrol-fraud")
    with pytest.raises(Invalid, match=r"speed 0\.5"):
        make_example(EXAMPLE, tmp_path / "e", Catalogue.load(), speed=0.5)


def test_an_asynchronous_pipeline_gets_its_environment_and_a_place_for_answers(
    made: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stages = ("preprocess", "recognise", "extract", "validate")

    def staged(folder: Path, scale: float) -> TrainedExample:
        data = [f"{stage}=v1/{stage}/" for stage in stages]
        versions = {name: TrainedVersion(name, data, {"right": 1.0}) for name in ("v1", "better", "worse")}
        return TrainedExample("right", "rows", versions, [SampleRequest("", file="a")], environment={"A": "b"})

    made.build = staged  # type: ignore[attr-defined]
    example = replace(find_example("document-ocr"), module="made_up")
    make_example(example, tmp_path / "e", Catalogue.load(), outputs=tmp_path / "answers")
    data = spec.load((tmp_path / "e" / "worse.yaml").read_text()).data
    assert isinstance(data, dict)
    assert [one["environment"] for one in data["pipeline"]] == [{"A": "b"}] * len(stages)
    assert data["async"]["output"] == f"{(tmp_path / 'answers').as_uri()}/document-ocr/"
    assert data["async"]["failure"].startswith((tmp_path / "answers").as_uri())


def test_a_chat_model_is_compared_by_its_texts(
    made: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made.build = lambda folder, scale: replace(build(folder, scale), evidence="text")  # type: ignore[attr-defined]
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    data = spec.load((tmp_path / "e" / "worse.yaml").read_text()).data
    assert isinstance(data, dict) and data["evidence"] == {"compare": ["errors", "text"]}


def test_a_client_that_its_reader_has_changed_is_kept(made: types.ModuleType, tmp_path: Path) -> None:
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    client = tmp_path / "e" / "client.py"
    assert "invoke_endpoint" in client.read_text()
    client.write_text("mine")
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    assert client.read_text() == "mine"
    client.unlink()
    make_example(EXAMPLE, tmp_path / "e", Catalogue.load())
    assert "invoke_endpoint" in client.read_text()


def test_an_example_is_built_in_an_absolute_folder_wherever_its_own_is(
    made: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The default folder is relative, and builders make links."""
    monkeypatch.chdir(tmp_path)
    built, build = list[Path](), made.build

    def note(folder: Path, scale: float) -> TrainedExample:
        built.append(folder)
        found: TrainedExample = build(folder, scale)
        return found

    monkeypatch.setattr(made, "build", note)
    make_example(EXAMPLE, Path("here"), Catalogue.load())
    assert [folder.is_absolute() for folder in built] == [True]
    assert read_summary(Path("here"))["name"] == EXAMPLE.name
