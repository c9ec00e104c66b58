"""Which request targets are taken."""

import re
from urllib.parse import unquote

import pytest
from botocore.utils import normalize_url_path
from hypothesis import given

from tests.request_targets import AMBIGUOUS, CANONICAL, canonical_paths, paths
from tidegate.auth.request_target import FORBIDDEN_IN_PATH, FORBIDDEN_IN_QUERY, MESSAGE, check, is_canonical
from tidegate.domain.errors import Invalid


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_an_ambiguous_target_is_refused(target: str) -> None:
    path, _, query = target.partition("?")
    with pytest.raises(Invalid, match=re.escape(MESSAGE)):
        check(path, query)


@pytest.mark.parametrize("target", CANONICAL)
def test_a_canonical_target_is_taken(target: str) -> None:
    path, _, query = target.partition("?")
    check(path, query)


@given(paths)
def test_a_canonical_path_has_no_second_reading(path: str) -> None:
    """Neither a client that normalises it nor a program that decodes it sees other segments."""
    if not is_canonical(path):
        return
    assert normalize_url_path(path) == path
    decoded = unquote(path)
    assert decoded.count("/") == path.count("/")
    assert decoded.isascii() and decoded.isprintable()
    assert not {"..", "."} & set(decoded.split("/")) and "\\" not in decoded and ";" not in decoded
    assert "" not in path[1:].rstrip("/").split("/") or path == "/"


@given(canonical_paths)
def test_what_a_client_makes_of_plain_text_stays_as_it_is(path: str) -> None:
    assert is_canonical(path) and is_canonical(path.rstrip("/") + "/x")


@pytest.mark.parametrize("character", [chr(number) for number in range(256)])
def test_each_byte_has_one_spelling_at_most(character: str) -> None:
    encoded = f"%{ord(character):02X}"
    spellings = [text for text in (character, encoded, encoded.lower()) if is_canonical(f"/a{text}b")]
    letter = character.isascii() and (character.isalnum() or character in "-._~")
    assert spellings == [character] if letter else character not in ';\\%#?"<>^`{|}' or character not in spellings
    assert encoded.lower() not in spellings or encoded.lower() == encoded


@pytest.mark.parametrize("pattern", [FORBIDDEN_IN_PATH, FORBIDDEN_IN_QUERY])
def test_no_group_is_repeated(pattern: str) -> None:
    """PCRE 8 recurses for each turn of one: 32 kB of path would overflow HAProxy's stack."""
    without_classes = re.sub(r"\[\^?]?[^]]*]", "X", pattern)
    assert not re.search(r"\)[*+{]", without_classes)
