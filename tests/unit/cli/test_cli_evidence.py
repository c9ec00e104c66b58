"""``evidence verify`` as a person runs it; ``show`` is in test_platform_evidence.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tests.features.evidence.unit.test_evidence import record
from tidegate.cli.app import app
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import RULES


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(replace(record(), rules=RULES)))
    return found


def verify(path: Path, document: object, *options: str) -> str:
    path.write_text(json.dumps(document))
    done = CliRunner().invoke(app, ["rollout", "evidence", "verify", str(path), *options])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_a_verdict_that_follows_from_its_inputs_is_confirmed(tmp_path: Path, document: dict[str, Any]) -> None:
    words = verify(tmp_path / "e.json", {**document, "recomputed": "ignored"})
    assert words.startswith(
        "fail: errors of variant main: 30.00% of the new version's 100 requests failed (1.11% expected from"
    )
    assert json.loads(verify(tmp_path / "e.json", document, "--json")) == document["verdict"]


def test_a_verdict_that_does_not_is_told(tmp_path: Path, document: dict[str, Any]) -> None:
    document["verdict"]["finding"] = "pass"
    with pytest.raises(Conflict, match="the verdict is pass, and fail follows from its blocks"):
        verify(tmp_path / "e.json", document)


def test_a_verdict_by_the_rules_of_an_earlier_version_is_not_judged_by_those_of_today(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    del document["rules"]
    document["verdict"]["finding"] = "pass"
    words = verify(tmp_path / "e.json", document)
    assert "its verdict (pass) was found by the rules of an earlier tidegate" in words
    assert "its blocks say fail: errors of variant main" in words
    assert json.loads(verify(tmp_path / "e.json", document, "--json"))["finding"] == "fail"


def test_what_is_no_evidence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"e\.json: "):
        verify(tmp_path / "e.json", {"verdict": 1})
    with pytest.raises(Invalid, match="No such file"):
        done = CliRunner().invoke(app, ["rollout", "evidence", "verify", str(tmp_path / "none.json")])
        assert done.exception is not None
        raise done.exception
