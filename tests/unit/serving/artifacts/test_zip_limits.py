"""Zip files that are models: how many entries and how many bytes a reader is let in for."""

import struct
import zipfile
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts.archives import ArchiveLimits
from tidegate.serving.artifacts.zip_limits import check


def made(path: Path, entries: int, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(entries):
            archive.writestr(f"entry/{number}", content)
    return path


def test_an_ordinary_file_is_let_through(tmp_path: Path) -> None:
    check(made(tmp_path / "m.skops", 20, bytes(1000)))


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\5\6", b"PK\3\4" + bytes(100), b"PK\5\6" + b"\xff" * 20])
def test_what_is_no_zip_file_is_left_to_its_reader_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    try:
        check(tmp_path / "m.pt")
    except ArtifactError as error:
        assert "entries" in error.message


def test_the_number_of_entries_is_limited(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="more than 10 entries"):
        check(made(tmp_path / "m.pt", 11), ArchiveLimits(files=10))


def test_the_size_of_the_list_is_limited_before_it_is_read(tmp_path: Path) -> None:
    path = made(tmp_path / "m.pt", 3)
    data = bytearray(path.read_bytes())
    data[-10:-6] = struct.pack("<L", 17 << 20)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="entries"):
        check(path)


def test_a_long_list_in_the_64_bit_form_is_refused(tmp_path: Path) -> None:
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**9, 10**9, 10**11, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "m.pt").write_bytes(end_64 + locator + end)
    with pytest.raises(ArtifactError, match="entries"):
        check(tmp_path / "m.pt")


def test_a_bomb_is_noticed_by_its_ratio(tmp_path: Path) -> None:
    path = made(tmp_path / "m.skops", 4, bytes(1_000_000))
    check(path)
    with pytest.raises(ArtifactError, match="more than 100 times its size"):
        check(path, ArchiveLimits(ratio=100, ratio_from=1_000_000))
    with pytest.raises(ArtifactError, match="more than 3000000 bytes"):
        check(path, ArchiveLimits(size=3_000_000))
