"""Every table fits the screen, whatever its width, and no cell of a key column is cut."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from tests.unit.cli.stub_server import (
    API,
    AT,
    activity_document,
    alarm_document,
    endpoint_document,
    found,
    stub,
)
from tests.unit.cli.terminal import run_on_terminal
from tidegate.cli.app import app
from tidegate.cli.tables import Table, address, key, number, secondary, sentence
from tidegate.features.recommender.carrier_table import CARRIERS, carrier_row
from tidegate.features.recommender.estimates import Carrier

FRAUD = str(Path(__file__).parents[3] / "examples" / "fraud.yaml")
NAME = "payroll-fraud-eu"
LONG = "payroll-fraud-detection-in-production-of-the-whole-of-europe-01"
REQUEST = "0f8fad5b-d9cb-469f-a165-70867728950e"
OUTPUT = f"s3://answers-of-the-fraud-team/{NAME}/{REQUEST}.out"
WIDTHS = (80, 100, 160)

QUEUE = {
    "backlog": {"waiting": 3, "working": 1, "oldest": None},
    "requests": [
        {"inference_id": REQUEST, "state": "processing", "tries": 2, "output": OUTPUT, "outcome": None},
        {
            **{"inference_id": "mine-1", "state": "done", "tries": 1, "output": OUTPUT},
            "outcome": {"end": "failed", "at": AT, "reason": "the model answered 500: " + "because " * 12},
        },
    ],
}
SCALING = {
    "targets": [
        {
            **endpoint_document(NAME)["scaling"][0],
            "policies": [
                {
                    **{"name": "InvocationsPerInstance-target-tracking", "kind": "target tracking"},
                    **{"content": {"target": 6000.0, "cooldown": 300}, "alarms": [{"state": "OK"}] * 2},
                }
            ],
            "scheduled_actions": [
                {
                    **{"name": "pay-days", "minimum": 4, "maximum": 10},
                    **{"schedule": "days(0 8 15,L * working+1)", "timezone": "America/New_York"},
                }
            ],
        }
    ],
    "activities": [
        {
            **{"started_at": AT, "variant": "AllTraffic", "before": 2, "desired": 4, "status": "Successful"},
            **{"not_scaled": [], "message": "", "cause": "monitor alarm TargetTracking-AlarmHigh in ALARM " * 3},
        }
    ],
}
MODEL = {
    **{"name": "clients/of-the-west/acme-corporation.tar.gz", "state": "loaded", "bytes": 20_000},
    **{"requests_per_second": 1.25, "pinned": True, "version": "1", "reason": ""},
}
MODELS = {
    "replicas": [
        {"replica": "r-1", "memory": 2**30, "held": 20_000, "resident": 0, "loaded": 1, "models": [MODEL]},
        {"replica": "r-2"},
    ]
}
SIDE = {"requests": 1_200_000.0, "errors": 0.0125, "p50_ms": 1110.61, "p99_ms": 1911.5}
SHADOW = {
    **{"seconds": 600, "kept": "/state/shadow/fraud"},
    "comparisons": [
        {
            **{"config": f"{NAME}-1e6283f8", "variant": "AllTraffic", "shadow": "candidate", "share": 20.0},
            **{"copies": 240.0, "failed": 3.0, "dropped": 2.0, "compared": 237.0, "agreement": 0.9873},
            **{
                "with_numbers": 230.0,
                "mean_difference": 0.00251,
                "largest_difference": 0.25,
                "original": SIDE,
                "copied": SIDE,
            },
        }
    ],
}
AT_REST = endpoint_document(NAME, rollout=None, status="InService")
SERVER: Mapping[str, tuple[int, bytes]] = {
    f"{API}/endpoints": found({"endpoints": [endpoint_document(NAME), endpoint_document(LONG)]}),
    f"{API}/endpoints/{NAME}": found(endpoint_document(NAME)),
    f"{API}/endpoints/{NAME}/live": found({"fleets": [activity_document(f"{NAME}-8c2f11aa")]}),
    f"{API}/endpoints/{NAME}/queue": found(QUEUE),
    f"{API}/endpoints/{NAME}/scaling": found(SCALING),
    f"{API}/endpoints/{NAME}/models": found(MODELS),
    f"{API}/endpoints/{NAME}/shadow": found(SHADOW),
    f"{API}/alarms": found(
        {"alarms": [alarm_document(f"{NAME}-8c2f11aa-errors"), alarm_document(f"{LONG}-8c2f11aa-slow", "ALARM")]}
    ),
}


@dataclass(frozen=True)
class Case:
    """A command, and what must be in its output whole. ``server``: answers."""

    arguments: tuple[str, ...]
    cells: tuple[str, ...]
    server: Mapping[str, tuple[int, bytes]] = field(default_factory=lambda: SERVER)


LISTED = (
    "UpdateRollbackFailed",
    "ActivatingTraffic 10/10, 75 %, paused",
    "INSUFFICIENT_DATA",
    "22/24",
    NAME,
    LONG,
)
CASES = {
    "status": Case(("status",), LISTED),
    "status of one": Case(
        ("status", NAME),
        ("75 %", "11/12 +1", "1,234.5", "112.5 ms", "1,909.2 ms", "ERRORS/S", "INSUFFICIENT_DATA", "AllTraffic"),
    ),
    "alarms": Case(
        (
            "show",
            "alarms",
        ),
        (f"{NAME}-8c2f11aa-errors", f"{LONG}-8c2f11aa-slow", "INSUFFICIENT_DATA", "ALARM"),
    ),
    "queue": Case(("queue", "show", NAME), (REQUEST, "processing", "done", "mine-1", "2")),
    "scaling": Case(
        ("show", "scaling", NAME),
        (
            "InvocationsPerInstance-target-tracking",
            "target tracking",
            "OK, OK",
            "2",
            "10",
            "Successful",
            "pay-days",
        ),
    ),
    "models": Case(
        ("show", "models", NAME),
        (str(MODEL["name"]), "loaded, pinned", "19.5 KiB/1.0 GiB", "1.25", "(no response)"),
    ),
    "shadow": Case(
        ("compare", "--shadow", NAME), ("1,200,000", "1.25 %", "1,110.61 ms", "1,911.50 ms", "candidate (shadow)")
    ),
    "timeline": Case(("rehearse", FRAUD), ("3:10:31", "ActivatingTraffic", "25 %", "100 %", "Terminating")),
    "detection": Case(
        ("rehearse", FRAUD, "--rps", "40", "--only", "detection"),
        ("+0.519 %", "+42.4ms", "0.0029 %", "108,000", "1h 00m", "10m 00s"),
    ),
    "prices": Case(
        ("cost", "prices", "ml.c5.18xlarge", "--region", "us-east-1"),
        ("sagemaker-hosting/ml.c5.18xlarge", "us-east-1", "hour", "3.672"),
    ),
    "cost": Case(
        ("cost", "estimate", "--min", "2", "--max", "10", "--traffic", "payroll", "--rps", "40", "--savings", "1"),
        (
            "sagemaker-hosting/ml.c5.xlarge",
            "297.84",
            "0.204",
            "20% (usual)",
            "2.00 instances",
            "over 80% of hours",
        ),
    ),
    "cost of two": Case(
        (
            "cost",
            "estimate",
            "--rps",
            "2",
            "--traffic",
            "business_hours",
            "--compare",
            "serverless:2GB",
            "--with",
            "year=2026",
        ),
        ("ml.c5.xlarge $", "serverless:2GB $", "0.204"),
    ),
}


@contextmanager
def environment(case: Case, columns: str | None) -> Iterator[dict[str, str | None]]:
    with stub(case.server) as (url, _):
        yield {"TIDEGATE_URL": url, "COLUMNS": columns, "AWS_ACCESS_KEY_ID": None, "FORCE_COLOR": None}


def too_long(text: str, width: int) -> list[str]:
    return [line for line in text.splitlines() if cell_len(line) > width]


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CASES)
def test_a_table_fits_its_width_and_keeps_its_key_columns(name: str, width: int) -> None:
    case = CASES[name]
    with environment(case, str(width)) as variables:
        done = CliRunner().invoke(app, case.arguments, env=variables)
    assert done.exit_code == 0, done.output
    assert too_long(done.stdout, width) == []
    assert [cell for cell in case.cells if cell not in one_line(done.stdout)] == []
    assert "…" not in done.stdout


@pytest.mark.parametrize("name", CASES)
def test_in_a_pipe_a_table_has_80_columns_and_neither_boxes_nor_colour(name: str) -> None:
    case = CASES[name]
    with environment(case, None) as variables:
        done = CliRunner().invoke(app, case.arguments, env=variables)
    assert done.exit_code == 0, done.output
    assert too_long(done.stdout, 80) == []
    assert [cell for cell in case.cells if cell not in one_line(done.stdout)] == []
    assert not re.search("[╭╮╰╯┌┐║═\u001b…]", done.stdout)


@pytest.mark.parametrize("name", ["status", "status of one", "alarms", "queue", "timeline", "detection", "prices"])
def test_on_a_terminal_of_80_columns_reasons_are_one_line_and_key_columns_whole(name: str) -> None:
    case = CASES[name]
    with environment(case, "80") as variables:
        shown = on_terminal(case.arguments, variables)
    assert too_long(shown, 80) == []
    plain = one_line(re.sub("[│╭╮╰╯]", " ", shown))
    assert [cell for cell in case.cells if cell not in plain] == []


@pytest.mark.parametrize("width", [*WIDTHS, None])
@pytest.mark.parametrize("arguments", [("rollout", "watch", NAME), ("events", NAME)])
def test_events_fit_the_width(arguments: tuple[str, ...], width: int | None) -> None:
    message = "shifting 100 % of the traffic to payroll-fraud-eu-8c2f11aa, stage 10 of 10, after 1h"
    event = {"seq": 1, "at": AT, "kind": "rollout.ActivatingTraffic", "message": message, "data": {}}

    class Journal(dict[str, tuple[int, bytes]]):
        """The rollout is over at the fourth look."""

        looks = 0

        def get(self, path: str, default: Any = None) -> Any:
            self.looks += path.endswith(NAME)
            document = endpoint_document(NAME) if self.looks < 4 else AT_REST | {"config": f"{NAME}-8c2f11aa"}
            if path.endswith("/events"):
                return found({"events": [event] if self.looks < 4 else [], "next": 1 if self.looks else 0})
            return found(document)

    with environment(Case(arguments, (), Journal()), None if width is None else str(width)) as variables:
        done = CliRunner().invoke(app, arguments, env=variables)
    assert done.exit_code == 0, (done.output, done.exception)
    assert too_long(done.stdout, width or 80) == []
    assert message in one_line(done.stdout) and "ActivatingTraffic" in done.stdout


def on_terminal(arguments: tuple[str, ...], variables: Mapping[str, str | None], columns: int = 80) -> str:
    """What a command writes to a terminal, without its colours."""
    given = {name: value for name, value in variables.items() if value is not None and name != "COLUMNS"}
    command = [sys.executable, "-m", "tidegate.cli", *arguments]
    status, _, sent = run_on_terminal(command, given, columns=columns)
    assert status == 0, sent
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", sent).replace("\r", "")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_recommenders_table_fits(width: int) -> None:
    figures = {"hourly": 4.1, "rate": 12345.0, "per_thousand": 0.000123, "month": 123456.0}
    one = Carrier(instance_type="ml.c5d.18xlarge", instances=12, target=518_490, **figures)
    shown = Table(*CARRIERS, number("LATENCY"), address("ENVIRONMENT"))
    variables = " ".join(f"TIDEGATE_OPTION_{number}=some-value" for number in range(5))
    shown.add_row(*carrier_row(one), "1,234 ms", variables)
    lines = [line.plain for line in shown.lines(width, wrap=False)]
    assert [line for line in lines if len(line) > width] == []
    for cell in ("ml.c5d.18xlarge", "12,345/s", "0.000123", "123,456.00", "1,234 ms"):
        assert cell in "\n".join(lines)
    assert variables.replace(" ", "") in "".join(lines).replace(" ", "")


def made() -> Table:
    shown = Table(key("NAME"), secondary("CONFIG"), number("SHARE"), sentence("WHY"))
    shown.add_row("fraud", "fraud-1", "25 %", "all is well")
    shown.add_row("claims", "claims-2", "100 %", "")
    return shown


def lines(table: Table, width: int, *, wrap: bool = True) -> list[str]:
    return [line.plain for line in table.lines(width, wrap=wrap)]


def test_a_wide_table_has_a_line_for_each_row() -> None:
    assert lines(made(), 60) == [
        "NAME    CONFIG    SHARE  WHY",
        "fraud   fraud-1    25 %  all is well",
        "claims  claims-2  100 %",
    ]


def test_a_sentence_that_does_not_fit_goes_below_its_row() -> None:
    assert lines(made(), 30)[1:3] == ["fraud   fraud-1    25 %", "  all is well"]


def test_a_secondary_column_is_left_out_before_a_key_column_is_cut() -> None:
    assert lines(made(), 20) == ["NAME    SHARE", "fraud    25 %", "  all is well", "claims  100 %"]


def test_where_the_key_columns_do_not_fit_each_row_is_a_record() -> None:
    shown = lines(made(), 12)
    assert "SHARE" not in shown[0]
    assert shown[0] == "fraud"
    assert any("25 %" in line for line in shown) and any("fraud-1" in line for line in shown)
    assert max(map(len, shown)) <= 12


def test_a_terminal_shortens_a_sentence_to_one_line_at_a_word() -> None:
    shown = Table(key("NAME"), sentence("WHY"))
    shown.add_row("fraud", "because " * 30)
    assert lines(shown, 80, wrap=False)[1] == "fraud  " + "because " * 8 + "because…"
    assert len(lines(shown, 80, wrap=True)) > 3


def test_an_address_is_never_shortened() -> None:
    shown = Table(key("NAME"), address("OUTPUT"))
    shown.add_row("fraud", "s3://" + "x" * 100)
    assert "".join(lines(shown, 40, wrap=False)).replace(" ", "").endswith("s3://" + "x" * 100)


def test_control_characters_and_line_breaks_of_others_do_not_break_a_row() -> None:
    shown = Table(key("NAME"), sentence("WHY"))
    shown.add_row("fraud", "one\ntwo\x1b[31m")
    assert lines(shown, 80)[1] == "fraud  one two [31m"


def test_wide_characters_count_twice() -> None:
    shown = Table(key("NAME"), key("STATE"))
    shown.add_row("模型模型", "ready")
    assert lines(shown, 80)[1] == "模型模型  ready"
    assert max(map(cell_len, lines(shown, 8))) <= 8


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="2 cells for 4 columns"):
        made().add_row("a", "b")


def test_a_panel_gives_a_table_its_width() -> None:
    console = Console(width=30, force_terminal=False)
    with console.capture() as capture:
        console.print(made())
    assert capture.get().splitlines()[1] == "fraud   fraud-1    25 %"
