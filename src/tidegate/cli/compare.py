"""``compare``: both versions of a model answer the same rows, before any live traffic; what changed, and whether that
is harm."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tidegate.advisor.comparison.answers import AnswerTerms
from tidegate.advisor.comparison.report import LABELLED, ComparisonTerms, Verdict, VersionComparison
from tidegate.advisor.comparison.row_files import RowTerms
from tidegate.advisor.comparison.tolerances import parse_tolerances
from tidegate.advisor.quality.label_lines import check_place
from tidegate.cli import compare_page, compare_tables
from tidegate.cli.compare_inputs import choose_models, read_rows
from tidegate.cli.compare_run import ModelRun
from tidegate.cli.output import AsJson, console
from tidegate.domain.errors import Invalid
from tidegate.settings import Settings
from tidegate.spec.units import seconds

NOT_PASSED = 1
"""Exit status of harm, and of what cannot be said."""


def compare(
    versions: Annotated[
        list[str],
        typer.Argument(
            metavar="[OLD] NEW",
            help="Model data (a file, archive or folder) or a spec (.yaml) of each. With --endpoint only NEW.",
            show_default=False,
        ),
    ],
    *,
    rows: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Table (.csv) with a header, JSON Lines, or a folder or address (s3://, file://) of captures.",
            show_default=False,
        ),
    ],
    endpoint: Annotated[str, typer.Option(metavar="NAME", help="OLD is what this endpoint serves.")] = "",
    variant: Annotated[str, typer.Option(metavar="NAME", help="Variant of a spec or endpoint with several.")] = "",
    by: Annotated[str, typer.Option(metavar="COLUMN", help="Compare each of its values by itself, too.")] = "",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="What was true; the models do not get it.")] = "",
    leave_out: Annotated[str, typer.Option(metavar="A,B", help="Columns that the models do not get.")] = "",
    columns: Annotated[str, typer.Option(metavar="A,B", help="Columns of captured rows without names.")] = "",
    score: Annotated[
        str,
        typer.Option(metavar="PLACE", help="Place of the score in an answer: a column, or predictions[0].score."),
    ] = "",
    tolerance: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="How much may change: mean=5%, auc=0.02, moved=20%. Repeatable."),
    ] = None,
    honest: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A good version, trained again: tolerances are learned from three or more of them.",
        ),
    ] = None,
    least_rows: Annotated[int, typer.Option(min=2, help="Fewest rows, also of a slice.")] = 100,
    least_labels: Annotated[int, typer.Option(min=1, help="Fewest labels of each class.")] = 100,
    step: Annotated[
        float | None,
        typer.Option(
            min=0, help="Change of a score that counts as moved. Default: 1 log-odds, or half a deviation."
        ),
    ] = None,
    within: Annotated[str, typer.Option(metavar="TIME", help="Time for each version.")] = "10m",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with plots (.html).")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions on the same rows, without traffic.

    The exit status is 1 if a tolerance is exceeded or nothing can be said.

    \b
    Examples:
      tidegate compare model.tar.gz candidate.tar.gz --rows rows.csv
      tidegate compare --endpoint fraud candidate.tar.gz --rows captures/
      tidegate compare old.yaml new.yaml --rows rows.csv --label fraud --by country
    """
    check_place(score)
    compare_page.check_destination(html)
    settings = Settings.from_environment(os.environ)
    given = RowTerms(label, frozenset(_words(leave_out)), tuple(_words(columns)))
    declared = tolerance or []
    asked = _asked(declared, label, by)
    terms = ComparisonTerms(parse_tolerances(declared), asked, least_rows, least_labels, step, _names(declared))
    limit = seconds(within, ("--within",), least=1)
    found = read_rows(rows, given, by, settings)
    models = choose_models(versions, endpoint, variant, honest or (), settings)
    names = (models.old.name, models.new.name)
    asking = ModelRun(found.requests, AnswerTerms(score, by, bool(label)), terms, settings, limit)
    result, answers = asking.compare(models)
    if html is not None:
        compare_page.write(html, names, result, answers)
    _show(result, names, dict(found.skipped), as_json)
    if result.verdict is not Verdict.PASS:
        raise typer.Exit(NOT_PASSED)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _names(tolerances: list[str]) -> frozenset[str]:
    return frozenset(text.partition("=")[0] for text in tolerances)


def _asked(tolerances: list[str], label: str, by: str) -> frozenset[str]:
    """Statistics whose tolerance is given. Raises Invalid for one that nothing could be held against."""
    names = frozenset(name for name, _, value in (each.partition("=") for each in tolerances) if value != "none")
    for name in sorted(names):
        if name in LABELLED and not label:
            raise Invalid(f"--tolerance {name}: it needs --label, the column of what was true")
        if name == "slice" and not by:
            raise Invalid("--tolerance slice: it needs --by, the column of the slices")
    return names


def _show(result: VersionComparison, names: tuple[str, str], skipped: dict[str, int], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"old": names[0], "new": names[1], **result.document(), "captures_skipped": skipped}))
        return
    screen = console()
    for part in compare_tables.render(result):
        screen.print(part)
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items()))
        screen.print(Text(f"captures that were not used: {reasons}"))
    for reason in result.reasons:
        screen.print(Text(reason))
    screen.print(Text(f"verdict: {result.verdict}"))
