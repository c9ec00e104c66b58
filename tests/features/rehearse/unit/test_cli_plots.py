"""Plots of block characters on a terminal of any width; tables in a pipe."""

import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.unit.cli.terminal import run_on_terminal
from tidegate.cli.app import app
from tidegate.cli.sparklines import load_duration_rows, load_duration_table, year_rows, year_table
from tidegate.features.rehearse.runs_view import histogram, histogram_table
from tidegate.features.rehearse.timeline_view import plot_share

FRAUD = str(Path(__file__).parents[4] / "examples" / "fraud.yaml")
DRAWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2500-\u259f]")
"""Control characters but the line feed, lines of boxes, blocks."""
COST = (
    "cost",
    "estimate",
    "--instance",
    "ml.c5.large",
    "--traffic",
    "payroll",
    "--rps",
    "40",
    "--max",
    "9",
    "--savings",
    "1",
)
PLOTTED = {
    "timeline": ("rehearse", FRAUD),
    "cost": COST,
    "rehearse": ("rehearse", FRAUD, "--rps", "40", "--fault", "error-rate=20%", "--runs", "20"),
}
TABLES = {"timeline": "NEW SHARE", "cost": "MONTH", "rehearse": "RUNS"}


@pytest.mark.parametrize("name", PLOTTED)
def test_in_a_pipe_there_are_tables_and_nothing_is_drawn(name: str) -> None:
    for variables in ({}, {"FORCE_COLOR": "1"}) if name == "cost" else ({},):
        done = CliRunner().invoke(app, PLOTTED[name], env={"COLUMNS": None, **variables})
        assert done.exit_code == 0, (done.output, done.exception)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        assert DRAWN.findall(plain) == []
        assert TABLES[name] in plain and [line for line in plain.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("name", ["timeline", "cost"])
def test_on_a_terminal_a_plot_is_as_wide_as_there_is_room(name: str, columns: int) -> None:
    command = [sys.executable, "-m", "tidegate.cli", *PLOTTED[name]]
    status, screen, sent = run_on_terminal(command, {}, columns=columns)
    assert status == 0, sent
    rows = [
        line for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", sent).splitlines() if "│" in line or "└" in line
    ]
    assert len(rows) >= 9
    assert [row for row in rows if len(row.rstrip("\r")) > columns] == []
    assert "└" + "─" * min(64, columns - 8) in screen.text


def lines(*tables: object) -> list[str]:
    screen = Console(width=80, color_system=None)
    with screen.capture() as captured:
        screen.print(*tables)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_the_table_of_a_year_has_its_months() -> None:
    shown = lines(year_table([1.0] * 8700 + [10.0] * 60))
    assert shown[0] == "MONTH LEAST MEAN MOST" and shown[1] == "Jan 1 1 1"
    assert shown[12] == "Dec 1 1.74 10" and len(shown) == 13


def test_the_table_of_a_load_duration_curve_says_what_is_covered() -> None:
    shown = lines(load_duration_table([2.0] * 10 + [1.0] * 90, 1.5))
    assert shown[0] == "HOURS AT LEAST COVERED"
    assert shown[1] == "1 2 1.5" and shown[-1] == "100 1 1"


def test_the_table_of_a_histogram_counts_every_run() -> None:
    shown = lines(histogram_table([1.0, 2.0, 16.0]))
    assert shown[0] == "FROM TO RUNS" and sum(int(line.split()[-1]) for line in shown[1:]) == 3


@pytest.mark.parametrize("width", [20, 32, 64])
def test_plots_have_the_width_that_they_were_given(width: int) -> None:
    rows = [*year_rows([1.0, 2.0] * 99, width), *load_duration_rows([1.0, 2.0] * 99, 1.0, width)]
    assert [row.plain for row in rows if len(row.plain) > width + 8] == []
    assert all(len(row.plain) <= width + 22 for row in histogram([1.0, 2.0, 3.0], width))
    assert max(len(row.plain) for row in plot_share([], 10.0, max(width, 20))) <= max(width, 20) + 8
