"""Small outputs that are put together: each whole, and one that cannot be put is no other's matter."""

import asyncio
import errno
import os
from functools import partial
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.storage import output_files
from tidegate.storage.files import check_roots, resolve_existing
from tidegate.storage.output_files import FEW, OutputFile, OutputFiles


@pytest.mark.parametrize("count", [1, 3 * FEW])
def test_all_are_there_and_what_earlier_tries_left_is_gone(tmp_path: Path, count: int) -> None:
    files = OutputFiles((tmp_path,))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".0.out.1.part").write_bytes(b"half")
    outputs = [OutputFile((tmp_path / "ab"[n % 2] / f"{n}.out").as_uri(), b"%d" % n, 2) for n in range(count)]
    assert files.put_all(outputs) == [None] * count
    found = {path.name: path.read_bytes() for path in tmp_path.glob("*/*")}
    assert found == {f"{n}.out": b"%d" % n for n in range(count)}


async def test_what_cannot_be_put_is_told_to_its_request_alone(tmp_path: Path) -> None:
    files = OutputFiles((tmp_path / "here",))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").touch()
    good = [OutputFile((tmp_path / "here" / f"{n}.out").as_uri(), b"x", 1) for n in range(2 * FEW)]
    bad = [
        OutputFile((tmp_path / "elsewhere.out").as_uri(), b"x", 1),
        OutputFile((tmp_path / "here" / "file" / "below.out").as_uri(), b"x", 1),
    ]

    puts = (files.put(output) for output in (*good[:FEW], *bad, *good[FEW:]))
    ends = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(end) for end in ends if end] == [ArtifactError, Transient]
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"file", *(f"{n}.out" for n in range(2 * FEW))}
    assert not (tmp_path / "elsewhere.out").exists()


def test_what_became_late_on_its_way_to_the_disk_does_not_appear(tmp_path: Path) -> None:
    files = OutputFiles((tmp_path,))
    late = [False, True, False]
    outputs = [
        OutputFile((tmp_path / f"{n}.out").as_uri(), b"x", 1, partial(late.__getitem__, n)) for n in range(3)
    ]
    assert [type(error) for error in files.put_all(outputs)] == [type(None), Transient, type(None)]
    assert {path.name for path in tmp_path.iterdir()} == {"0.out", "2.out"}


def test_an_address_that_is_no_files_is_named(tmp_path: Path) -> None:
    address = f"{tmp_path.as_uri()}/a%00.out"
    (error,) = OutputFiles((tmp_path,)).put_all([OutputFile(address, b"x", 1)])
    assert isinstance(error, ArtifactError) and str(error).startswith(f"{address}: ")


async def test_a_large_one_is_copied_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_bytes(bytes(3_000_000))
    await OutputFiles((tmp_path,)).put(OutputFile((tmp_path / "a.out").as_uri(), tmp_path / "scratch", 1))
    assert (tmp_path / "a.out").read_bytes() == bytes(3_000_000)


@pytest.mark.parametrize("folders", [1, 3 * FEW])
@pytest.mark.parametrize("count", [1, 3 * FEW])
def test_the_names_of_outputs_are_on_the_disk_before_they_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: int, count: int
) -> None:
    """Else a power failure would leave a request that is recorded as complete without its output."""
    outputs = [OutputFile((tmp_path / str(n % folders) / f"{n}.out").as_uri(), b"x", 1) for n in range(count)]
    unsynced: set[str] = set()
    replace, sync = os.replace, os.fsync

    def renamed(source: str, target: str) -> None:
        replace(source, target)
        unsynced.add(os.path.dirname(target))

    def synced(file: int) -> None:
        sync(file)
        unsynced.discard(os.readlink(f"/proc/self/fd/{file}"))

    def synced_all(file: int) -> int:
        unsynced.clear()
        return 0

    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(output_files, "_SYNCFS", synced_all)
    assert OutputFiles((tmp_path,)).put_all(outputs) == [None] * count
    assert unsynced == set() and len(list(tmp_path.glob("*/*.out"))) == count


def test_an_output_whose_name_is_not_on_the_disk_is_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fails(file: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(errno.EIO, "the disk is broken")
        sync(file)

    monkeypatch.setattr(os, "fsync", fails)
    (error,) = OutputFiles((tmp_path,)).put_all([OutputFile((tmp_path / "a.out").as_uri(), b"x", 1)])
    assert isinstance(error, Transient)


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
