"""Archives that are broken, or meant to do harm."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts.archives import ArchiveLimits, unpack

Build = Callable[[tarfile.TarFile], None]


def archive(build: Build, kind: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", format=kind) as tar:
        build(tar)
    return data.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes = b"x", **changes: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for attribute, value in changes.items():
        setattr(member, attribute, value)
    tar.addfile(member, io.BytesIO(content))


def run(data: bytes, folder: Path, limits: ArchiveLimits | None = None) -> None:
    unpack(io.BytesIO(data), len(data), folder, limits or ArchiveLimits())


def refused(data: bytes, folder: Path, limits: ArchiveLimits | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        run(data, folder, limits)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_folders_and_files_arrive_as_they_are(tmp_path: Path, kind: int) -> None:
    big = os.urandom(3_000_000)

    def build(tar: tarfile.TarFile) -> None:
        add(tar, ".", b"", type=tarfile.DIRTYPE)
        add(tar, "./model.ubj", b"weights")
        add(tar, "code", b"", type=tarfile.DIRTYPE)
        add(tar, "code/serve.sh", b"#!/bin/sh\n", mode=0o755)
        add(tar, "deep/er/still/big.bin", big)
        add(tar, "empty", b"")
        add(tar, "n" * 90 + "/" + "m" * 60, b"long")

    run(archive(build, kind), tmp_path)
    assert (tmp_path / "model.ubj").read_bytes() == b"weights"
    assert (tmp_path / "deep/er/still/big.bin").read_bytes() == big
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / ("n" * 90) / ("m" * 60)).read_bytes() == b"long"
    assert os.access(tmp_path / "code/serve.sh", os.X_OK)
    assert not (tmp_path / "model.ubj").stat().st_mode & 0o111


def test_set_user_id_bits_are_dropped(tmp_path: Path) -> None:
    run(archive(lambda tar: add(tar, "tool", mode=0o6755)), tmp_path)
    assert (tmp_path / "tool").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("../outside", "leads out"),
        ("a/../../outside", "leads out"),
        ("a/..", "leads out"),
        ("x" * 300, "name that cannot be used"),
        (".", "in the place of the folder"),
    ],
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str, why: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    assert why in refused(archive(lambda tar: add(tar, name)), folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("type_", "why"),
    [
        (tarfile.SYMTYPE, "a link to '/etc'"),
        (tarfile.LNKTYPE, "a link to '/etc'"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
    ],
)
def test_only_folders_and_plain_files_are_unpacked(tmp_path: Path, type_: bytes, why: str) -> None:
    data = archive(lambda tar: add(tar, "odd", b"", type=type_, linkname="/etc"), tarfile.GNU_FORMAT)
    message = refused(data, tmp_path)
    assert "'odd'" in message
    assert why in message


def test_a_file_through_a_link_stays_inside(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        add(tar, "way", b"", type=tarfile.SYMTYPE, linkname=str(tmp_path))
        add(tar, "way/planted")

    folder = tmp_path / "in"
    folder.mkdir()
    refused(archive(build), folder)
    assert not (tmp_path / "planted").exists()


def test_a_name_may_come_once(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        add(tar, "model.ubj", b"good")
        add(tar, "./model.ubj", b"bad")

    assert "twice" in refused(archive(build), tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        add(tar, "model", b"file")
        add(tar, "model/inside")

    assert "model/inside" in refused(archive(build), tmp_path)


def test_a_bomb_is_noticed_by_its_ratio(tmp_path: Path) -> None:
    data = archive(lambda tar: add(tar, "zeros", bytes(8_000_000)))
    message = refused(data, tmp_path, ArchiveLimits(ratio=50, ratio_from=1_000_000, files=10))
    assert "50 times" in message


def test_the_size_of_all_files_is_limited(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        for number in range(4):
            add(tar, f"{number}", os.urandom(400_000))

    assert "more than 1000000 bytes" in refused(archive(build), tmp_path, ArchiveLimits(size=1_000_000, files=10))


def test_the_number_of_members_is_limited(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        for number in range(11):
            add(tar, f"{number}")

    assert "more than 10 members" in refused(archive(build), tmp_path, ArchiveLimits(files=10))


@pytest.mark.parametrize(
    "names",
    [
        [f"{number}/" for number in range(11)],
        [f"{number}/x" for number in range(6)],
        ["/".join("abcdefghij") + "/x"],
    ],
)
def test_folders_count_as_members_also_where_no_member_names_them(tmp_path: Path, names: list[str]) -> None:
    def build(tar: tarfile.TarFile) -> None:
        for name in names:
            add(tar, name, b"", **({"type": tarfile.DIRTYPE} if name.endswith("/") else {}))

    assert "more than 10 members" in refused(archive(build), tmp_path, ArchiveLimits(files=10))
    assert len(list(tmp_path.rglob("*"))) <= 10


def test_the_depth_of_folders_is_limited(tmp_path: Path) -> None:
    run(archive(lambda tar: add(tar, "a/" * 63 + "model")), tmp_path)
    for kind in (tarfile.DIRTYPE, tarfile.REGTYPE):
        deep = archive(lambda tar: add(tar, "b/" * 64 + "model", b"", type=kind))  # noqa: B023 (called right here)
        assert "more than 64 folders deep" in refused(deep, tmp_path)
    assert not (tmp_path / "b").exists()


def test_the_time_is_limited(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        for number in range(100):
            add(tar, f"{number}")

    data, seconds = archive(build), iter(range(1000))
    with pytest.raises(ArtifactError, match="takes more than 50 s to unpack"):
        unpack(io.BytesIO(data), len(data), tmp_path, ArchiveLimits(seconds=50), lambda: float(next(seconds)))
    assert len(list(tmp_path.iterdir())) < 60


def test_a_huge_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    data = archive(lambda tar: add(tar, "a", pax_headers={"comment": "x" * 5_000_000}))
    assert "header of more than" in refused(data, tmp_path)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    data = archive(lambda tar: add(tar, "model.ubj", os.urandom(5_000)))
    for number, length in enumerate(range(0, len(data) - 1, 97)):
        folder = tmp_path / str(number)
        folder.mkdir()
        refused(data[:length], folder)


def test_damaged_bytes_are_noticed(tmp_path: Path) -> None:
    data = bytearray(archive(lambda tar: add(tar, "model.ubj", os.urandom(5_000))))
    data[-6] ^= 1  # in gzip's checksum: all members read well
    assert "gzip" in refused(bytes(data), tmp_path)


def test_a_damaged_header_in_the_middle_is_no_end(tmp_path: Path) -> None:
    def build(tar: tarfile.TarFile) -> None:
        add(tar, "one")
        add(tar, "two")

    plain = bytearray(gzip.decompress(archive(build)))
    plain[1024 + 148] ^= 1  # the second header's checksum
    assert "damaged header" in refused(gzip.compress(bytes(plain)), tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a tar" * 100, b"\0" * 100])
def test_gzip_without_a_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "tar" in refused(gzip.compress(content), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", b"hello" * 100])
def test_what_is_not_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    message = refused(content, tmp_path)
    assert "gzip" in message or "tar" in message
