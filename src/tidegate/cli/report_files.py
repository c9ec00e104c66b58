"""Reports with tables and plots as files: a self-contained HTML page, and its plots as a PNG.

Everything in them that comes from elsewhere (names, values, reasons) is text, and never markup."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli import plot_png
from tidegate.cli.plot_files import render_html, render_svg
from tidegate.cli.plot_shapes import Plot
from tidegate.domain.errors import Invalid

STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;padding:0 1em;max-width:1000px;color:#223;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "td,th{padding:.25em .9em .25em 0;text-align:right;border-bottom:1px solid #dde;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)

Html = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with plots (.html).")]
Png = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the plots as an image (.png).")]
OPTIONS: Mapping[str, Any] = {"html": Html, "png": Png}


@dataclass(frozen=True)
class ReportTable:
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """Content of a report. ``lead`` is the verdict in a sentence; ``lines`` say what else there is to report."""

    title: str
    lead: str
    lines: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    plots: Sequence[Plot] = ()


@dataclass(frozen=True)
class ReportFiles:
    """Files to which a report is written; None means that it is not written in that format."""

    html: Path | None = None
    png: Path | None = None

    @property
    def wanted(self) -> bool:
        return self.html is not None or self.png is not None

    def write(self, report: Report) -> None:
        """Write a report to these files. Raises Invalid."""
        write_report(report, self.html, self.png)


_chosen: ContextVar[ReportFiles] = ContextVar("report_files")


def chosen_files() -> ReportFiles:
    """The files that somebody asked the running command for."""
    return _chosen.get(ReportFiles())


def takes_report_files(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options ``--html`` and ``--png``, which are checked before it runs and told by
    ``chosen_files`` in it."""

    def run(*, html: Path | None = None, png: Path | None = None, **given: Any) -> None:
        check_destinations(html, png)
        before = _chosen.set(ReportFiles(html, png))
        try:
            command(**given)
        finally:
            _chosen.reset(before)

    own = signature(command)
    *others, as_json = own.parameters.values()
    more = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in OPTIONS.items()
    ]
    last = as_json.replace(kind=Parameter.KEYWORD_ONLY)
    run.__signature__ = own.replace(parameters=[*others, *more, last])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **OPTIONS}
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    return run


def check_destinations(html: Path | None, png: Path | None = None) -> None:
    """Check, before any work is done, that the files can be written. Raises Invalid."""
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
    """Write a report to its files. Raises Invalid if a file cannot be written, or if a PNG would be empty."""
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
    """Replace control characters in a text, and those that change the direction of text."""
    return "".join(char if char.isprintable() else " " for char in text)


def _text(text: str) -> str:
    return escape(clean(text))
