"""The progress bar: on a terminal, after a second, on standard error; silent everywhere else."""

import io
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.app import app
from tidegate.cli.progress import ProgressBar
from tidegate.host.platform import wait_until

SPEC = """
endpoint: fraud
model: {image: tidegate/xgboost, data: ./model.tar.gz}
rollout: {strategy: canary, size: 10%, wait: 10m}
alarms:
  errors: {metric: Invocation5XXErrors, statistic: Average, above: 2%}
"""


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Not a fixture: pytest puts its own standard error in place between set-up and test."""
    shown = Screen()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return shown


def test_what_takes_long_is_shown_with_what_is_done_now(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    with ProgressBar("starting [one]", 3, after=0) as bar:
        wait_until(lambda: "starting [one]" in screen.getvalue(), "the bar", 20)
        bar.update(1, "asking the second")
        wait_until(lambda: "asking the second" in screen.getvalue(), "the next step", 20)
    ended = screen.getvalue()
    bar.update(2, "after the end")
    assert screen.getvalue() == ended


def test_what_is_over_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    with ProgressBar("quick", after=3600) as bar:
        bar.update(1)
    assert screen.getvalue() == ""


def test_nothing_is_shown_to_programs_or_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    with ProgressBar("quiet", quiet=True, after=0) as bar:
        bar.update(1)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with ProgressBar("in a pipe", after=0) as bar:
        bar.update(1)
    assert screen.getvalue() == pipe.getvalue() == ""


def test_an_error_removes_the_bar_and_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    with pytest.raises(ValueError, match="no"), ProgressBar("failing", after=0):
        wait_until(lambda: "failing" in screen.getvalue(), "the bar", 20)
        raise ValueError("no")
    assert screen.getvalue().endswith("\x1b[2K"), "the line is empty again"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("rehearse.command", ("rehearse", "SPEC", "--rps", "40", "--only", "detection")),
        ("planner.command", ("plan", "--example", "salary-benchmarking")),
        ("monitor.command", ("drift", "schedule", "baseline", "TABLE", "--out", "OUT")),
    ],
)
def test_commands_that_compute_show_their_progress_but_not_to_programs(
    module: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "rows.csv").write_text("amount,hours\n" + "".join(f"{n},{n % 7}\n" for n in range(50)))
    places = {"SPEC": "spec.yaml", "TABLE": "rows.csv", "OUT": "baseline.json"}
    command = [str(tmp_path / places[word]) if word in places else word for word in words]
    made = list[bool]()

    class Watched(ProgressBar):
        def __init__(self, what: str, total: float | None = None, *, quiet: bool = False) -> None:
            made.append(quiet)
            super().__init__(what, total, quiet=True)

    monkeypatch.setattr(f"tidegate.features.{module}.ProgressBar", Watched)
    for further, quiet in (([], False), (["--json"], True)):
        result = CliRunner().invoke(app, [*command, *further])
        assert result.exit_code == 0, result.output
        assert made.pop() is quiet and not made
