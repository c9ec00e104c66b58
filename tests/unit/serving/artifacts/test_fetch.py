"""Model data from files: what may be read, how it arrives, what is left when it does not."""

import errno
import os
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts import durable_tree
from tidegate.serving.artifacts.archives import ArchiveLimits
from tidegate.serving.artifacts.fetch import Policy, materialise


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.ubj").write_bytes(b"weights")
    (folder / "sub" / "vocabulary.txt").write_bytes(b"words")
    with tarfile.open(tmp_path / "source" / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "model.ubj", "model.ubj")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "fleet" / "model"


def refused(url: str, place: Path, policy: Policy | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        materialise(url, place, policy or Policy())
    left = sorted(path.name for path in place.parent.iterdir())
    assert left == ["model.lock"], "nothing may be left half-written"
    assert url.partition("?")[0] in caught.value.message
    return caught.value.message


def test_a_plain_file_keeps_its_name(source: Path, place: Path) -> None:
    materialise((source / "model.ubj").as_uri(), place, Policy())
    assert [path.name for path in place.iterdir()] == ["model.ubj"]
    assert (place / "model.ubj").read_bytes() == b"weights"


@pytest.mark.parametrize("ending", ["tar.gz", "tgz"])
def test_an_archive_is_unpacked(source: Path, place: Path, ending: str) -> None:
    archive = (source / "model.tar.gz").rename(source / f"m.{ending}")
    materialise(archive.as_uri(), place, Policy())
    assert [path.name for path in place.iterdir()] == ["model.ubj"]


def test_a_folder_is_copied_as_a_tree(source: Path, place: Path) -> None:
    materialise(source.as_uri() + "/", place, Policy())
    found = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    assert found == ["model.tar.gz", "model.ubj", "sub", "sub/vocabulary.txt"]


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done for the disk's sake, in order."""
    done: list[str] = []

    def note(where: object, name: str, what: str) -> None:
        real = getattr(where, name)

        def noted(*given: object, **more: object) -> object:
            done.append(what)
            return real(*given, **more)

        monkeypatch.setattr(where, name, noted)

    note(os, "fsync", "fsync")
    note(durable_tree, "_sync_file_system", "sync of all")
    note(Path, "rename", "rename")
    note(Path, "touch", "complete")
    return done


def test_many_files_are_brought_to_the_disk_in_one_go_before_they_have_their_name(
    source: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tmp_path / "many.tar.gz"
    with tarfile.open(many, "w:gz") as tar:
        for number in range(1000):
            tar.add(source / "model.ubj", f"{number % 7}/{number}")
    done = recorded(monkeypatch)
    materialise(many.as_uri(), place, Policy())
    assert done == ["sync of all", "rename", "fsync", "complete"]
    assert len(list(place.rglob("*"))) == 1007


def test_few_files_do_not_make_the_whole_disk_wait(
    source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recorded(monkeypatch)
    materialise(source.as_uri() + "/", place, Policy())
    assert done == [*["fsync"] * 5, "rename", "fsync", "complete"]


def test_a_tree_that_the_disk_did_not_take_is_not_used(
    source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    assert "Input/output error" in refused(source.as_uri() + "/", place)


def test_the_depth_of_a_tree_is_limited(source: Path, place: Path) -> None:
    (source / "a/b/c").mkdir(parents=True)
    materialise(source.as_uri() + "/", place.with_name("other"), Policy(limits=ArchiveLimits(depth=3)))
    shutil.rmtree(place.parent)
    assert "more than 2 folders deep" in refused(
        source.as_uri() + "/", place, Policy(limits=ArchiveLimits(depth=2))
    )


def test_without_a_url_the_folder_is_empty(place: Path) -> None:
    materialise(None, place, Policy())
    assert list(place.iterdir()) == []


def test_a_path_may_be_percent_encoded(source: Path, place: Path) -> None:
    odd = source / "a model#1?.ubj"
    odd.write_bytes(b"odd")
    materialise(odd.as_uri(), place, Policy())
    assert (place / odd.name).read_bytes() == b"odd"


def test_the_replicas_of_a_fleet_share_the_work(source: Path, place: Path) -> None:
    url = (source / "model.tar.gz").as_uri()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: materialise(url, place, Policy()), range(8)))
    (source / "model.tar.gz").unlink()
    materialise(url, place, Policy())
    assert (place / "model.ubj").read_bytes() == b"weights"


def test_what_a_killed_worker_left_is_cleared(source: Path, place: Path) -> None:
    for folder in (place, place.with_name("model.partial")):
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"ha")
    materialise((source / "model.ubj").as_uri(), place, Policy())
    assert [path.name for path in place.iterdir()] == ["model.ubj"]
    assert not place.with_name("model.partial").exists()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("absent.ubj", "no such file"),
        ("sub", "is a folder; end the URL with '/'"),
        ("sub/absent/", "no such file"),
        ("model.ubj/", "no such folder"),
    ],
)
def test_missing_model_data_is_named(source: Path, place: Path, path: str, why: str) -> None:
    assert why in refused(f"file://{source}/{path}", place)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///dev/zero", "not a plain file"),
        ("file://elsewhere/model", "file:///"),
        ("file:model.ubj", "file:// or s3://"),
        ("https://example.com/model.tar.gz", "file:// or s3://"),
        ("file:///tmp/%00x", "must be absolute"),
        ("s3://bucket", "s3://bucket/key"),
    ],
)
def test_urls_that_mean_nothing_are_refused(place: Path, url: str, why: str) -> None:
    assert why in refused(url, place)


def test_a_pipe_does_not_hang(source: Path, place: Path) -> None:
    os.mkfifo(source / "pipe")
    assert "not a plain file" in refused((source / "pipe").as_uri(), place)


def test_a_tree_with_a_link_is_refused(source: Path, place: Path) -> None:
    (source / "sub" / "link").symlink_to("/etc/passwd")
    assert "'sub/link' is a link" in refused(source.as_uri() + "/", place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_model_data_without_permission_is_named(source: Path, place: Path) -> None:
    (source / "model.ubj").chmod(0)
    assert "no permission" in refused((source / "model.ubj").as_uri(), place)


def test_roots_hold_what_may_be_read(source: Path, place: Path, tmp_path: Path) -> None:
    allowed = Policy(roots=(str(source / "sub"),))
    assert "outside the folders" in refused((source / "model.ubj").as_uri(), place, allowed)
    assert "outside the folders" in refused(f"file://{source}/sub/../model.ubj", place, allowed)
    assert "outside the folders" in refused(f"file://{source}/", place, allowed)
    (source / "sub" / "way").symlink_to(source / "model.ubj")
    assert "outside the folders" in refused((source / "sub" / "way").as_uri(), place, allowed)
    materialise((source / "sub" / "vocabulary.txt").as_uri(), place, allowed)
    assert (place / "vocabulary.txt").read_bytes() == b"words"


def test_without_roots_nothing_is_read(source: Path, place: Path) -> None:
    assert "TIDEGATE_FILE_ROOTS" in refused((source / "model.ubj").as_uri(), place, Policy(roots=()))


def test_a_root_may_be_a_link(source: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(source)
    materialise(f"file://{tmp_path}/models/model.ubj", place, Policy(roots=(str(tmp_path / "models"),)))
    assert (place / "model.ubj").exists()


def test_sizes_and_counts_are_limited(source: Path, place: Path) -> None:
    assert "larger than 3 bytes" in refused(
        (source / "model.ubj").as_uri(), place, Policy(limits=ArchiveLimits(size=3))
    )
    assert "more than 2 files" in refused(source.as_uri() + "/", place, Policy(limits=ArchiveLimits(files=2)))
    assert "larger than 8 bytes" in refused(
        (source / "sub").as_uri() + "/../", place, Policy(limits=ArchiveLimits(size=8))
    )
