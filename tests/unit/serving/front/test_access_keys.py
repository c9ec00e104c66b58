"""The file of access keys: read again when it changes, and only when it is private."""

from pathlib import Path

import msgspec
import pytest

from tidegate.domain.errors import StartupError
from tidegate.serving.front.access_keys import KeysFile, is_private


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.chmod(mode)
    new.replace(path)


def test_keys_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    put(path, msgspec.json.encode({"AKID": "first"}))
    keys = KeysFile(path)
    assert keys.read() == {"AKID": "first"}
    put(path, msgspec.json.encode({"OTHER": "second"}))
    assert keys.read() == {"OTHER": "second"}


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b'{"A": "b"}', 0o640, "chmod 600"),
        (b'{"A": "b"}', 0o604, "chmod 600"),
        (b"{", 0o600, "not usable"),
        (b'{"A": 1}', 0o600, "not usable"),
    ],
)
def test_a_file_that_cannot_be_trusted_lets_nobody_in(tmp_path: Path, content: bytes, mode: int, why: str) -> None:
    put(tmp_path / "keys.json", content, mode)
    with pytest.raises(StartupError, match=why):
        KeysFile(tmp_path / "keys.json").read()


def test_a_file_that_went_away_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    put(path, b'{"A": "b"}')
    keys = KeysFile(path)
    assert keys.read() == {"A": "b"}
    path.unlink()
    with pytest.raises(StartupError, match="cannot read"):
        keys.read()


@pytest.mark.parametrize(
    ("mode", "owner", "user", "private"),
    [
        (0o400, 10001, 10001, True),
        (0o440, 10001, 10001, False),
        (0o440, 0, 10001, True),  # a Secret with fsGroup
        (0o444, 0, 10001, False),
        (0o460, 0, 10001, False),
        (0o440, 0, 0, False),
        (0o440, 10002, 10001, False),
    ],
)
def test_a_mounted_secret_is_private_though_its_group_reads_it(
    mode: int, owner: int, user: int, private: bool
) -> None:
    assert is_private(mode, owner, user) is private
