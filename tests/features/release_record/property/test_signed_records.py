"""A signed record is what was signed, byte for byte, or it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Conflict
from tidegate.features.release_record import signing

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORD: dict[str, Any] = {
    "endpoint": "fraud",
    "evidence": {"tolerance": 0.1, "counts": [1, 2]},
    "reason": "größer",
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@given(record=st.dictionaries(TEXT, PLAIN, max_size=4))
def test_every_record_verifies_and_reads_back_in_canonical_form(record: dict[str, Any], state: Path) -> None:
    file = signing.sign_record(record, state)
    signed = signing.verify_file(file.encode(), signing.read_public_key(state))
    assert signing.canonical(signed["record"]) == signing.canonical(record)
    assert signing.canonical(json.loads(file)) + "\n" == file and file.isascii()


@given(data=st.data())
def test_any_other_byte_is_refused(data: st.DataObject, state: Path) -> None:
    file = signing.sign_record(RECORD, state).encode()
    place = data.draw(st.integers(0, len(file) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != file[place]))
    with pytest.raises(Conflict):
        signing.verify_file(file[:place] + bytes([byte]) + file[place + 1 :])


@given(data=st.data())
def test_a_file_that_is_cut_or_longer_is_refused(data: st.DataObject, state: Path) -> None:
    file = signing.sign_record(RECORD, state).encode()
    changed = file[: data.draw(st.integers(0, len(file) - 1))] + data.draw(
        st.sampled_from([b"", b"\n", b" ", b"}"])
    )
    if changed != file:
        with pytest.raises(Conflict):
            signing.verify_file(changed)


@given(content=st.binary(max_size=64))
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(Conflict):
        signing.verify_file(content)
