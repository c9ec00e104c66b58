"""Plots of a year in rows of block characters, and the tables that take their place in a pipe."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import plot_width
from tidegate.cli.tables import Table, key, number

WIDTH, HEIGHT, BESIDE = 64, 8, 8
"""Most columns of a plot, its rows, and the columns of its labels."""
MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
SHARES = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
"""Parts of the hours of a year that the table of a load-duration curve has a row for."""


def print_year(out: Console, counts: Sequence[float]) -> None:
    """Print the instances over the months, from those of each hour."""
    width = plot_width(out, WIDTH, BESIDE)
    if width is not None:
        out.print(*year_rows(counts, width), sep="\n")
    else:
        out.print(year_table(counts))


def print_load_duration(out: Console, usage: Sequence[float], line: float) -> None:
    """Print the hours of a year from the busiest to the quietest (a load-duration curve), and the part that a
    commitment covers."""
    width = plot_width(out, WIDTH, BESIDE)
    if width is not None:
        out.print(*load_duration_rows(usage, line, width), sep="\n")
    else:
        out.print(load_duration_table(usage, line))


def year_table(counts: Sequence[float]) -> Table:
    shown = Table(key("MONTH"), *map(number, ("LEAST", "MEAN", "MOST")))
    for month in range(12):
        found = counts[len(counts) * month // 12 : len(counts) * (month + 1) // 12] or counts[-1:]
        values = (min(found), sum(found) / len(found), max(found))
        shown.add_row(MONTHS[3 * month : 3 * month + 3], *(f"{value:,.4g}" for value in values))
    return shown


def load_duration_table(usage: Sequence[float], line: float) -> Table:
    shown = Table(number("HOURS"), *map(number, ("AT LEAST", "COVERED")))
    ordered = sorted(usage, reverse=True)
    for count in _distinct(max(1, round(share * len(ordered))) for share in SHARES):
        value = ordered[count - 1]
        shown.add_row(f"{count:,}", f"{value:,.4g}", f"{min(value, line):,.4g}")
    return shown


def _distinct(values: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(values))


def block_rows(values: Sequence[float], top: float, width: int = WIDTH, line: float | None = None) -> list[Text]:
    """Spread ``values`` over the width, with the maximum of each column relative to ``top``. Blocks below ``line``
    have another colour, and the line's row is marked."""
    columns = [max(_column_values(values, column, width)) for column in range(width)]
    marked = None if line is None else round(line / top * HEIGHT)
    rows = []
    for row in range(HEIGHT, 0, -1):
        label = {HEIGHT: f"{top:g}", HEIGHT // 2: f"{top / 2:g}"}.get(row, "")
        cells = "".join(draw.format_block(value / top * HEIGHT - (row - 1)) for value in columns)
        style = draw.OLD if marked is not None and row <= marked else draw.NEW
        edge = "┤" if marked is not None and row == max(1, marked) else "│"
        rows.append(Text.assemble(f"{label:>6} {edge}", (cells, style)))
    rows.append(Text(f"{'0':>6} └{'─' * width}"))
    return rows


def year_rows(counts: Sequence[float], width: int = WIDTH) -> list[Text]:
    names = ""
    for month in range(12):
        place = month * width // 12
        if len(names) < place or not names:
            names = names.ljust(place) + MONTHS[3 * month : 3 * month + 3]
    return [*block_rows(counts, max(1.0, *counts), width), Text(f"{'':8}{names[:width]}")]


def load_duration_rows(usage: Sequence[float], line: float, width: int = WIDTH) -> list[Text]:
    rows = block_rows(sorted(usage, reverse=True), max(usage) or 1.0, width, line)
    busy, quiet = ("busiest hour", "quietest hour") if width >= 26 else ("busy", "quiet")
    return [*rows, Text(f"{'':8}{busy}{quiet:>{width - len(busy)}}")]


def _column_values(values: Sequence[float], column: int, width: int) -> Sequence[float]:
    first, last = (len(values) * edge // width for edge in (column, column + 1))
    return values[first : max(first + 1, last)]
