"""``replay`` and ``trace`` as a person runs them; a stub stands in for the server."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.unit.cli.stub_server import stub
from tests.unit.cli.test_cli_commands import tidegate
from tidegate.cli.plot_files import write_plot
from tidegate.cli.plot_shapes import CurvePlot, hold, round_up

FLEETS = [{"ready": 2, "copies": None}, {"ready": 1, "copies": 20.0}]
ANSWERS = {
    "/tidegate/v1/endpoints/fraud": (200, json.dumps({"fleets": FLEETS}).encode()),
    "/endpoints/fraud/invocations": (200, b"0.5"),
}


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("amount,hour\n1,2\n3,4\n")
    return str(path)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("at,count\n0,20\n60,40\n")
    return path


def test_a_trace_is_sent_whole_and_told(tmp_path: Path, trace: Path, rows: str) -> None:
    html = tmp_path / "out.html"
    options = ("--endpoint", "fraud", "--payloads", rows, "--speed", "60", "--plot", str(html), "--json")
    with stub(ANSWERS) as (url, seen):
        done = tidegate("replay", "run", str(trace), *options, TIDEGATE_URL=url)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["sent"], told["answered"], told["failed"]) == (60, 60, 0)
    assert (told["fewest_instances"], told["most_instances"]) == (2, 2), "shadows take no requests"
    asked = [one for one in seen if one["method"] == "POST"]
    assert {one["body"] for one in asked} == {b"1,2", b"3,4"}, "the header is no payload"
    assert {one["headers"]["Content-Type"] for one in asked} == {"text/csv"}
    page = html.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "<svg" in page and "://" not in page, "a picture that needs no network"


def test_refusals_are_part_of_the_answer(trace: Path, rows: str) -> None:
    sent = ("--endpoint", "fraud", "--payloads", rows, "--speed", "120")
    full = {**ANSWERS, "/endpoints/fraud/invocations": (503, b"{}")}
    with stub(full) as (url, _):
        done = tidegate("replay", "run", str(trace), *sent, TIDEGATE_URL=url)
    assert done.returncode == 0
    assert "failed     60 (503: 60)" in done.stdout
    assert "instances  2 to 2" in done.stdout


def test_requests_are_signed_where_there_are_keys(trace: Path, rows: str) -> None:
    sent = ("--endpoint", "fraud", "--payloads", rows, "--speed", "120")
    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    with stub(ANSWERS) as (url, seen):
        tidegate("replay", "run", str(trace), *sent, TIDEGATE_URL=url, **keys)
    assert all("Credential=AKID/" in one["headers"]["Authorization"] for one in seen)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--plot", "out.pdf"), "--plot out.pdf: expected a name that ends in .svg, .html or .png"),
        (("--plot", "nowhere/out.html"), "--plot nowhere/out.html: there is no folder"),
        (("--header", "X"), "--header 'X': expected NAME:VALUE"),
        (("--payloads", "nowhere.csv"), "nowhere.csv: No such file or directory"),
        (("--speed", "0"), "speed 0 and scale 1: both must be above 0"),
    ],
)
def test_what_cannot_be_done_is_said(trace: Path, rows: str, more: tuple[str, ...], message: str) -> None:
    with stub(ANSWERS) as (url, _):
        done = tidegate(
            "replay", "run", str(trace), "--endpoint", "fraud", "--payloads", rows, *more, TIDEGATE_URL=url
        )
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_traces_are_made(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    told = json.loads(tidegate("replay", "trace", "bank-calls", "--out", str(out), "--days", "1", "--json").stdout)
    assert told["seconds"] == 86_400 and told["highest_rate"] > 3 * told["lowest_rate"]
    assert out.read_text().startswith(
        "# tidegate replay trace bank-calls: mean 10/s, 1 days from a Monday, seed 0\nat,count\n"
    )
    done = tidegate("replay", "trace", "december", "--out", str(out), "--first", "23", "--days", "1")
    assert done.returncode == 0 and "requests in 24 h" in done.stdout


def test_a_page_is_well_formed_whatever_it_is_called(tmp_path: Path) -> None:
    held = hold([(0, 1.0), (1, None), (2, 3.0), (3, 4.0)])
    curves: list[tuple[str, list[tuple[float, float | None]]]] = [("x", held), ("y", [(0, None), (2, None)])]
    plots = [
        CurvePlot('a<b & "c"', "seconds", "", curves, 4.0),
        CurvePlot("empty", "seconds", "", [("z", [])], 0.0),
    ]
    path = tmp_path / "out.html"
    write_plot(path, "t<i>", plots, [("<k>", "<v>")])
    text = path.read_text()
    body = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    drawn = [one.attrib["points"].split() for one in body.findall(".//{*}polyline")]
    assert [len(points) for points in drawn] == [2, 3], "where a value is missing the line is, too"
    assert "<i>" not in text and "<k>" not in text
    write_plot(tmp_path / "out.png", "t<i>", plots)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("values", "top"), [([], 1), ([None, 0.0], 1), ([7.2], 8.0), ([0.031], 0.04), ([10], 10)])
def test_an_axis_ends_at_a_round_number(values: list[float | None], top: float) -> None:
    assert round_up(values) == pytest.approx(top)
