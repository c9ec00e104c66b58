"""What is found in a value, and what is left alone."""

import base64
import gzip

import pytest

from tidegate.domain.capture import Detector
from tidegate.personal_data.detectors import kind_of, scrub
from tidegate.personal_data.identifiers import find_ibans

EVERY = frozenset(Detector)


def found(text: str, kinds: frozenset[Detector] = EVERY) -> str:
    return scrub(text, kinds, lambda kind, text: f"<{kind}:{text}>")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODED = (
    encoded("Jane Doe,123-45-6789,4"),
    encoded('{"ssn": "123456789"}'),
    b"Jane Doe 123-45-6789".hex(),
    base64.b64encode(gzip.compress(b"?", mtime=0)).decode(),
)
NUMBERS_OF_PEOPLE = (
    *(
        "123/45/6789",
        "123_45_6789",
        "123-45 6789",
        "123 - 45 - 6789",
        "123:45:6789",
        "123\t45\t6789",
        "12-3456789",
    ),
    *(
        "123−45−6789",
        "123·45·6789",
        "912-70-1234",
        "000-12-3456",
        "93/815/08152",
        "12 345 678 901",
        "15 070649 C 103",
    ),
    *("ABCPE1234F", "abcpe1234f", "2345 6789 0124", "2345-6789-0124", "QQ 12 34 56 C", "AB123456C", "12345678Z"),
    *("X1234567L", "RSSMRA85T10A562S", "123.456.789-09", "756.1234.5678.97", "811228-9874", "131052-308T"),
    *("85.07.30-033.28", "1 85 05 78 006 084 36", "4111 1111 1111 1111", "5500-0000-0000-0004", "123 456 782"),
)
PHONES = (
    *("+1 (555) 123-4567", "555-123-4567x89", "(555)1234567", "01 42 68 53 00", "98765 43210", "+91-98765-43210"),
    *("0171/1234567", "+49 (0)171 1234567", "+33.1.42.68.53.00", "020 7946 0958"),
)
EMAILS = (
    *(
        "jürgen@müller.example",
        "иван@пример.рф",
        "محمد@مثال.إختبار",
        '"john doe"@example.com',
        "john@[192.168.0.1]",
    ),
    *("john (at) example.com", "john[at]example[dot]com", "john @ example.com", "anna@xn--mller-kva.example"),
)
NAMES = (
    *("Žofie Nováková", "José María de la Cruz y García", "Jan-Willem van 't Hoff", "Abdul bin Rashid al-Maktoum"),
    *("Karl Freiherr vom Stein", "Maria Gräfin zu Solms", "Ortega y Gasset", "Siobhán O’Brien-Ó Súilleabháin"),
    *("Jean d'Arc", "García Márquez, Gabriel José", "José Núñez", "Иван Петров", "محمد بن سلمان", "Anna.Müller"),
)


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
        *((text, f"<ssn:{text}>") for text in NUMBERS_OF_PEOPLE),
        *(
            (text, f"<iban:{text}>")
            for text in ("de89 3704 0044 0532 0130 00", "DE89\t3704\t0044\t0532\t0130\t00")
        ),
        *((text, f"<phone:{text}>") for text in PHONES),
        *((text, f"<email:{text}>") for text in EMAILS),
        *((text, f"<name:{text}>") for text in NAMES),
        ("john%252540example.com", "<email:john@example.com>"),
        ("john&#64;example.com", "<email:john@example.com>"),
        ("SSN: 123456789", "SSN: <ssn:123456789>"),
        ("ssn=123456789&tel=5551234567", "ssn=<ssn:123456789>&tel=<phone:5551234567>"),
        ("SSN123456789", "SSN<ssn:123456789>"),
        ("<ssn>123456789</ssn>", "<ssn><ssn:123456789></ssn>"),
        ("Steuer-ID 86095742719", "Steuer-ID <ssn:86095742719>"),
        ("passport no. C01X00T47", "passport no. <ssn:C01X00T47>"),
        ("routing 021000021", "routing <iban:021000021>"),
        ("<name>jane doe</name>", "<name><name:jane doe></name>"),
        ("name=jane+doe&x=1", "name=<name:jane+doe>&x=1"),
        *((text, f"<text:{text}>") for text in ENCODED),
        (f"v={encoded('mail jane@example.com')};", f"v=<text:{encoded('mail jane@example.com')}>;"),
        (b"Jane Doe 123-45-6789".hex(), f"<text:{b'Jane Doe 123-45-6789'.hex()}>"),
        (
            base64.b64encode(gzip.compress(b"?", mtime=0)).decode(),
            f"<text:{base64.b64encode(gzip.compress(b'?', mtime=0)).decode()}>",
        ),
    ],
)
def test_personal_data_is_found(text: str, left: str) -> None:
    assert found(text) == left


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-1.5", "1e-7", "123456789", "4155550123", "0.000123456789", "nan", "True", "", "  7 "),
        *("2026-11-27", "2026-11-27T10:00:00Z", "10:15:30", "01-2024", "2019-2024", "0.1 0.2 0.3 0.4 0.5 0.6"),
        *("monthly", "full time", "ml.c5.large", "EUR", "A-123-45", "New model", "192.168.100.200"),
        *(
            "192.168.100.200:8080",
            "2026-11-27 10:15:30.123",
            "27.11.2026 10:15",
            "10:15:30.123456",
            "2026-11-27_10-15",
        ),
        *(
            "1.5 2.25 3.125 4.0625",
            "10 20 300 4000 50000",
            "52.520008 13.404954",
            "latency@p99",
            "v1.2.3",
            "10.0.19045.3570",
            "ABC-DEF",
        ),
        *(
            "Travel_Rarely",
            "ml.g5.12xlarge",
            "sha256",
            "aGVsbG8gd29ybGQgYWdhaW4=",
            "monthlypayrolldata",
            "123,456,789.00",
        ),
        *("AB12C34", "Q3 2026", "550e8400-e29b-41d4-a716-446655440000", "abcdefab-1234-4123-8123-123456789012"),
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
    for packed in ENCODED:
        assert found(packed, frozenset()) == packed


def test_of_two_detectors_that_find_the_same_one_is_named_in_every_process() -> None:
    """The order of a set depends on the process, and the hash of a value on its detector."""
    kinds = (Detector.SSN, Detector.PHONE)
    made = {scrub("001-23-4567", order, lambda kind, text: f"<{kind}>") for order in (kinds, kinds[::-1])}
    assert made == {"<phone>"}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("NO9386011117947", ["NO9386011117947"]),
        ("MT84MALT011000012345MTLCAST001S!", ["MT84MALT011000012345MTLCAST001S"]),
        ("NL91ABNA0417164300,FR1420041010050500013M02606", ["NL91ABNA0417164300", "FR1420041010050500013M02606"]),
        ("DE 89 3704 0044 0532 0130 00", ["DE 89 3704 0044 0532 0130 00"]),
        ("IBANDE89370400440532013000", ["DE89370400440532013000"]),
        ("DE89/3704/0044/0532/0130/00", ["DE89/3704/0044/0532/0130/00"]),
        ("DE89 3704 0044\n0532 0130 00", ["DE89 3704 0044\n0532 0130 00"]),
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
