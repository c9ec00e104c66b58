"""Bodies without what is personal: JSON and CSV, by rule and by detector."""

import json
from typing import Any

import pytest

from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod
from tidegate.features.capture.records import BASE64, CSV, JSON, Body
from tidegate.features.capture.redaction import Redactor, Replacer, normalise
from tidegate.features.capture.worker.lines import LineMaker
from tidegate.personal_data.detectors import LONGEST

KEY = b"sixteen bytes or more"


def redactor(key: bytes | None = None, **rules: Any) -> Redactor:
    return Redactor(Redaction(**rules), key)


def as_json(document: Any, given: Redactor, request: bool = True) -> Any:
    found = given.redact(Body(json.dumps(document).encode(), "application/json", JSON), request)
    return None if found is None else json.loads(found.data)


def as_csv(text: str, given: Redactor, request: bool = True) -> str | None:
    found = given.redact(Body(text.encode(), "text/csv", CSV), request)
    return None if found is None else found.data.decode()


def test_a_rule_names_a_member_at_any_depth_or_a_path() -> None:
    given = redactor(detect=(), fields={"pin": RedactionMethod.DROP, "$.employee.id": RedactionMethod.MASK})
    document = {"pin": 1, "id": 2, "employee": {"id": 3, "pin": [4, 5], "grade": 6}, "rows": [{"pin": {"x": 7}}]}
    assert as_json(document, given) == {
        "pin": None,
        "id": 2,
        "employee": {"id": "[redacted]", "pin": [None, None], "grade": 6},
        "rows": [{"pin": None}],
    }


def test_a_path_is_more_than_a_name_and_keep_is_more_than_a_detector() -> None:
    rules = {"email": RedactionMethod.DROP, "$.sender.email": RedactionMethod.KEEP}
    document = {"email": "a@example.com", "sender": {"email": "noreply@example.com"}}
    assert as_json(document, redactor(fields=rules)) == {"email": None, "sender": {"email": "noreply@example.com"}}


def test_hashes_are_equal_for_what_says_the_same_and_differ_by_key() -> None:
    rules: dict[str, Any] = {"fields": {"account": RedactionMethod.HASH}}
    first = as_json({"account": "17", "to": "DE89 3704 0044 0532 0130 00"}, redactor(KEY, **rules))
    second = as_json({"account": "17", "to": "de89370400440532013000"}, redactor(KEY, **rules))
    other = as_json({"account": "17", "to": "de89370400440532013000"}, redactor(KEY * 2, **rules))
    assert first == second
    assert not set(first.values()) & set(other.values())
    assert all(value.startswith("hash:") and len(value) == 37 for value in first.values())


@pytest.mark.parametrize(
    ("rules", "text", "shown"),
    [
        (None, "write to jane@example.com", "write to jane@example.com"),
        (Redaction(), "write to jane@example.com", "write to [email]"),
        (Redaction(), "this is a whole sentence", ""),
        (Redaction(detect=(Detector.EMAIL,)), "this is a whole sentence", "this is a whole sentence"),
        (Redaction(detect=(Detector.EMAIL,)), "x" * (LONGEST + 1), ""),
    ],
)
def test_a_text_of_an_answer_is_shown_to_a_judge_as_detectors_leave_it(
    rules: Redaction | None, text: str, shown: str
) -> None:
    plan = Capture("s3://b/captures", redaction=rules)
    assert LineMaker(plan, None if rules is None else Redactor(rules, None)).clean(text) == shown


def test_without_a_key_what_is_found_is_masked() -> None:
    assert as_json({"x": "jane@example.com"}, redactor()) == {"x": "[email]"}


def test_the_name_of_a_field_tells_what_bare_digits_are() -> None:
    document = {"ssn": 123456789, "phone": "4155550123", "first_name": "Jo", "days_since_new_account_number": 603}
    assert as_json(document, redactor()) == {
        "ssn": "[ssn]",
        "phone": "[phone]",
        "first_name": "[name]",
        "days_since_new_account_number": 603,
    }


def test_names_of_members_are_looked_at_as_well() -> None:
    assert as_json({"jane@example.com": 1}, redactor()) == {"[email]": 1}
    assert as_json({"Jane Doe": 1}, redactor()) == {"[name]": 1}


def test_names_that_the_rules_mention_stay() -> None:
    given = redactor(columns=("Base Salary",), fields={"Hire Date": RedactionMethod.DROP})
    assert as_json({"Base Salary": 1, "Hire Date": 2}, given) == {"Base Salary": 1, "Hire Date": None}
    assert as_csv("Base Salary\n7\n", given) == "Base Salary\n7\n"


def test_lines_of_json_are_each_a_document() -> None:
    body = Body(b'{"x": "jane@example.com"}\n{"x": 1.5}\n', "application/jsonlines", JSON)
    found = redactor().redact(body, True)
    assert found is not None and found.data == b'{"x":"[email]"}\n{"x":1.5}\n'


def test_a_table_in_two_parts_has_its_columns_named() -> None:
    table = {"columns": ["id", "amount"], "data": [[1, 2.5], [3, 4.5]]}
    given = redactor(detect=(), fields={"id": RedactionMethod.DROP})
    assert as_json({"dataframe_split": table}, given) == {
        "dataframe_split": {"columns": ["id", "amount"], "data": [[None, 2.5], [None, 4.5]]}
    }


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"instances": rows}])
def test_rows_without_names_take_those_of_the_rules(wrap: Any) -> None:
    given = redactor(detect=(), fields={"id": RedactionMethod.DROP}, columns=("id", "amount"))
    assert as_json(wrap([[1, 2], [3, 4]]), given) == wrap([[None, 2], [None, 4]])
    assert as_json(wrap([1, 2]), given) == wrap([None, 2])
    assert as_json(wrap([[1, 2, 3]]), given) is None, "another number of columns"
    assert as_json(wrap([[1, 2]]), redactor(detect=(), fields={"id": RedactionMethod.DROP})) is None, (
        "unknown columns"
    )


def test_csv_columns_are_named_by_its_first_row_or_by_the_rules() -> None:
    fields = {"id": RedactionMethod.HASH, "pin": RedactionMethod.DROP}
    headed, known = redactor(KEY, fields=fields), redactor(KEY, fields=fields, columns=("id", "pin", "amount"))
    hashed = Replacer(KEY).hash(None, "7")
    assert as_csv("id,pin,amount\n7,1234,2.50\n", headed) == f"id,pin,amount\n{hashed},,2.50\n"
    assert as_csv("id,pin,amount\n7,1234,2.50\n", known) == f"id,pin,amount\n{hashed},,2.50\n"
    assert as_csv("7,1234,2.50\n", known) == f"{hashed},,2.50\n"
    assert as_csv("7,1234,2.50\n", headed) is None, "which column is which is not known"
    assert as_csv("7,1234\n", known) is None
    assert as_csv("0.97\n", headed, request=False) == "0.97\n", "an answer has columns of its own"


def test_cells_of_csv_are_looked_at_and_numbers_stay_as_they_are_written() -> None:
    assert as_csv('1.50,"Doe, Jane",jane@example.com,007\n', redactor()) == "1.50,[name],[email],007\n"
    numbers = "1.50,-2e-7,,123456789\r\n4,5,6,7"
    assert as_csv(numbers, redactor()) == numbers


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"\x93NUMPY...", BASE64),
        (b"{", JSON),
        (b"\xff\xfe", JSON),
        (b"\xff,1", CSV),
        (b'"unclosed', CSV),
        (b"[" * 5000 + b"]" * 5000, JSON),
        (b'{"a":' * 40 + b"1" + b"}" * 40, JSON),
    ],
)
def test_what_cannot_be_read_is_not_written(data: bytes, encoding: str) -> None:
    assert redactor().redact(Body(data, "text/csv", encoding), True) is None


def test_headers_are_redacted_too() -> None:
    given = redactor()
    assert given.text("order-123-45-6789") == "order-[ssn]"
    assert given.text("jane@example.com") == "[email]"
    body = given.redact(Body(b"1", "text/csv; charset=utf-8; who=jane@example.com", CSV), True)
    assert body is not None and body.content_type == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Detector.SSN, "123-45-6789", "123 45 6789"),
        (Detector.IBAN, "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        (Detector.EMAIL, "Jane@Example.com", "jane@example.COM"),
        (Detector.PHONE, "+49 89 1234567", "0049 89 1234567"),
        (Detector.NAME, "Jane  DOE", "jane doe"),
        (None, " 17", "17"),
    ],
)
def test_values_are_brought_to_one_form_before_they_are_hashed(
    kind: Detector | None, one: str, other: str
) -> None:
    assert normalise(kind, one) == normalise(kind, other)


@pytest.mark.parametrize(
    ("document", "left"),
    [
        ({"inner": '{"ssn": 123456789, "x": 1}'}, {"inner": '{"ssn":"[ssn]","x":1}'}),
        ({"inner": '[{"name": "jane"}]'}, {"inner": '[{"name":"[name]"}]'}),
        ({"inner": '{"a": "{\\"tel\\": \\"5551234567\\"}"}'}, {"inner": '{"a":"{\\"tel\\":\\"[phone]\\"}"}'}),
        ({"inner": '{"x": 1, "y": "a"}'}, {"inner": '{"x": 1, "y": "a"}'}),
        ({"key": "ssn", "value": "123456789"}, {"key": "ssn", "value": "[ssn]"}),
        ([{"name": "tel", "value": 5551234567}], [{"name": "tel", "value": "[phone]"}]),
        (
            {"inputs": [{"name": "ssn", "datatype": "BYTES", "data": ["123456789"]}]},
            {"inputs": [{"name": "ssn", "datatype": "BYTES", "data": ["[ssn]"]}]},
        ),
        ({"name": "Jane Doe phone", "value": "555"}, {"name": "[name] phone", "value": "555"}),
        ({"name": "amount", "value": 123456789}, {"name": "[name]", "value": 123456789}),
    ],
)
def test_what_is_nested_or_named_beside_its_value_is_a_field(document: Any, left: Any) -> None:
    assert as_json(document, redactor()) == left


def test_a_rule_holds_for_a_field_that_is_named_beside_its_value() -> None:
    given = redactor(fields={"salary": RedactionMethod.DROP})
    assert as_json([{"name": "salary", "value": 5000}], given) == [{"name": "salary", "value": None}]


def test_json_in_a_cell_and_tables_with_other_separators_are_read() -> None:
    cell = '1,"{""ssn"": ""123456789"", ""x"": 1}",3\n'
    assert as_csv(cell, redactor()) == '1,"{""ssn"":""[ssn]"",""x"":1}",3\n'
    assert as_csv("name;ssn\njane;123456789\n", redactor()) == "name;ssn\n[name];[ssn]\n"
    assert as_csv("x\ttel\n1\t5551234567\n", redactor()) == "x\ttel\n1\t[phone]\n"
