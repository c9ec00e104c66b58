"""Text that has no encoding."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.surrogates import replace_all_surrogates, replace_surrogates

TEXT = st.text(st.characters(codec=None))


@given(TEXT)
def test_any_text_becomes_one_that_can_be_encoded_and_other_text_stays(text: str) -> None:
    found = replace_surrogates(text)
    assert found.encode().decode() == found
    assert len(found) == len(text)
    assert replace_surrogates(found) == found


def test_every_text_of_a_document_is_replaced() -> None:
    given_ = {"\ud800": [1, None, ("a\udfff", {"b": "\ud800"})], "c": True}
    assert replace_all_surrogates(given_) == {"?": [1, None, ["a?", {"b": "?"}]], "c": True}
