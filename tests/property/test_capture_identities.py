"""Planted identities: none of 10,000 is left on disk, in the log or in the metrics, however it is written."""

import base64
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.capture.records import JSON, Body
from tidegate.capture.redaction import Redactor
from tidegate.domain.capture import Capture, Redaction
from tidegate.domain.fleet import FleetId
from tidegate.serving.capture.recorder import Recorder
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

PLANTED = 10_000
FIRST = (
    "Žofie",
    "Łukasz",
    "Siobhán",
    "Jean d'Arc",
    "José María",
    "Abdul bin Rashid",
    "Jane",
    "Olu",
    "Mary-Ann",
    "José",
    "Søren",
    "Priya",
    "Wei",
    "Anna Maria",
    "D'Angelo",
    "Ngozi",
)
LAST = (
    "van 't Hoff",
    "Żółkiewski",
    "Ó Súilleabháin",
    "zu Solms",
    "al-Maktoum",
    "de la Cruz y García",
    "Doe",
    "O'Neil",
    "García",
    "van der Berg",
    "Müller",
    "Okafor",
    "Nguyen",
    "Smith-Jones",
    "Kowalski",
)
PATIENCE = 60.0


class People:
    """Draws identities, each with a part that is searched for: it is nowhere else."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def digits(self, count: int) -> str:
        return "".join(str(self.random.randrange(10)) for _ in range(count))

    def ssn(self) -> str:
        separator = self.random.choice(("-", " ", ".", "/", "_", " - ", "·", "−"))
        area, group, serial = (
            self.random.randrange(1, 666),
            self.random.randrange(1, 100),
            self.random.randrange(1, 9999),
        )
        return f"{area:03d}{separator}{group:02d}{separator}{serial:04d}"

    def iban(self) -> str:
        country, length = self.random.choice((("DE", 22), ("NL", 18), ("FR", 27), ("NO", 15), ("GB", 22)))
        basic = self.digits(length - 4)
        number = int("".join(str(int(one, 36)) for one in f"{basic}{country}00"))
        whole = f"{country}{98 - number % 97:02d}{basic}"
        if self.random.random() < 0.5:
            whole = self.random.choice((" ", "-", "\u00a0", "/")).join(
                whole[at : at + 4] for at in range(0, length, 4)
            )
        return whole.lower() if self.random.random() < 0.2 else whole

    def email(self) -> str:
        host = self.random.choice(("mail.example.com", "example.de", "müller.example", "xn--mller-kva.example"))
        return f"u{self.digits(9)}{self.random.choice(('', '+hr', '.x'))}@{host}"

    def phone(self) -> str:
        return self.random.choice(
            (
                f"+{self.random.randrange(1, 99)} {self.digits(3)} {self.digits(7)}",
                f"({self.digits(3)}) {self.digits(3)}-{self.digits(4)}",
                f"{self.digits(3)}.{self.digits(3)}.{self.digits(4)}",
                f"+{self.random.randrange(1, 99)}{self.digits(10)}",
                f"({self.digits(3)}) {self.digits(3)}-{self.digits(4)} ext. {self.digits(3)}",
                f"+91-{self.random.randrange(6, 10)}{self.digits(4)}-{self.digits(5)}",
                f"0171/{self.digits(8)}",
            )
        )

    def name(self) -> str:
        return f"{self.random.choice(FIRST)} {self.random.choice(LAST)}"

    def tax_number(self) -> str:
        """Of the United States, Germany, India, Britain and Brazil."""
        letters = [self.random.choice("ABCDEFGHJK") for _ in range(5)]
        return self.random.choice(
            (
                f"{self.digits(2)}-{self.digits(7)}",
                f"{self.digits(2)} {self.digits(3)} {self.digits(3)} {self.digits(3)}",
                f"{self.digits(2)}/{self.digits(3)}/{self.digits(5)}",
                f"{letters[0]}{letters[1]}{letters[2]}P{letters[3]}{self.digits(4)}{letters[4]}",
                f"{self.random.randrange(2, 10)}{self.digits(3)}-{self.digits(4)}-{self.digits(4)}",
                f"QQ{self.digits(6)}C",
                f"{self.digits(3)}.{self.digits(3)}.{self.digits(3)}-{self.digits(2)}",
            )
        )

    def any(self) -> str:
        kinds = (self.ssn, self.iban, self.email, self.phone, self.name, self.tax_number)
        return self.random.choice(kinds)()


def shapes(people: People) -> Callable[[str], tuple[bytes, bytes]]:
    """How an identity comes in a body: (content type, body)."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    def wrap(text: str) -> tuple[bytes, bytes]:
        amount = round(people.random.random() * 5000, 2)
        kind = people.random.randrange(11)
        if kind == 0:
            return b"text/csv", f"{amount},{quoted(text)},1\n".encode()
        if kind == 1:
            return b"text/csv", f"a,b\n1,2\n3,{quoted(text)}\n".encode()
        document: object = {
            2: {"instances": [[amount, text]]},
            3: {"employee": {"contact": [{"value": text}]}, "amount": amount},
            4: {"note": f"please pay {text} today, it is urgent"},
            5: {text: amount},
            6: {"inner": json.dumps({"v": text}), "amount": amount},
            7: {"query": f"who={quote(text)}"},
            8: {"packed": base64.b64encode(f"{amount},{quoted(text)},1".encode()).decode()},
            9: {"key": text, "value": amount, "lines": f"pay\n{text}\ntoday"},
            10: {"rows": [["a", json.dumps({"deep": json.dumps({"v": [text]})})]]},
        }[kind]
        return b"application/json", json.dumps(document, ensure_ascii=people.random.random() < 0.5).encode()

    return wrap


def traces(identity: str) -> set[str]:
    """How it would look if it were there: as it is, in JSON, and without its separators."""
    bare = "".join(one for one in identity if one.isalnum())
    return {
        identity,
        json.dumps(identity)[1:-1],
        quote(identity),
        base64.b64encode(identity.encode()).decode().rstrip("=")[:-1],
        *([bare] if any(map(str.isdigit, bare)) else []),
    }


@pytest.mark.parametrize("keyed", [True, False])
def test_no_planted_identity_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], keyed: bool) -> None:
    people = People(17 + keyed)
    wrap = shapes(people)
    key = tmp_path / "key"
    key.write_bytes(b"a key for this test alone")
    key.chmod(0o600)
    plan = Capture((tmp_path / "out").as_uri(), redaction=Redaction(key="k" if keyed else None))
    spec = ReplicaSpec(replica="r", fleet=FleetId("fraud", 1, "v"), config_name="c", containers=(), socket="")
    capture = CaptureSpec(
        plan=plan,
        spool=str(tmp_path / "spool" / "r"),
        spool_bytes=10**9,
        seconds=3600.0,
        roots=(str(tmp_path),),
        key_file=str(key) if keyed else None,
    )
    recorder = Recorder(spec, capture, lambda: True)
    recorder.start()
    planted: list[str] = []
    while len(planted) < PLANTED // 2:
        identity, answered, header = people.any(), people.any(), people.email()
        kind, body = wrap(identity)
        headers = {b"content-type": kind, b"x-amzn-sagemaker-custom-attributes": header.encode()}
        recorder.offer(1_700_000_000_000_000, headers, body, Answer(wrap(answered)[1], "application/json"))
        planted += [identity, answered, header]
        deadline = time.monotonic() + PATIENCE
        while len(recorder._waiting) > 5_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    recorder.close(PATIENCE)
    written = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    said = written + str(recorder.take_notes()) + capsys.readouterr().out
    assert written.count("\n") > len(planted) / 3 * 0.95
    assert [identity for identity in planted if any(trace in said for trace in traces(identity))] == []
    assert key.read_text() not in said


NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
HONEST = st.recursive(
    NUMBERS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(HONEST)
def test_honest_numbers_come_back_as_they_were(document: object) -> None:
    data = json.dumps(document).encode()
    found = Redactor(Redaction(), b"0123456789abcdef").redact(Body(data, "application/json", JSON), True)
    assert found is not None and json.loads(found.data) == document


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["CSV", "JSON", "BASE64"]), st.booleans())
def test_no_body_breaks_it(data: bytes, encoding: str, request_side: bool) -> None:
    rules = Redaction(columns=("a", "b"))
    found = Redactor(rules, None).redact(Body(data, "text/csv", encoding), request_side)
    assert found is None or isinstance(found.data, bytes)
