"""What a person may see of captured requests: never a secret, whatever the file has."""

import json
from pathlib import Path

import pytest

from tests.insight_scene import HOSTILE, IBAN, NOW, SECRET, InsightScene, captured
from tidegate.features.capture.samples import MOST_BYTES, MOST_SHOWN, hide_secrets, read_sample, read_samples


@pytest.mark.parametrize(
    "text",
    [
        f'{{"password": "{SECRET}"}}',
        f'{{"db_password":"{SECRET}"}}',
        f'{{"apiKey": "{SECRET}"}}',
        f"{{'client-secret': '{SECRET}'}}",
        f"token={SECRET}&x=1",
        f"Authorization: Bearer {SECRET}",
        f"Authorization: Basic {SECRET}",
        f'{{"pass": "{SECRET}"}}',
        f'{{"a": {{"ACCESS_TOKEN": "quoted \\" {SECRET}"}}}}',
        "key AKIAABCDEFGHIJKLMNOP",
        "Bearer abcdefgh.ijklmnop",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        "sk-abcdefghijklmnopqrstuv",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    shown = hide_secrets(text)
    assert "[secret]" in shown
    for hidden in (SECRET, "AKIA", "abcdefgh", "eyJ", "MIIE"):
        assert hidden not in shown


@pytest.mark.parametrize(
    "text", ["9.6,0.17,1", '{"amount": 12.5, "country": "DE"}', "0.031\n", "[1, 2, 3]", "compass: 3"]
)
def test_ordinary_values_stay(text: str) -> None:
    assert hide_secrets(text) == text


def test_identities_are_masked_in_files_that_have_them() -> None:
    line = captured(json.dumps({"account": IBAN, "mail": "ada@example.org", "amount": 3}), "JSON").encode()
    found = read_sample(line, "v")
    assert found is not None and found.request is not None and found.request.text is not None
    assert IBAN not in found.request.text and "ada@" not in found.request.text and "3" in found.request.text
    assert SECRET not in found.attributes and "trace=7" in found.attributes


@pytest.mark.parametrize(
    "document",
    [
        {"passwords": ["abc", SECRET]},
        {"credentials": {"user": "ada", "pw": SECRET, "more": [{"x": SECRET}]}},
        {"name": "password", "value": SECRET},
        {"inputs": [{"key": "api_key", "data": [SECRET]}]},
        [{"secret": {"of": {"whom": SECRET}}}, 3],
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("lines", [1, 2])
def test_secrets_of_several_parts_are_hidden_with_all_of_them(document: object, lines: int) -> None:
    """The first value after the name was hidden, and the second one was shown."""
    text = "\n".join([json.dumps(document)] * lines)
    found = read_sample(captured(text, "JSON").encode(), "v")
    assert found is not None and found.request is not None and found.request.text is not None
    assert SECRET not in found.request.text and found.request.text.count("[secret]") == lines


@pytest.mark.parametrize(
    ("data", "encoding", "note"),
    [
        ("AAECAw==", "BASE64", "base64"),
        ("{broken", "JSON", "cannot be read"),
        ("x" * (MOST_BYTES + 1), "CSV", "too many"),
        ("anything", "STRANGE", "cannot be read"),
        (f"user,password\nada,{SECRET}", "CSV", "names a secret"),
        (f'{{"columns": ["user", "password"], "data": [["ada", "{SECRET}"]]}}', "JSON", "names a secret"),
        (f"made by\nuser,password\nada,{SECRET}", "CSV", "names a secret"),
    ],
)
def test_what_cannot_be_masked_is_not_shown(data: str, encoding: str, note: str) -> None:
    found = read_sample(captured(data, encoding).encode(), "v")
    assert found is not None and found.request is not None
    assert found.request.text is None and note in found.request.note


@pytest.mark.parametrize(
    "part", ["a-", "token", "token ", 'token="', 'token="\\"', "eyJaaaaaaaa-", "-----BEGIN A", "Bearer ", "sk-a"]
)
def test_what_a_client_chose_is_read_in_one_go(part: str) -> None:
    """Searching each place anew to the end would take minutes."""
    assert hide_secrets(part * (MOST_BYTES // len(part)))


def test_a_long_body_is_cut() -> None:
    found = read_sample(captured("1.5," * 5_000 + "1", "CSV").encode(), "v")
    assert found is not None and found.request is not None and found.request.text is not None
    assert found.request.cut and len(found.request.text) == MOST_SHOWN


@pytest.mark.parametrize(
    "line",
    [b"half a li", b"[]", b"1", b'{"captureData": 1, "eventMetadata": {}}', b'{"captureData": {}}', b"[" * 9_999],
)
def test_a_broken_line_is_no_sample(line: bytes) -> None:
    assert read_sample(line, "v") is None


def test_the_newest_file_is_read_and_no_foreign_one(tmp_path: Path) -> None:
    scene = InsightScene(tmp_path)
    path = scene.write_captures(NOW)
    (path.parent / "99-notes.jsonl").write_text(captured("1", "CSV"))
    address = f"{scene.destination}/fraud/AllTraffic/"
    found = read_samples([address], ("", ""), NOW.timestamp() + 3_600, 10)
    assert [one.variant for one in found] == ["AllTraffic"] * 2
    assert HOSTILE in found[0].inference_id
    assert len(read_samples([address], ("", ""), NOW.timestamp() + 60, 1)) == 1
    assert read_samples([address], ("", ""), NOW.timestamp() + 40 * 3_600, 10) == []
