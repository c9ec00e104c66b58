"""``compare``: both versions of a model answer the same rows, before any live traffic; what changed, and whether that
is harm."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tidegate.cli.output import AsJson, console
from tidegate.cli.progress import ProgressBar
from tidegate.cli.report_files import Html, check_destinations
from tidegate.features.compare import page as compare_page
from tidegate.features.compare import tables as compare_tables
from tidegate.features.compare.inputs import choose_models, read_given_rows
from tidegate.features.compare.options import CompareOptions, read_options
from tidegate.features.compare.run import ComparisonRun
from tidegate.features.evidence.replay.report import ComparisonVerdict, VersionComparison, doubt
from tidegate.features.evidence.spec_paired import render_whole
from tidegate.host.features import features
from tidegate.rows.row_files import RowSet
from tidegate.settings import Settings

NOT_PASSED = 1
"""Exit status of harm, and of what cannot be said."""
Versions = Annotated[
    list[str],
    typer.Argument(
        metavar="[OLD] [NEW]",
        help="Of each its model data (a file, archive, folder or a registry's address) or a spec (.yaml); OLD not "
        "with --endpoint. With --shadow the endpoint.",
        show_default=False,
    ),
]
Rows = Annotated[
    str,
    typer.Option(
        "--rows",
        "--captured",
        metavar="FILE",
        help="Table (.csv) with a header, JSON Lines, or captures; last-7d: what the endpoint captured of so long.",
        show_default=False,
    ),
]
Endpoint = Annotated[str, typer.Option(metavar="NAME", help="OLD is what this endpoint serves.")]
By = Annotated[str, typer.Option(metavar="COLUMN", help="Compare each of its values by itself, too.")]
Label = Annotated[
    str, typer.Option(metavar="COLUMN", help="What was true (A,B of two outputs); the models do not get it.")
]
LeaveOut = Annotated[str, typer.Option(metavar="A,B", help="Columns that the models do not get.")]
Limits = Annotated[
    list[str], typer.Option(metavar="NAME=VALUE", help="How much may change: mean=5%, auc=0.02. Repeatable.")
]
More = Annotated[
    list[str],
    typer.Option(
        "--with",
        "--candidate",
        metavar="NAME=VALUE",
        help="See above. --candidate NEW is the same as the last argument.",
    ),
]

Shadow = Annotated[
    bool, typer.Option("--shadow", help="Compare an endpoint's shadow variant with its production variant.")
]
Last = Annotated[str, typer.Option(metavar="TIME", help="How far back to look, with --shadow.")]


def compare(
    versions: Versions = [],  # noqa: B006
    *,
    rows: Rows = "",
    endpoint: Endpoint = "",
    by: By = "",
    label: Label = "",
    leave_out: LeaveOut = "",
    tolerance: Limits = [],  # noqa: B006
    said: More = [],  # noqa: B006
    html: Html = None,
    shadow: Shadow = False,
    last: Last = "1h",
    as_json: AsJson = False,
) -> None:
    """Compare two versions on the same rows, without traffic.

    The exit status is 1 if a tolerance is exceeded or nothing can be said. With --shadow, the shadow variant of an
    endpoint is compared with its production variant, on the requests that both have answered.

    \b
    --with NAME=VALUE, as often as needed:
      honest        three or more good versions A,B,C: tolerances are learned
      variant       which is meant, of a spec or endpoint with several
      score         place of the score in an answer: predictions[0].score
      columns       names A,B of captured rows without names
      least_rows, least_labels   fewest rows, and labels of a class (100)
      step          change of a score that counts as moved
      within        time for each version (10m)

    \b
    Examples:
      tidegate compare model.tar.gz candidate.tar.gz --rows rows.csv
      tidegate compare --endpoint fraud --candidate new.tar.gz --captured last-7d
      tidegate compare old.yaml new.yaml --rows rows.csv --label fraud
      tidegate compare --shadow fraud --last 10m
    """
    if shadow:
        return _compare_shadow([*versions, *([endpoint] if endpoint else [])], rows, last, as_json)
    if not rows:
        raise typer.BadParameter("give the rows that both versions answer, or --shadow", param_hint="--rows")
    check_destinations(html)
    options = read_options(by, label, leave_out, tolerance, said)
    _compare_models(versions, endpoint, rows, options, html, as_json)


def _compare_models(
    versions: list[str], endpoint: str, rows: str, options: CompareOptions, html: Path | None, as_json: bool
) -> None:
    settings = Settings.from_environment(os.environ)
    found = read_given_rows(endpoint, rows, options.rows, options.answers.by, settings)
    given = [*versions, *options.candidates]
    models = choose_models(given, endpoint, options.variant, options.honest, settings)
    asking = ComparisonRun(found.requests, options.answers, options.terms, settings, options.within)
    with ProgressBar("comparing", 2 + len(models.honest), quiet=as_json) as bar:
        result, answers = asking.compare(models, bar.update)
    result = doubt(result, found.doubt) if found.doubt else result
    names = (models.old.name, models.new.name)
    if html is not None:
        compare_page.write(html, names, result, answers)
    _show(result, names, found, as_json)
    if result.verdict is not ComparisonVerdict.PASS:
        raise typer.Exit(NOT_PASSED)


def _compare_shadow(names: list[str], rows: str, last: str, as_json: bool) -> None:
    if len(names) != 1 or rows:
        raise typer.BadParameter("give one endpoint, and no rows", param_hint="--shadow")
    features().require_hook("compare_shadow", "--shadow")(names[0], last, as_json)


def _show(result: VersionComparison, names: tuple[str, str], found: RowSet, as_json: bool) -> None:
    skipped = found.skipped
    if as_json:
        unused = {str(reason): count for reason, count in sorted(skipped.items())}
        about = {"captures_skipped": unused, "captures_drawn_from": found.drawn_from}
        print(json.dumps({"old": names[0], "new": names[1], **result.document(), **about}))
        return
    screen = console()
    for part in compare_tables.render(result):
        screen.print(part)
    if found.drawn_from > len(found.requests):
        screen.print(Text(f"{len(found.requests):,} of {found.drawn_from:,} captures, drawn by chance"))
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items()))
        screen.print(Text(f"captures that were not used: {reasons}"))
    if result.learned is not None:
        told = ", ".join(f"{name}: {value}" for name, value in render_whole(result.learned).items())
        screen.print(Text(f"for evidence, tolerance: {{paired: {{{told}}}}}"))
    for reason in result.reasons:
        screen.print(Text("".join(char if char.isprintable() else " " for char in reason)))
    screen.print(Text(f"verdict: {result.verdict}"))
