"""The examples of docs/runtimes.md on a whole platform, and the same where the server runs no code."""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.unit.serving.runtimes.user_code_harness import folder
from tidegate.host.platform import Platform

pytestmark = pytest.mark.e2e
PAGE = (Path(__file__).parents[2] / "docs" / "runtimes.md").read_text()


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_TRUST": "code", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


def shown(kind: str, image: str) -> str:
    """The example of an image: its code or its spec."""
    section = PAGE.partition(f": `{image}`\n")[2].partition("\n## ")[0]
    [block] = re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def tidegate(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TIDEGATE_URL": platform.url}
    command = [sys.executable, "-m", "tidegate.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def script_example(where: Path) -> Path:
    """The spec, beside its model.tar.gz."""
    model = folder(where, inference=shown("python", "tidegate/script"))
    rows = np.random.default_rng(1).normal(size=(50, 3))
    joblib.dump(LogisticRegression().fit(rows, rows[:, 0] > 0), model / "model.joblib")
    with tarfile.open(where / "model.tar.gz", "w:gz") as archive:
        for path in sorted(model.rglob("*")):
            archive.add(path, path.relative_to(model).as_posix(), recursive=False)
    spec = where / "fraud.yaml"
    spec.write_text(shown("yaml", "tidegate/script"))
    return spec


def test_the_script_that_is_shown(platform: Platform, tmp_path: Path) -> None:
    deployed = tidegate(platform, "deploy", str(script_example(tmp_path)), "--wait")
    assert deployed.returncode == 0, deployed.stderr + deployed.stdout
    [line] = re.findall(r"^tidegate (invoke .*)$", PAGE, re.MULTILINE)
    body, kind = re.fullmatch(r"invoke fraud --body '(.*)' --content-type (\S+)", line).groups()  # type: ignore[union-attr]
    asked = tidegate(platform, "invoke", "fraud", "--body", body, "--content-type", kind)
    assert asked.returncode == 0, asked.stderr
    [score] = json.loads(asked.stdout)
    assert 0.5 < score <= 1
    assert tidegate(platform, "delete", "fraud", "--force").returncode == 0


def test_the_class_that_is_shown(platform: Platform, tmp_path: Path) -> None:
    model = folder(tmp_path, scoring=shown("python", "tidegate/python"))
    (model / "limit.txt").write_text("2000")
    spec = tmp_path / "fraud.yaml"
    spec.write_text(shown("yaml", "tidegate/python").replace("endpoint: fraud", "endpoint: python"))
    deployed = tidegate(platform, "deploy", str(spec), "--wait")
    assert deployed.returncode == 0, deployed.stderr + deployed.stdout

    def ask(body: str) -> subprocess.CompletedProcess[str]:
        return tidegate(platform, "invoke", "python", "--body", body, "--content-type", "application/json")

    assert json.loads(ask('{"amount": 500}').stdout) == {"score": 0.25, "country": "NO"}
    refused = ask('{"amount": "x"}')
    assert refused.returncode != 0
    assert "'amount' is a text, and must be a number" in refused.stderr


def test_without_trust_the_server_says_what_to_set(tmp_path: Path) -> None:
    spec = script_example(tmp_path)
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as careful:
        refused = tidegate(careful, "deploy", str(spec), "--wait")
        assert refused.returncode != 0
        assert "start it with TIDEGATE_TRUST=code" in refused.stderr + refused.stdout
        spec.write_text(spec.read_text().replace("tidegate/script", "tidegate/auto"))
        failed = tidegate(careful, "deploy", str(spec), "--wait")
        assert failed.returncode != 0
        assert "start the server with TIDEGATE_TRUST=code" in failed.stderr + failed.stdout
