"""The process that answers rows: what it is given, and every way in which it can end badly."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tidegate.domain.errors import ArtifactError, StartTimeout, TidegateError
from tidegate.features.evidence.replay.scoring.exchange import ScoringRequest
from tidegate.features.evidence.replay.scoring.models import make_replica, model_at
from tidegate.features.evidence.replay.scoring.run import score
from tidegate.host.platform import wait_until
from tidegate.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[4]
ROW = [ScoringRequest(b"1,2", "text/csv")]
HANDLER = """
import json, os, time
def model_fn(folder):
    if os.environ.get("WHEN") == "load": os._exit(9)
    return os.environ.get("WHEN", "")
def input_fn(body, kind): return body
def predict_fn(body, model):
    if model == "answer": os._exit(7)
    if model == "hang": time.sleep(600)
    if model == "raise": raise ValueError("no such country")
    return [len(body), "SECRET_WORD" in os.environ]
def output_fn(found, accept): return json.dumps(found)
"""


def ask(folder: Path, when: str, seconds: float = 60) -> list[tuple[bytes, str]]:
    """A model that is code of its own."""
    data, work = folder / "data", folder / "work"
    (data / "code").mkdir(parents=True)
    work.mkdir()
    (data / "code" / "inference.py").write_text(HANDLER)
    trusting = Settings.from_environment({"TIDEGATE_TRUST": "code"})
    replica = make_replica(model_at(data, trusting, NOW), trusting, work, None)
    environment = {**os.environ, "WHEN": when, "SECRET_WORD": "do not tell"}
    return [(one.body, one.problem) for one in score(replica, ROW, work, environment, seconds)]


def test_it_answers_and_does_not_get_secrets(tmp_path: Path) -> None:
    ((body, problem),) = ask(tmp_path, "")
    assert (json.loads(body), problem) == ([3, False], "")


def test_an_error_of_the_model_is_a_reply(tmp_path: Path) -> None:
    ((body, problem),) = ask(tmp_path, "raise")
    assert body == b"" and "no such country" in problem


@pytest.mark.parametrize("when", ["load", "answer"])
def test_a_process_that_dies_is_no_answer(tmp_path: Path, when: str) -> None:
    with pytest.raises(TidegateError, match="the process of the model ended with status"):
        ask(tmp_path, when)


def test_a_model_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(StartTimeout, match="the model did not answer 1 rows within 3 s"):
        ask(tmp_path, "hang", seconds=3)


def test_it_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; from pathlib import Path\n"
    code += (
        f"from tests.features.evidence.unit.test_scoring_run import ask; ask(Path({str(tmp_path)!r}), 'hang', 100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as starter:
        try:
            (child,) = wait_until(psutil.Process(starter.pid).children, "the model's process")
        finally:
            starter.kill()
    _, alive = psutil.wait_procs([child], timeout=30)
    assert alive == []


def test_data_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    work = tmp_path / "work"
    work.mkdir()
    plain = Settings.from_environment({})
    replica = make_replica(model_at(tmp_path / "notes.txt", plain, NOW), plain, work, None)
    with pytest.raises(ArtifactError):
        score(replica, ROW, work, os.environ, 60)
