"""The service models' patterns mean in Python what they mean in Java, whose dialect they are written in."""

import logging
import re

import pytest

from tidegate.wire import schema
from tidegate.wire.java_patterns import compile_java, matches
from tidegate.wire.table import TABLE

TAG = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
DESCRIPTION = r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*"


def test_every_pattern_of_the_served_operations_is_understood() -> None:
    count = 0
    for name in TABLE:
        service = schema.load(name, tuple(TABLE[name]))
        for shape_name in service.model.shape_names:
            source = schema.shape_limit(service.model.shape_for(shape_name), "pattern")
            if source:
                compile_java(source)
                count += 1
    assert count > 20


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        (TAG, ["", "a b_1", "Größe", "日本", "٣½", "a\u2028b", "a\u00a0b"], ["a\nb", "a\tb", "a!", "€", "e\u0301"]),
        (DESCRIPTION, ["", "50 % – “gut” 😀 e\u0301 €", "𝔘"], ["a\nb", "\x00", "\u200b", "\ue000", "\U000f0000"]),
        (r"([\p{L}]*)${1,128}", ["ab", ""], ["a1"]),
        (r"\p{Lu}\p{Ll}+", ["Ärger"], ["ärger", "ÄRGER"]),
        (r"\pL\PL", ["a1", "é-"], ["ab", "1a"]),
        (r"\P{L}+", ["12 !"], ["12a"]),
        (r"\p{Print}+", ["a b~"], ["a\tb", "é", ""]),
        (r"[\p{Print}\t]*", ["a\tb"], ["a\nb"]),
        (r"[\p{Alnum}\-]+", ["a-1"], ["é", "_"]),
        (r"\p{ASCII}*", ["a\x7f\x00"], ["é"]),
        (r"\A\S[\p{Print}]*\z", ["a b"], [" a", "a\n"]),
        (r"\d{3}", ["123"], ["١٢٣", "12a"]),
        (r"\w+", ["a_1"], ["é"]),
        (r"a\sb", ["a b", "a\x0bb"], ["a\u00a0b", "a\u2028b", "a\x1cb"]),
        (r"\S+", ["a\u00a0b"], ["a b"]),
        (r"a.b", ["a b", "aéb", "a\u200bb", "a\x0bb"], ["a\nb", "a\rb", "a\x85b", "a\u2028b", "a\u2029b"]),
        (r"a[.]b", ["a.b"], ["axb"]),
        (r"a\.[\]\.]", ["a.]", "a.."], ["axx"]),
        (r"[\u0020-\uD7FF\uD800\uDC00-\uDBFF\uDFFF\n]*", ["a\n😀"], ["\t", "\ue000"]),
    ],
)  # fmt: skip
def test_a_pattern_takes_what_java_takes(pattern: str, fitting: list[str], others: list[str]) -> None:
    assert [text for text in fitting if not matches(text, pattern)] == []
    assert [text for text in others if matches(text, pattern)] == []


@pytest.mark.parametrize("pattern", [r"\p{IsGreek}*", r"[a\P{L}]", "(", r"[\p{Xx}]"])
def test_a_pattern_that_is_not_understood_is_not_checked(pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(re.error):
        compile_java(pattern)
    with caplog.at_level(logging.WARNING):
        assert matches("anything", pattern)
    assert [record.getMessage().partition(" are not checked")[0] for record in caplog.records] == [
        f"members with the pattern {pattern}"
    ]
