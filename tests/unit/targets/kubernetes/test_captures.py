"""Data capture by pods: they write to a bucket, and what they cannot deliver before they end is counted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.targets.kubernetes.target_harness import OPTIONS
from tests.unit.targets.kubernetes.test_shadows import copied
from tidegate.domain.capture import Capture, Redaction
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.process import serve
from tidegate.settings import Settings
from tidegate.targets.kubernetes.pod_template import MARGIN
from tidegate.targets.kubernetes.provider import capabilities
from tidegate.targets.kubernetes.start_data import CAPTURE_FAREWELL, start_data

PLAN = Capture("s3://captures/fraud", 20, redaction=Redaction())


def start(capture: Capture) -> bytes:
    fleet = copied()
    captured = replace(fleet, variant=replace(fleet.variant, capture=capture))
    return start_data(captured, Settings(capture_seconds=30), ImageTable(), OPTIONS)


def test_workers_are_told_what_to_capture_and_to_deliver_before_they_end() -> None:
    capture = json.loads(start(PLAN))["capture"]
    assert (capture["plan"]["destination"], capture["plan"]["percent"]) == ("s3://captures/fraud", 20)
    assert (capture["seconds"], capture["taken_over"], capture["farewell"]) == (30.0, False, CAPTURE_FAREWELL)
    assert CAPTURE_FAREWELL + 1 < MARGIN
    assert capabilities(Settings(), OPTIONS).capture


def test_what_is_switched_off_is_not_captured() -> None:
    assert json.loads(start(replace(PLAN, enabled=False)))["capture"] is None


def test_a_container_that_is_started_again_has_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside that of the one before it, from which it delivers what is left."""
    file = tmp_path / "start.json"
    file.write_bytes(start(PLAN))
    monkeypatch.setenv("TIDEGATE_REPLICA", "pod-1")
    specs = [serve._spec(tmp_path, [str(file)]) for _ in range(2)]
    folders = [Path(one.capture.spool) for one in specs if one.capture is not None]
    assert len({*folders}) == 2 and {one.parent for one in folders} == {tmp_path / "capture"}
