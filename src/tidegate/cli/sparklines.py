"""Plots of a year in rows of block characters."""

from collections.abc import Sequence

from rich.text import Text

from tidegate.cli import draw

WIDTH, HEIGHT = 64, 8
MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def block_rows(values: Sequence[float], top: float, line: float | None = None) -> list[Text]:
    """Spread ``values`` over the width, with the maximum of each column relative to ``top``. Blocks below ``line``
    have another colour, and the line's row is marked."""
    columns = [max(_column_values(values, column)) for column in range(WIDTH)]
    marked = None if line is None else round(line / top * HEIGHT)
    rows = []
    for row in range(HEIGHT, 0, -1):
        label = {HEIGHT: f"{top:g}", HEIGHT // 2: f"{top / 2:g}"}.get(row, "")
        cells = "".join(draw.format_block(value / top * HEIGHT - (row - 1)) for value in columns)
        style = draw.OLD if marked is not None and row <= marked else draw.NEW
        edge = "┤" if marked is not None and row == max(1, marked) else "│"
        rows.append(Text.assemble(f"{label:>6} {edge}", (cells, style)))
    rows.append(Text(f"{'0':>6} └{'─' * WIDTH}"))
    return rows


def year_rows(counts: Sequence[float]) -> list[Text]:
    """Plot instances over the months."""
    names = ""
    for month in range(12):
        names = names.ljust(month * WIDTH // 12) + MONTHS[3 * month : 3 * month + 3]
    return [*block_rows(counts, max(1.0, *counts)), Text(f"{'':8}{names}")]


def load_duration_rows(usage: Sequence[float], line: float) -> list[Text]:
    """Plot the hours of a year from the busiest to the quietest (a load-duration curve), and the part that a
    commitment covers."""
    rows = block_rows(sorted(usage, reverse=True), max(usage) or 1.0, line)
    return [*rows, Text(f"{'':8}{'busiest hour':<{WIDTH // 2}}{'quietest hour':>{WIDTH - WIDTH // 2}}")]


def _column_values(values: Sequence[float], column: int) -> Sequence[float]:
    first, last = (len(values) * edge // WIDTH for edge in (column, column + 1))
    return values[first : max(first + 1, last)]
