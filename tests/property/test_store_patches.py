"""Differences of JSON documents: applied, they give what they were made of, to the byte."""

from copy import deepcopy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.store import patches
from tidegate.store.patches import apply_patch, diff

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, 0.5])
    | st.text("ab", max_size=2)
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)


def text(document: object) -> bytes:
    return msgspec.json.encode(document, order="sorted")


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_leads_from_one_document_to_the_other(before: object, after: object) -> None:
    patch = msgspec.json.decode(msgspec.json.encode(diff(before, after)))
    kept = deepcopy(before)
    assert text(apply_patch(patch, before)) == text(after)
    assert text(before) == text(kept)


@given(DOCUMENTS, st.sampled_from([0, 1, 20]))
def test_what_moved_is_found_again(document: object, worth: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "MIN_COPY_SIZE", worth)
        before, after = {"now": document, "before": None}, {"now": 1, "before": [document]}
        assert text(apply_patch(diff(before, after), before)) == text(after)


def test_what_a_record_keeps_of_its_past_is_not_written_again() -> None:
    version = {"generation": 7, "variants": [{"name": "a" * 40, "count": 1}, {"name": "b" * 40, "count": 1}]}
    patch = diff({"serving": version, "last": None}, {"serving": None, "last": {"old": version}})
    assert patch == [".", {"serving": ["=", None], "last": ["+", {"old": ["@", ["serving"]]}]}, []]


def test_little_is_written_where_little_changed() -> None:
    before = {"name": "e", "variants": [{"name": "a", "count": 1}, {"name": "b", "count": 1}], "gone": 1}
    after = {"name": "e", "variants": [{"name": "a", "count": 2}, {"name": "b", "count": 1}], "new": True}
    assert diff(before, after) == [
        ".",
        {"variants": ["#", {"0": [".", {"count": ["=", 2]}, []]}], "new": ["=", True]},
        ["gone"],
    ]


def test_the_old_document_is_encoded_once_however_much_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = list[patches.DocumentPath]()
    parts = patches._parts

    def walk(document: object, place: patches.DocumentPath) -> object:
        walks.append(place)
        return parts(document, place)

    monkeypatch.setattr(patches, "_parts", walk)
    old = {"kept": [{"text": "x" * 80, "number": number} for number in range(20)]}
    new = {"kept": old["kept"], **{f"new-{number}": {"text": "y" * 80, "number": number} for number in range(20)}}
    patch = diff(old, new)
    assert apply_patch(patch, old) == new
    assert walks.count(()) == 1
