"""``tidegate compare``: its output, its page, and its exit status, with stand-ins for the models."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from tests.unit.cli.stub_server import found, stub
from tidegate.cli.app import app
from tidegate.domain.evidence import PairedTolerance
from tidegate.features.compare import page as compare_page
from tidegate.features.evidence.replay.report import ComparisonTerms, compare_versions
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply, ScoringRequest
from tidegate.features.evidence.replay.tolerances import DEFAULTS
from tidegate.features.evidence.spec_paired import PairedSpec, parse_paired
from tidegate.rows.capture_paths import file_name, layout
from tidegate.serving.contract.replica_spec import ReplicaSpec

Model = Callable[[float], float]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows with a label and a country, and models that are what their file's name says."""
    monkeypatch.chdir(tmp_path)
    lines = ["amount,country,fraud"]
    for place in range(400):
        lines.append(
            f"{place / 400},{'IN' if place % 4 == 0 else chr(27) + '<b>US</b>'},{int((place * 7) % 400 < place)}"
        )
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    for name in ("same", "half", "turned", "words", "mixed", "down", "up", "more", "most", "pair", "faulty"):
        (tmp_path / name).write_text("")
    models: dict[str, Callable[[float], object]] = {
        "same": lambda amount: amount,
        "half": lambda amount: amount / 2,
        "turned": lambda amount: 1 - amount,
        "down": lambda amount: amount * 0.99,
        "up": lambda amount: amount * 1.02,
        "more": lambda amount: amount * 1.024,
        "most": lambda amount: amount * 1.03,
        "pair": lambda amount: f"{amount},{2 - amount}",
        "faulty": lambda amount: f"{amount},{amount}",
        "words": lambda amount: "fraud",
        "mixed": lambda amount: amount * (0.4 if round(amount * 400) % 4 == 0 else 1.2),
    }

    def score(spec: ReplicaSpec, requests: Sequence[ScoringRequest], *_: object) -> list[ScoringReply]:
        model = models[Path(str(spec.containers[0].data_url)).name]
        return [ScoringReply(str(model(float(each.body))).encode(), "text/csv") for each in requests]

    monkeypatch.setattr("tidegate.features.evidence.replay.scoring.run.score", score)
    return tmp_path


def run(*arguments: str, rows: str = "rows.csv", leave_out: str = "country,fraud") -> Any:
    given = ["compare", *arguments, "--rows", rows, "--leave-out", leave_out]
    return CliRunner().invoke(app, given, env={"COLUMNS": "80"})


def test_what_has_not_changed_passes(folder: Path) -> None:
    done = run("same", "same", "--label", "fraud")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "verdict: pass"


def test_people_read_what_changed_in_eighty_columns(folder: Path) -> None:
    done = run("same", "half", "--label", "fraud", "--by", "country")
    assert done.exit_code == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout and "<b>US</b>" in done.stdout
    for said in ("rank correlation", "AUC", "mean score: 50 % is more than 15 %", "verdict: harm"):
        assert said in done.stdout


def test_programs_read_json(folder: Path) -> None:
    done = run("same", "turned", "--label", "fraud", "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 1 and document["verdict"] == "harm"
    assert document["overall"]["rank_correlation"] == -1
    assert document["labelled"]["auc_change"] < -0.5
    assert document["changed_most"][0]["number"] == 1 and document["changed_most"][0]["row"]["country"] == "IN"


def test_a_slice_is_harmed_though_the_whole_is_not(folder: Path) -> None:
    assert run("same", "mixed", "--tolerance", "rank=none").exit_code == 0
    done = run("same", "mixed", "--tolerance", "rank=none", "--by", "country")
    assert done.exit_code == 1 and "mean score of a slice (IN): 60 % is more than 50 %" in done.stdout


def test_each_output_is_compared_and_shown(folder: Path) -> None:
    assert run("pair", "pair", *["--with", "honest=pair,pair,pair"]).exit_code == 0
    done = run("pair", "faulty", "--by", "country", "--html", "report.html")
    assert done.exit_code == 1 and max(map(len, done.stdout.splitlines())) <= 80
    lines = done.stdout.splitlines()
    assert "output 1: pass" in lines and "output 2: harm" in lines and lines[-1] == "verdict: harm"
    assert "<h2>output 2: harm</h2>" in (folder / "report.html").read_text()


def test_what_labels_say_of_each_slice_is_shown(folder: Path) -> None:
    done = run("same", "same", "--by", "country", "--label", "fraud")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert any(line.startswith("SLICES BY LABELS ") for line in done.stdout.splitlines())
    assert any(line.startswith("loss IN ") for line in done.stdout.splitlines())


HONEST = ("--with", "honest=down,up,same")


def test_tolerances_are_learned_from_honest_versions(folder: Path) -> None:
    """A quarter more than the largest of them."""
    assert run("same", "most").exit_code == 0
    done = run("same", "most", *HONEST)
    assert done.exit_code == 1 and "mean score: 3 % is more than 2.5 %" in done.stdout
    told = " ".join(done.stdout.split()).partition("for evidence, tolerance: ")[2].partition("}}")[0]
    tolerance = yaml.safe_load(told + "}}")["paired"]
    assert set(tolerance) == set(PairedTolerance.__dataclass_fields__)
    assert 0.05 < (parse_paired(msgspec.convert(tolerance, PairedSpec), ()).bias or 0) < 0.3
    assert json.loads(run("same", "most", *HONEST, "--json").stdout)["tolerance_of_pairs"]["failed"] == 0.01
    assert run("same", "more", *HONEST, "--tolerance", "moved=none", "--tolerance", "rank=1%").exit_code == 0
    assert run("same", "most", *HONEST, "--tolerance", "mean=4%", "--tolerance", "rank=1%").exit_code == 0


def test_an_honest_version_that_cannot_be_compared_teaches_nothing(folder: Path) -> None:
    done = run("same", "same", "--with", "honest=down,up,words")
    assert done.exit_code == 1 and "honest version words in place of the new one" in " ".join(done.stdout.split())


def test_the_page_is_self_contained_and_escaped(folder: Path) -> None:
    run("same", "half", "--by", "country", "--label", "fraud", "--html", "report.html")
    text = (folder / "report.html").read_text()
    assert "<svg" in text and "Verdict: harm" in text and "&lt;b&gt;US&lt;/b&gt;" in text
    assert "<b>US" not in text and "<script" not in text and 'src="' not in text and "href" not in text


@pytest.mark.parametrize(
    ("old", "new"),
    [([0.0] * 4, [0.0] * 4), ([-5.0, 3.0], [2.0, -1e100]), ([7.0], [7.0]), ([1e-320, 0.5], [1e100, 0.5])],
)
def test_any_scores_can_be_drawn(old: list[float], new: list[float]) -> None:
    answers = ScoredRows(old, new, [None] * len(old), [{}] * len(old))
    result = compare_versions(answers, ComparisonTerms(DEFAULTS, fewest_rows=1))
    text = compare_page.render(("old", "new"), result, {"": answers})
    assert text.count("<svg") == 1 and "nan" not in text and "inf" not in text


def test_the_page_is_written_of_what_cannot_be_compared_too(folder: Path) -> None:
    done = run("same", "words", "--html", "report.html")
    assert done.exit_code == 1 and "verdict: unknown" in done.stdout
    assert "Verdict: unknown" in (folder / "report.html").read_text()


def test_answers_that_are_no_numbers_are_unknown(folder: Path) -> None:
    done = run("same", "words", "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["verdict"]) == (1, "unknown")
    assert "400 of 400 answers of the new version are not a number" in document["reasons"][0]


def test_too_few_rows_are_unknown(folder: Path) -> None:
    done = run("same", "same", "--with", "least_rows=401")
    assert done.exit_code == 1 and "400 rows are too few" in done.stdout


def test_no_rows_are_unknown(folder: Path) -> None:
    (folder / "empty.csv").write_text("amount,country,fraud\n")
    done = run("same", "same", rows="empty.csv")
    assert done.exit_code == 1 and "there are no rows" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("same",), "expected OLD and NEW"),
        (("same", "same", "--tolerance", "auc=0.1"), "it needs --label"),
        (("same", "same", "--tolerance", "slice=5%"), "it needs --by"),
        (("same", "same", "--tolerance", "speed=5%"), "expected NAME=VALUE"),
        (("same", "same", "--by", "city"), "no row has such a column"),
        (("same", "same", "--with", "honest=same"), "from 3 versions or more"),
        (("same", "same", "--with", "least_rows=1"), "expected a whole number from 2"),
        (("same", "same", "--with", "step=x"), "expected a number from 0"),
        (("same", "same", "--with", "within=0"), "must be at least 1s"),
        (("same", "same", "--with", "colour=red"), "expected NAME=VALUE"),
        (("same", "nothing"), "there is no such file or folder"),
        (("same", "same", "--html", "report.pdf"), "ends in .html"),
        (("same", "same", "--html", "none/report.html"), "there is no folder"),
        (("same", "same", "--with", "score=a..b"), "is no place of a score"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_started(
    folder: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tidegate.features.evidence.replay.scoring.run.score", lambda *_: pytest.fail("a model was started")
    )
    done = run(*arguments)
    assert done.exit_code != 0 and said in " ".join(str(done.exception or done.output).split())


def test_captures_have_no_labels(folder: Path) -> None:
    (folder / "captures").mkdir()
    done = run("same", "same", "--label", "fraud", rows="captures")
    assert done.exit_code != 0 and "captures have no labels" in str(done.exception)


def served(folder: Path) -> dict[str, Any]:
    """The kept model data, under its digest."""
    kept = folder / "state" / "artifacts" / "same"
    kept.mkdir(parents=True)
    api = "/tidegate/v1"
    variants = [{"name": "blue", "shadow": False}]
    entry = {"state": "Serving", "version": 4, "config": "fraud-4", "variants": variants}
    return {
        f"{api}/endpoints/fraud/history": found({"versions": [{**entry, "artifact_digests": {"blue": ["same"]}}]}),
        f"{api}/version": found({"state": str(folder / "state")}),
        "SageMaker.DescribeEndpointConfig": found(
            {"ProductionVariants": [{"VariantName": "blue", "ModelName": "m"}]}
        ),
        "SageMaker.DescribeModel": found(
            {"ModelName": "m", "PrimaryContainer": {"Image": "tidegate/auto", "ModelDataUrl": "s3://gone/m"}}
        ),
    }


def captured(amount: float, at: datetime) -> str:
    side = {"data": str(amount), "encoding": "CSV", "observedContentType": "text/csv"}
    about = {"inferenceTime": at.isoformat(), "eventId": "e"}
    return json.dumps({"captureData": {"endpointInput": side}, "eventMetadata": about})


def compare_captured(folder: Path, lines: list[str], *more: str) -> Any:
    """What the endpoint's server says, and a file of its captures of this hour."""
    now = datetime.now(UTC)
    below = layout(file_name(now.timestamp(), str(uuid4())))
    assert below is not None
    path = folder / "captures" / "fraud" / "blue" / below
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines))
    answers = {**served(folder), "/tidegate/v1/endpoints/fraud/capture": found(
        {"captures": [{"destination": (folder / "captures").as_uri(), "variant": "blue"}]}
    )}  # fmt: skip
    with stub(answers) as (url, _):
        given = ["compare", "--endpoint", "fraud", "--candidate", "same", "--captured", "last-7d", "--json", *more]
        return CliRunner().invoke(app, given, env={"TIDEGATE_URL": url})


def test_rows_may_be_what_the_endpoint_captured_of_some_days(folder: Path) -> None:
    now = datetime.now(UTC)
    lines = [captured(place / 400, now) for place in range(400)]
    old = [captured(0.5, now - timedelta(days=8))] * 50
    done = compare_captured(folder, [*lines, *old, "{broken"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["overall"]["rows"], document["captures_drawn_from"]) == (400, 400)
    assert document["captures_skipped"] == {"broken line": 1}


def test_captures_of_which_many_are_broken_are_no_pass(folder: Path) -> None:
    now = datetime.now(UTC)
    done = compare_captured(folder, [*(captured(place / 400, now) for place in range(400)), *["{broken"] * 100])
    document = json.loads(done.stdout)
    assert (done.exit_code, document["verdict"]) == (1, "unknown")
    assert document["reasons"] == ["100 of 500 captures are broken: what was in them is not known"]


def test_an_empty_window_is_no_pass(folder: Path) -> None:
    done = compare_captured(folder, [captured(0.5, datetime.now(UTC) - timedelta(days=8))])
    assert done.exit_code == 1 and json.loads(done.stdout)["reasons"] == ["there are no rows"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("same", "same", "--captured", "last-7d"), "give --endpoint NAME"),
        (("same", "--endpoint", "fraud", "--captured", "last-7d", "--label", "x"), "captures have no labels"),
        (("same", "--endpoint", "fraud", "--captured", "last-week"), "the rows last-week cannot be read"),
        (("same", "--endpoint", "fraud", "--captured", "last-7x"), "--captured"),
        (("same", "--endpoint", "fraud", "--captured", "last-999999d"), "at most"),
        (("same", "--endpoint", "fraud", "--captured", "last-99999d"), "at most"),
        (("same", "same", "--rows", "rows.csv", "--candidate", "same"), "expected OLD and NEW"),
    ],
)
def test_what_is_compared_is_given_once(folder: Path, given: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["compare", *given])
    assert done.exit_code != 0 and said in str(done.exception)


def test_an_endpoint_is_what_it_serves(folder: Path) -> None:
    answers = served(folder)
    with stub(answers) as (url, _):
        given = ["compare", "--endpoint", "fraud", "same", "--rows", "rows.csv", "--leave-out", "country,fraud"]
        done = CliRunner().invoke(app, [*given, "--json"], env={"TIDEGATE_URL": url})
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["old"] == "fraud (version 4)"
