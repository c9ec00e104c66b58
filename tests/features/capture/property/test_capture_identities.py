"""Planted identities: none of 10,000 is left on disk, in the log or in the metrics, however it is written."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.identities import People, find_traces, wrap_in
from tidegate.domain.capture import Capture, Redaction
from tidegate.domain.fleet import FleetId
from tidegate.features.capture.records import JSON, Body
from tidegate.features.capture.redaction import Redactor
from tidegate.features.capture.worker.recorder import Recorder
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

PLANTED = 10_000
PATIENCE = 300.0


@pytest.mark.parametrize("keyed", [True, False])
def test_no_planted_identity_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], keyed: bool) -> None:
    people = People(17 + keyed)
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
        kind, body = wrap_in(people, identity)
        headers = {b"content-type": kind, b"x-amzn-sagemaker-custom-attributes": header.encode()}
        recorder.offer(
            1_700_000_000_000_000, headers, body, Answer(wrap_in(people, answered)[1], "application/json")
        )
        planted += [identity, answered, header]
        deadline = time.monotonic() + PATIENCE
        while len(recorder._waiting) > 5_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    recorder.close(PATIENCE)
    written = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    said = written + str(recorder.take_notes()) + capsys.readouterr().out
    assert written.count("\n") > len(planted) / 3 * 0.95
    assert [identity for identity in planted if any(trace in said for trace in find_traces(identity))] == []
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
