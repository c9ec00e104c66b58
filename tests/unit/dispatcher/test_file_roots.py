"""Addresses of files lead into the folders that are allowed and nowhere else, whatever is linked."""

from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError, MissingArtifact
from tidegate.storage.files import check_roots, resolve_existing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "real" / "in" / "a.csv").touch()
    (tmp_path / "real" / "secret").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "real" / "in")
    (tmp_path / "real" / "in" / "out").symlink_to(tmp_path / "real" / "secret")
    return tmp_path


@pytest.mark.parametrize("root", ["real/in", "linked", "real/../real/in"])
def test_a_file_below_a_root_is_found_however_the_root_is_written(folder: Path, root: str) -> None:
    for way in ("real/in/a.csv", "linked/a.csv"):
        assert resolve_existing(folder / way, [folder / root]) == (folder / "real/in/a.csv").resolve()


@pytest.mark.parametrize("path", ["real/secret", "real/in/out", "linked/../secret", "real/in2"])
def test_nothing_else_is(folder: Path, path: str) -> None:
    (folder / "real" / "in2").touch()
    with pytest.raises(ArtifactError, match="lies outside the folders"):
        resolve_existing(folder / path, [folder / "linked", folder / "real/in"])


def test_no_roots_allow_nothing_and_none_allows_anything(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="not allowed here; set TIDEGATE_FILE_ROOTS"):
        check_roots(folder, ())
    assert resolve_existing(folder / "real/secret", None).name == "secret"


def test_what_exists_is_told_below_the_roots_alone(folder: Path) -> None:
    (folder / "real/in/circle").symlink_to(folder / "real/in/circle")
    for name in ("absent", "circle", "a.csv/below"):
        with pytest.raises(MissingArtifact, match="there is no such file"):
            resolve_existing(folder / "real/in" / name, [folder / "real/in"])
    with pytest.raises(ArtifactError, match="lies outside the folders"):
        resolve_existing(folder / "real/absent", [folder / "real/in"])
