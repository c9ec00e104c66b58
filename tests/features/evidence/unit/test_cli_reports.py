"""Reports with plots of evidence, drift and labels: self-contained pages and images, of whatever names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.insight_scene import HOSTILE, NAME, evidence_record, fill_labels
from tests.unit.cli.stub_server import API, found, stub
from tests.unit.cli.test_cli_drift import folder as folder
from tidegate.cli import plot_png, report_files
from tidegate.cli.app import app
from tidegate.cli.plot_files import render_svg
from tidegate.cli.plot_shapes import BarPlot, CurvePlot, GroupPlot, IntervalPlot, IntervalRow, RankPlot, RankRow
from tidegate.cli.report_files import Report, ReportTable
from tidegate.domain.errors import Invalid
from tidegate.features.evidence.command_report import make_report
from tidegate.features.evidence.service import describe_timeline
from tidegate.features.evidence.timeline import trace_evidence
from tidegate.features.labels.store import LabelStore

PNG = b"\x89PNG\r\n"
PLOTS = (
    BarPlot(HOSTILE, HOSTILE, HOSTILE, [0, 1, 2], [3, 4], [(1, HOSTILE)]),
    CurvePlot(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        [(HOSTILE, [(0, 1), (1, 9)])],
        2,
        [(1, HOSTILE)],
        [(1, HOSTILE)],
        [(0, [(0, 0, 1)])],
    ),
    GroupPlot(HOSTILE, HOSTILE, HOSTILE, [HOSTILE], [(HOSTILE, [0.5])]),
    IntervalPlot(HOSTILE, HOSTILE, [IntervalRow(HOSTILE, 0.5, 0.5, 0.5)]),
    RankPlot(HOSTILE, HOSTILE, [RankRow(HOSTILE, 0.5, True)], (0.1, HOSTILE)),
)


def run(*arguments: str, **environment: str) -> Any:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "120", **environment})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def check_page(path: Path, *words: str) -> None:
    text = path.read_text()
    for word in words:
        assert word in text
    assert "<img" not in text and "<script" not in text and "\u202e" not in text
    assert not re.search(r'(?:src|href)="', text), "nothing is fetched"


def test_evidence_is_drawn_against_its_threshold(tmp_path: Path) -> None:
    record = evidence_record("r1")
    timeline = describe_timeline(record, None, trace_evidence(record))
    shown = {"verdict": {"finding": "fail", "reason": "so", "stage": 0, "results": []}, "blocks": {}, "late": 0}
    shown |= {"new_config": "v2", "old_config": "v1", "config": {"action": "rollback"}, "unusable": [0, 0]}
    path = f"{API}/endpoints/{NAME}/evidence"
    with stub({path: found(shown), f"{path}/timeline": found(timeline)}) as (url, _):
        files = (tmp_path / "e.html", tmp_path / "e.png")
        run("rollout", "evidence", "show", NAME, "--html", str(files[0]), "--png", str(files[1]), TIDEGATE_URL=url)
    check_page(
        files[0], "Verdict: fail", "fails from here on", "errors of AllTraffic", "latency of AllTraffic", "stage 2"
    )
    assert files[1].read_bytes().startswith(PNG)


@pytest.mark.parametrize("silent", [("new",), ("old", "new")])
def test_evidence_of_a_version_without_a_request_is_drawn(tmp_path: Path, silent: tuple[str, ...]) -> None:
    """A canary that nobody has asked yet has neither rates nor bounds."""
    record = evidence_record("r1")
    timeline = describe_timeline(record, None, trace_evidence(record))
    timeline["stages"] = timeline["stages"][:1]
    for side in silent:
        line = timeline["comparisons"][0][side]
        line["rates"], line["bounds"] = [None] * len(timeline["at"]), [None] * len(timeline["at"])
    report_files.write_report(make_report(timeline), tmp_path / "e.html", tmp_path / "e.png")
    check_page(tmp_path / "e.html", "fails from here on", *(["rates so far"] if len(silent) == 1 else []))
    assert (tmp_path / "e.png").read_bytes().startswith(PNG)


def test_drift_is_drawn_column_by_column(folder: Path, tmp_path: Path) -> None:
    table, cents = str(folder / "train.csv"), str(folder / "cents.jsonl")
    files = (tmp_path / "d.html", tmp_path / "d.png")
    more = ("--columns", "amount,country,rate", "--by", "country", "--html", str(files[0]), "--png", str(files[1]))
    done = run("drift", "check", NAME, "--baseline", table, "--captures", cents, *more, "--json")
    assert done.exit_code == 1 and json.loads(done.stdout)["drifted"] is True
    check_page(
        files[0], "amount (country=DE): distance 1.000, drifted", "matters from 0.1 on", "baseline_drift_check"
    )
    assert "drift: 3 columns" in files[0].read_text()
    assert files[1].read_bytes().startswith(PNG)


def test_late_labels_are_drawn_by_version(tmp_path: Path) -> None:
    fill_labels(tmp_path / "labels")
    told = {"endpoint": NAME, **(LabelStore(tmp_path / "labels", NAME).document() or {})}
    with stub({f"{API}/endpoints/{NAME}/labels": found(told)}) as (url, _):
        files = (tmp_path / "l.html", tmp_path / "l.png")
        run("labels", "measure", NAME, "--html", str(files[0]), "--png", str(files[1]), TIDEGATE_URL=url)
    check_page(files[0], "AUC of each version", "Delay from prediction to label", "Predictions that have a label")
    assert files[1].read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    "command",
    [
        ("rollout", "evidence", "show", NAME),
        ("labels", "measure", NAME),
        ("drift", "check", NAME, "--baseline", "b.csv"),
    ],
)
@pytest.mark.parametrize(("option", "name"), [("--html", "x.png"), ("--png", "x.html"), ("--png", "none/x.png")])
def test_a_file_that_cannot_be_written_is_refused_before_any_work(
    command: tuple[str, ...], option: str, name: str
) -> None:
    with pytest.raises(Invalid, match=option):
        run(*command, option, name, TIDEGATE_URL="http://127.0.0.1:1")


def test_labels_are_not_posted_and_drawn_at_once() -> None:
    with pytest.raises(Invalid, match="leave out --post"):
        run(
            "labels",
            "measure",
            NAME,
            "labels.jsonl",
            "--post",
            "--html",
            "x.html",
            TIDEGATE_URL="http://127.0.0.1:1",
        )


def test_nothing_that_is_drawn_is_markup_or_a_formula(tmp_path: Path) -> None:
    report = Report(HOSTILE, HOSTILE, [HOSTILE], [ReportTable(HOSTILE, [HOSTILE], [[HOSTILE]])], PLOTS)
    report_files.write_report(report, tmp_path / "r.html", tmp_path / "r.png")
    check_page(tmp_path / "r.html", "&lt;img src=x")
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)
    plot_png.save(
        tmp_path / "f.png", r"$\frac{", [GroupPlot(r"$\broken{$", "x", "y", ["$$", r"\$"], [("$", [1, 0])])]
    )
    assert "<img" not in render_svg(HOSTILE, PLOTS)


def test_an_image_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="nothing to draw: no blocks"):
        report_files.write_report(Report("t", "no blocks"), None, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_captured_samples_are_printed_without_steering_the_terminal(tmp_path: Path) -> None:
    body = {"content_type": "text/csv", "text": "1,\x1b[31m2", "note": "", "cut": True}
    sample = {
        "at": "2026-03-01T12:00:00Z",
        "variant": "v",
        "config": "c",
        "inference_id": HOSTILE,
        "attributes": "",
    }
    told = {"samples": [{**sample, "request": body, "answer": {**body, "text": None, "note": "too large"}}]}
    with stub({f"{API}/endpoints/{NAME}/capture/samples": found(told)}) as (url, seen):
        done = run("show", "capture", NAME, "--samples", "3", TIDEGATE_URL=url)
        assert (
            json.loads(run("show", "capture", NAME, "--samples", "3", "--json", TIDEGATE_URL=url).stdout) == told
        )
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    assert "request: 1,\ufffd[31m2 …" in done.stdout and "answer: too large" in done.stdout
    assert [one["path"].endswith("?limit=3") for one in seen] == [True, True]
