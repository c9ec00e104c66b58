"""``drift schedule``: compares an endpoint's captures with a baseline, again and again."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tidegate.cli.capture_addresses import s3_of
from tidegate.cli.output import AsJson, Name, client, console, show
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.progress import ProgressBar
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.errors import Invalid
from tidegate.features.drift.baselines import check_file, make_baseline
from tidegate.rows.label_lines import check_place
from tidegate.spec.units import seconds

DRIFTED = 1
"""Exit status of ``show`` where something has drifted, or nothing can be said."""
SHOWN = 12

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Watch an endpoint's captured requests for drift.",
)

Columns = Annotated[
    str, typer.Option(metavar="A,B", help="Columns of rows without names. Default: those of the baseline.")
]
Score = Annotated[str, typer.Option(metavar="PLACE", help="Place of the score in an answer.")]
TimeColumn = Annotated[str, typer.Option("--time", metavar="COLUMN", help="Column with the times of the rows.")]


@app.command("baseline")
def baseline(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Table (.csv), or captures: a folder or address.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")] = Path("baseline.json"),
    *,
    time: TimeColumn = "",
    columns: Columns = "",
    score: Score = "",
    as_json: AsJson = False,
) -> None:
    """Make a baseline of rows and their times.

    \b
    Examples:
      tidegate drift schedule baseline payments.csv --time paid_at
      tidegate drift schedule baseline captures/fraud/AllTraffic/ --columns amount,country
    """
    check_place(score)
    with ProgressBar(f"reading {source}", quiet=as_json):
        content, rows = make_baseline(source, time, _split(columns), score, s3_of(os.environ))
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Invalid(f"{out} cannot be written: {error.strerror}") from None
    show({"file": str(out), "rows": rows}, as_json, f"{out}: {rows:,} rows were read")


@app.command("set")
def set_schedule(
    name: Name,
    *,
    baseline: Annotated[
        str, typer.Option(metavar="SOURCE", help="Table (.csv), baseline or statistics.json.", show_default=False)
    ],
    every: Annotated[str, typer.Option(metavar="TIME", help="Time between two looks.")] = "1m",
    window: Annotated[str, typer.Option(metavar="TIME", help="How far back each look goes.")] = "5m",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Compare each of its values by itself, too. Repeatable."),
    ] = None,
    columns: Columns = "",
    score: Score = "",
    least: Annotated[float, typer.Option(help="Smallest distance that matters.")] = 0.1,
    zone: Annotated[str, typer.Option(help="Time zone of the calendar.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Have the server compare captures with a baseline.

    \b
    Examples:
      tidegate drift schedule set fraud --baseline train.csv --by country
      tidegate drift schedule set fraud --baseline baseline.json --every 1h --window 1h --zone Europe/Berlin
    """
    check_place(score)
    asked = {
        "every": seconds(every, ("--every",), least=1),
        "window": seconds(window, ("--window",), least=1),
        "by": by or [],
        "columns": _split(columns),
        "score": score,
        "least": least,
        "zone": zone,
    }
    with client() as server, ProgressBar(f"reading {baseline}", quiet=as_json):
        server.endpoint(name)
        address = (
            baseline if "://" in baseline else server.upload("baseline.json", _read(baseline, columns, score))
        )
        document = server.set_drift(name, {**asked, "baseline": address})
    show(document, as_json, f"{name} is compared with its baseline every {every}, over the last {window}")


@app.command("show")
def show_drift(name: Name, as_json: AsJson = False) -> None:
    """Show what the last look found, and when the verdict changed.

    \b
    Examples:
      tidegate drift schedule show fraud
      tidegate drift schedule show fraud --json
    """
    with client() as server:
        document = server.drift(name)
    if as_json:
        print(json.dumps(document))
    else:
        _show(document)
    if document["last"] is None or document["last"]["verdict"] != "no_drift":
        raise typer.Exit(DRIFTED)


@app.command("remove")
def remove(name: Name, as_json: AsJson = False) -> None:
    """Stop comparing; what was found is forgotten.

    \b
    Examples:
      tidegate drift schedule remove fraud
    """
    with client() as server:
        document = server.remove_drift(name)
    show(document, as_json, f"{name} is no longer compared with a baseline")


def _split(text: str) -> list[str]:
    return text.split(",") if text else []


def _read(source: str, columns: str, score: str) -> bytes:
    path = Path(source)
    if path.suffix == ".csv" or path.is_dir():
        return make_baseline(source, "", _split(columns), score, s3_of(os.environ))[0]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Invalid(f"the baseline {source} cannot be read: {error.strerror}") from None
    check_file(content, path)
    return content


def _show(document: dict[str, Any]) -> None:
    screen, last = console(), document["last"]
    if last is None:
        screen.print(Text("nothing was looked at yet"))
        return
    findings = Table(key("COLUMN"), key("CHECK"), sentence("FOUND"))
    for one in last["findings"][:SHOWN]:
        findings.add_row(one["column"], one["check"], one["description"])
    distances = Table(key("COLUMN"), number("DISTANCE"))
    for column, distance in list(last["distances"].items())[:SHOWN]:
        distances.add_row(column, f"{distance:.3f}")
    if last["findings"] or last["distances"]:
        screen.print(findings if last["findings"] else distances)
    said = [f"nothing is said of {one}" for one in last["unsaid"][:SHOWN]]
    if last["skipped"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in last["skipped"].items())
        said.append(f"captures that were not used: {reasons}")
    verdicts = {"drift": f"drift: {last['total']} findings", "no_drift": "no drift"}
    verdict = verdicts.get(last["verdict"], f"unknown: {last['reason']}")
    said.append(f"{verdict}, of {last['rows']:,} rows against {last['baseline_rows']:,}, until {last['end']}")
    said += [f"{one['at']}  {one['said']}" for one in document["history"][-SHOWN:]]
    for line in said:
        screen.print(Text(line))
