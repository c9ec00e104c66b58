"""Reports with tables and plots as files: a self-contained HTML page, and its plots as a PNG.

Everything in them that comes from elsewhere (names, values, reasons) is text, and never markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import plot_png
from tidegate.cli.chart_files import render_html
from tidegate.cli.plot_files import Plot, render_svg
from tidegate.domain.errors import Invalid

STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;padding:0 1em;max-width:1000px;color:#223;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "td,th{padding:.25em .9em .25em 0;text-align:right;border-bottom:1px solid #dde;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)

Html = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with plots (.html).")]
Png = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the plots as an image (.png).")]


@dataclass(frozen=True)
class ReportTable:
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """``lead``: the verdict in a sentence; ``lines``: what else there is to say."""

    title: str
    lead: str
    lines: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    plots: Sequence[Plot] = ()


def check_destinations(html: Path | None, png: Path | None = None) -> None:
    """Raises Invalid, before any work is done, if a file could not be written."""
    for path, option, suffix in ((html, "--html", ".html"), (png, "--png", ".png")):
        if path is None:
            continue
        if path.suffix != suffix:
            raise Invalid(f"{option} {path}: expected a name that ends in {suffix}")
        if not path.absolute().parent.is_dir():
            raise Invalid(f"{option} {path}: there is no folder {path.absolute().parent}")
    if png is not None:
        plot_png.require_library()


def write_report(report: Report, html: Path | None, png: Path | None) -> None:
    """Raises Invalid if a file cannot be written, or if there is nothing to draw in a PNG."""
    if png is not None and not report.plots:
        raise Invalid(f"--png {png}: there is nothing to draw: {clean(report.lead)}")
    for path, option in ((html, "--html"), (png, "--png")):
        if path is None:
            continue
        try:
            if option == "--html":
                path.write_text(render_report(report), encoding="utf-8")
            else:
                plot_png.save(path, clean(report.title), report.plots)
        except OSError as error:
            raise Invalid(f"{option} {path}: {error.strerror}") from None


def render_report(report: Report) -> str:
    parts = [f"<h1>{_text(report.title)}</h1><p><b>{_text(report.lead)}</b></p>"]
    if report.lines:
        parts.append(f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in report.lines)}</ul>")
    if report.plots:
        parts.append(render_svg(clean(report.title), report.plots))
    parts += [render_table(table) for table in report.tables]
    return render_html(clean(report.title), "\n".join(parts), style=STYLE)


def render_table(table: ReportTable) -> str:
    head = "".join(f"<th>{_text(each)}</th>" for each in table.heads)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<h2>{_text(table.title)}</h2><table><tr>{head}</tr>{body}</table>"


def clean(text: str) -> str:
    """Without control characters, and those that turn the direction of a text."""
    return "".join(char if char.isprintable() else " " for char in text)


def _text(text: str) -> str:
    return escape(clean(text))
