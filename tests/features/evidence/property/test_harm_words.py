"""What a person says would hurt, read as the harm of an assurance."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.features.evidence.harm_words import parse_harm, write_evidence


@pytest.mark.parametrize(
    ("said", "harm"),
    [
        ("one missed fraud in a hundred", {"recall": "1%"}),
        ("93 a month", {"predictions": {"bias": 93.0}}),
        ("rents that are $1,250 too high", {"predictions": {"bias": 1250.0}}),
        ("one failed answer in 200", {"errors": "0.5%"}),
        ("2 of 1,000 requests fail", {"errors": "0.2%"}),
        ("answers 50% slower, 0.02 AUC", {"latency": "50%", "auc": 0.02}),
        ("twice as slow", {"latency": "100%"}),
        ("a mean error of 5 percent and 0.5 % errors", {"mean_error": "5%", "errors": "0.5%"}),
        ("1 in a thousand fails; 3% missed", {"errors": "0.1%", "recall": "3%"}),
    ],
)
def test_a_harm_in_words_is_the_section_of_a_spec(said: str, harm: dict[str, Any]) -> None:
    assert parse_harm(said) == harm


@pytest.mark.parametrize(
    "said",
    ["", "bad things", "a fraud", "more failures", "0% errors", "0.7 auc", "1% errors, 2% errors", "x" * 400],
)
def test_what_names_no_harm_is_refused_in_one_line(said: str) -> None:
    with pytest.raises(Invalid, match=r"\Awhat would hurt: [^\n]*\Z"):
        parse_harm(said)


@given(st.text(max_size=80))
def test_any_text_is_a_harm_that_a_spec_takes_or_is_refused(said: str) -> None:
    try:
        harm = parse_harm(said)
    except Invalid:
        return
    assert load(harm) is not None


@given(st.integers(1, 400), st.integers(1, 20_000), st.sampled_from(["fail", "missed fraud", "slower"]))
def test_a_share_means_the_same_in_words_and_in_percent(part: int, whole: int, what: str) -> None:
    if not 0 < part / whole <= 0.5 or whole < 2:
        return
    one = parse_harm(f"{part} {what} in {whole:,}")
    ((name, text),) = one.items()
    assert float(text.removesuffix("%")) == pytest.approx(100 * part / whole, rel=1e-6)
    assert parse_harm(f"{text} {what}") == one
    assert parse_harm(f"{part} {what} in {whole:,}, 12.5 a day") == {name: text, "predictions": {"bias": 12.5}}


@given(st.floats(0.001, 1e9))
def test_an_amount_is_a_bias_in_the_unit_of_the_prediction(amount: float) -> None:
    assert parse_harm(f"{amount:.3f} a month") == {"predictions": {"bias": float(f"{amount:.3f}")}}


def test_labelled_rows_are_asked_for_where_nothing_else_shows_the_harm() -> None:
    with pytest.raises(Invalid, match="recall is shown by labelled rows alone"):
        write_evidence({"recall": "1%"}, "10%")


def load(harm: dict[str, Any]) -> object:
    text = yaml.safe_dump({
        "endpoint": "fraud",
        "model": {"image": "tidegate/xgboost", "data": "s3://models/any.ubj"},
        "rollout": {"strategy": "canary", "size": "10%", "wait": "1h"},
        "evidence": write_evidence(harm, "10%", "s3://labels/rows.csv", "fraud"),
    })  # fmt: skip
    found = spec.load(text, "any.yaml")
    wish = found.wish(datetime.now(UTC), found.data)
    assert re.search("harm", text)
    return None if wish.deployment.evidence is None else wish.deployment.evidence.assure
