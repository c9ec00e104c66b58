"""What is found in a value, and what is left alone."""

import pytest

from tidegate.capture.detectors import scrub
from tidegate.capture.field_names import kind_of
from tidegate.capture.ibans import find_ibans
from tidegate.domain.capture import Detector

EVERY = frozenset(Detector)


def found(text: str, kinds: frozenset[Detector] = EVERY) -> str:
    return scrub(text, kinds, lambda kind, text: f"<{kind}:{text}>")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("123-45-6789", "<ssn:123-45-6789>"),
        ("123 45 6789", "<ssn:123 45 6789>"),
        ("id x123-45-6789.", "id x<ssn:123-45-6789>."),
        ("900-45-6789", "<ssn:900-45-6789>"),
        ("１２３-45-6789", "<ssn:123-45-6789>"),
        ("123‑45‑6789", "<ssn:123-45-6789>"),
        ("123\u200b-45-6789", "<ssn:123-45-6789>"),
        ("DE89370400440532013000", "<iban:DE89370400440532013000>"),
        ("DE89 3704 0044 0532 0130 00", "<iban:DE89 3704 0044 0532 0130 00>"),
        ("gb29 nwbk 6016 1331 9268 19 paid", "<text:gb29 nwbk 6016 1331 9268 19 paid>"),
        ("jane@example.com", "<email:jane@example.com>"),
        ("Jane <j.o'neil+hr@mail.example.co.uk>", "Jane <<email:j.o'neil+hr@mail.example.co.uk>>"),
        ("jane%40example.com", "<email:jane@example.com>"),
        ("+1 (415) 555-0123", "<phone:+1 (415) 555-0123>"),
        ("415-555-0123", "<phone:415-555-0123>"),
        ("0049 89 1234567", "<phone:0049 89 1234567>"),
        ("tel.+4989123456789x12", "tel.<phone:+4989123456789>x12"),
        ("089 12345678", "<phone:089 12345678>"),
        ("Jane Doe", "<name:Jane Doe>"),
        ("Ana de la Cruz", "<name:Ana de la Cruz>"),
        ("O'Neil, Mary-Jane", "<name:O'Neil, Mary-Jane>"),
        ("Jürgen Groß", "<name:Jürgen Groß>"),
        ("for Dr. Jürgen Groß", "for <name:Dr. Jürgen Groß>"),
        ("who=Jane van der Berg", "who=<name:Jane van der Berg>"),
        ("Mr. Doe", "<name:Mr. Doe>"),
        ("call me when the money is there", "<text:call me when the money is there>"),
        ("x" * 5000, f"<text:{'x' * 5000}>"),
    ],
)
def test_personal_data_is_found(text: str, left: str) -> None:
    assert found(text) == left


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-1.5", "1e-7", "123456789", "4155550123", "0.000123456789", "nan", "True", "", "  7 "),
        *("2026-11-27", "2026-11-27T10:00:00Z", "10:15:30", "01-2024", "2019-2024", "0.1 0.2 0.3 0.4 0.5 0.6"),
        *("monthly", "full time", "ml.c5.large", "EUR", "A-123-45", "New model", "000-12-3456", "192.168.100.200"),
        *("DE89370400440532013001", "us-east-1", "4e1243bd-22c6-4f9c-a8d3-62a2a1f0c2f1"),
        *("00231814583af0fa", "c007220838b5f3e2"),
    ],
)
def test_what_is_not_personal_stays_as_it_is(text: str) -> None:
    assert found(text) == text


def test_only_what_is_asked_for_is_looked_for() -> None:
    text = "Jane Doe 123-45-6789 jane@example.com and more words"
    assert found(text, frozenset({Detector.SSN})) == "Jane Doe <ssn:123-45-6789> jane@example.com and more words"
    assert found(text, frozenset()) == text


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("NO9386011117947", ["NO9386011117947"]),
        ("MT84MALT011000012345MTLCAST001S!", ["MT84MALT011000012345MTLCAST001S"]),
        ("NL91ABNA0417164300,FR1420041010050500013M02606", ["NL91ABNA0417164300", "FR1420041010050500013M02606"]),
        ("XX9386011117947 NO93", []),
        ("NO9386011117948", []),
    ],
)
def test_ibans_are_checked(text: str, numbers: list[str]) -> None:
    assert [text[start:end] for start, end in find_ibans(text)] == numbers


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ssn", Detector.SSN),
        ("employeeSSN", Detector.SSN),
        ("Social Security Number", Detector.SSN),
        ("bank_iban", Detector.IBAN),
        ("primaryEmail", Detector.EMAIL),
        ("home-phone", Detector.PHONE),
        ("firstName", Detector.NAME),
        ("name", Detector.NAME),
        ("model_name", None),
        ("amount", None),
        ("emailing_rate", None),
        ("assn", None),
    ],
)
def test_names_of_fields_tell_what_their_values_are(name: str, kind: Detector | None) -> None:
    assert kind_of(name) is kind
