"""The key that signs: made once, for its owner alone, and another one after it was moved away."""

import os
from pathlib import Path

import pytest

from tidegate.domain.errors import Conflict, Unavailable
from tidegate.features.release_record import signing


def test_the_key_is_private_and_stays(tmp_path: Path) -> None:
    key = signing.read_public_key(tmp_path)
    assert (tmp_path / signing.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert signing.read_public_key(tmp_path) == key
    assert os.listdir(tmp_path) == [signing.KEY_FILE]


def test_a_key_that_others_can_read_signs_nothing(tmp_path: Path) -> None:
    signing.read_public_key(tmp_path)
    (tmp_path / signing.KEY_FILE).chmod(0o644)
    with pytest.raises(Unavailable, match="can be read by others than its owner"):
        signing.sign_record({}, tmp_path)


def test_a_damaged_key_says_which_file(tmp_path: Path) -> None:
    signing.read_public_key(tmp_path)
    (tmp_path / signing.KEY_FILE).write_text("no key")
    with pytest.raises(Unavailable, match=signing.KEY_FILE):
        signing.sign_record({}, tmp_path)


def test_after_a_rotation_records_of_both_keys_verify_each_with_its_own(tmp_path: Path) -> None:
    first, before = signing.sign_record({"a": 1}, tmp_path).encode(), signing.read_public_key(tmp_path)
    (tmp_path / signing.KEY_FILE).rename(tmp_path / "former.pem")
    second, after = signing.sign_record({"a": 1}, tmp_path).encode(), signing.read_public_key(tmp_path)
    assert before != after
    assert signing.verify_file(first, before)["record"] == signing.verify_file(second, after)["record"]
    with pytest.raises(Conflict, match=f"signed with the key {before}, and not with {after}"):
        signing.verify_file(first, after)
