"""What would hurt, in a person's words."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.replay import ReplayConfig
from tidegate.features.evidence.harm_words import NUMBERS, parse_harm
from tidegate.features.evidence.spec_assure import AssureSpec, HarmSpec, PredictionHarmSpec, parse_assure
from tidegate.spec.problem import SpecError

CONFIG = EvidenceConfig(
    (Comparison.ERRORS, Comparison.LATENCY, Comparison.PAIRED), replay=ReplayConfig("rows"), copies=0
)


@pytest.mark.parametrize(
    ("words", "harm"),
    [
        ("one missed fraud in a hundred", {"recall": "1%"}),
        ("1 missed fraud of 100", {"recall": "1%"}),
        ("93 a month", {"predictions": {"bias": 93.0}}),
        ("1,250.5 EUR", {"predictions": {"bias": 1250.5}}),
        ("one failed answer in 200", {"errors": "0.5%"}),
        ("One in a thousand answers fails", {"errors": "0.1%"}),
        ("two errors in five hundred", {"errors": "0.4%"}),
        ("0,5 % errors", {"errors": "0.5%"}),
        ("50% slower", {"latency": "50%"}),
        ("half as slow again; twice as slow", None),
        ("twice as slow", {"latency": "100%"}),
        ("5% larger error", {"mean_error": "5%"}),
        ("0.05 AUC", {"auc": 0.05}),
        ("93 a month and one failed answer in 200", {"predictions": {"bias": 93.0}, "errors": "0.5%"}),
        ("errors", None),
        ("5 failures", None),
        ("5%", None),
        ("nothing", None),
        ("1 in 0 fails", None),
        ("1% errors; 2% errors", None),
    ],
)
def test_words_are_a_harm_or_are_refused_with_examples(words: str, harm: dict[str, object] | None) -> None:
    if harm is None:
        with pytest.raises(Invalid, match=r"say what would hurt, such as 'one failed answer|named twice"):
            parse_harm(words)
    else:
        assert parse_harm(words) == harm


@given(st.integers(1, 40), st.integers(100, 5000), st.sampled_from(["in", "of", "out of", "per"]))
def test_so_many_of_so_many_is_a_share_with_thousands_or_without(some: int, of: int, word: str) -> None:
    for number in (str(of), f"{of:,}"):
        found = parse_harm(f"{some} failed answers {word} {number}")["errors"]
        assert float(found.rstrip("%")) == pytest.approx(100 * some / of, abs=1e-6)


@given(st.sampled_from([word for word, value in NUMBERS.items() if value >= 1 and len(word) > 2]))
def test_words_of_numbers_are_numbers(word: str) -> None:
    assert parse_harm(f"{word} missed in 10000") == parse_harm(f"{NUMBERS[word]:g} missed in 10000")


WORDS = st.sampled_from(
    [
        *NUMBERS,
        "missed",
        "errors",
        "fail",
        "slower",
        "auc",
        "month",
        "in",
        "of",
        "%",
        ";",
        "and",
        "0",
        "7",
        "1,0",
        "2e9",
    ]
)


@given(st.one_of(st.text(), st.lists(WORDS).map(" ".join)))
@example("1 fails in 10000000000000000")
def test_any_words_are_refused_or_have_the_form_of_a_spec(words: str) -> None:
    try:
        found = parse_harm(words)
    except Invalid as error:
        assert "\n" not in error.message.replace(repr(words), "")
        return
    predictions = PredictionHarmSpec(**found.pop("predictions")) if "predictions" in found else None
    given_harm = AssureSpec(HarmSpec(**found, predictions=predictions), "25%")
    try:
        assert parse_assure(given_harm, CONFIG, ()).before == 2_500
    except SpecError as error:
        assert "must be" in error.message
