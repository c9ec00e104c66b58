"""Lays out every table of the commands, so that it fits the screen and no key column is cut.

A table that is wide enough has a line for each row. A narrow one gives up secondary columns first, by their rank. Its
sentences (reasons, sources, addresses) take what is left of the line if they fit, else a line of their own below the
row. Where not even the key columns fit, each row becomes a record: a line for each value. On a terminal a sentence is
shortened to one line; in a pipe it is wrapped, since a reader there cannot widen the window. Pure, but for the
``rich`` protocol, by which consoles and panels ask for the lines.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = 2
INDENT = 2
SHORTEST_SENTENCE = 24
"""Columns below which a sentence is not shortened beside its row but put below it."""
HEADER = "bold"

Cell = str | Text


@dataclass(frozen=True)
class Column:
    """``rank`` 0 is a key column: always there, never cut. Others are left out where space is short, the highest rank
    first. A ``sentence`` may take a line of its own; unless it is ``whole`` (an address), a terminal shortens it."""

    title: str
    right: bool = False
    rank: int = 0
    sentence: bool = False
    whole: bool = False


def key(title: str) -> Column:
    return Column(title)


def number(title: str, rank: int = 0) -> Column:
    return Column(title, right=True, rank=rank)


def secondary(title: str, rank: int = 1) -> Column:
    return Column(title, rank=rank)


def sentence(title: str) -> Column:
    return Column(title, sentence=True)


def address(title: str) -> Column:
    return Column(title, sentence=True, whole=True)


@dataclass
class _Row:
    cells: tuple[Text, ...]
    notes: list[Text]


class Table:
    """Rows of cells. ``Table(key("NAME"), number("COUNT"))``; a cell is text, or styled text."""

    def __init__(self, *columns: Column) -> None:
        self.columns = columns
        self._rows: list[_Row] = []

    def add_row(self, *cells: Cell) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self._rows.append(_Row(tuple(map(_clean, cells)), []))

    def add_note(self, text: str, style: str = "") -> None:
        """A line below the last row, such as the failure of a fleet."""
        self._rows[-1].notes.append(_clean(Text(text, style=style)))

    def lines(self, width: int, *, wrap: bool) -> list[Text]:
        """Lines of at most ``width`` columns. ``wrap`` says that sentences are wrapped and not shortened."""
        shown = self._fitting(width)
        if shown is None:
            return list(self._records(width))
        return list(self._table(shown, width, wrap=wrap))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from self.lines(options.max_width, wrap=not options.is_terminal)

    def _cells(self, place: int) -> Iterator[Text]:
        return (row.cells[place] for row in self._rows)

    def _natural(self, place: int) -> int:
        """Columns that the title and every cell need."""
        title = cell_len(self.columns[place].title)
        return max((title, *(cell_len(cell.plain) for cell in self._cells(place))))

    def _fitting(self, width: int) -> list[int] | None:
        """Places of the columns of a table this wide, without its sentences; None if the key columns do not fit."""
        shown = [place for place, column in enumerate(self.columns) if not column.sentence]
        while _sum(map(self._natural, shown)) > width:
            given_up = max(shown, key=lambda place: (self.columns[place].rank, place), default=None)
            if given_up is None or self.columns[given_up].rank == 0:
                return None
            shown.remove(given_up)
        return shown

    def _table(self, shown: Sequence[int], width: int, *, wrap: bool) -> Iterator[Text]:
        widths = {place: self._natural(place) for place in shown}
        rest = width - _sum(widths.values()) - GAP
        beside = self._fit_sentences(rest, wrap=wrap)
        below = [place for place in self._sentences() if place not in beside]
        widths |= {place: min(self._natural(place), rest) for place in beside}
        shown = [*shown, *beside]
        yield self._line(shown, [Text(column.title, style=HEADER) for column in self.columns], widths)
        named = len(below) > 1
        for row in self._rows:
            yield self._line(shown, row.cells, widths)
            for place in below:
                yield from self._below(place, row.cells[place], width, wrap=wrap, named=named)
            for note in row.notes:
                yield from _indent_cell(note, width, INDENT)

    def _sentences(self) -> list[int]:
        """Sentence columns that have a word in any row."""
        return [
            place
            for place, column in enumerate(self.columns)
            if column.sentence and any(cell.plain for cell in self._cells(place))
        ]

    def _fit_sentences(self, rest: int, *, wrap: bool) -> list[int]:
        """The sentences that fit beside the rows: all or none of them; on a terminal one that is shortened."""
        places = self._sentences()
        if _sum(map(self._natural, places)) <= rest:
            return places
        only = len(places) == 1 and not self.columns[places[0]].whole
        return places if only and not wrap and rest >= 2 * SHORTEST_SENTENCE else []

    def _line(self, shown: Sequence[int], cells: Sequence[Text], widths: dict[int, int]) -> Text:
        parts = [
            _pad(_shorten(cells[place], widths[place]), widths[place], right=self.columns[place].right)
            for place in shown
        ]
        line = Text(" " * GAP).join(parts)
        line.rstrip()
        return _measure_line(line)

    def _below(self, place: int, cell: Text, width: int, *, wrap: bool, named: bool) -> Iterator[Text]:
        if not cell.plain:
            return
        label = f"{self.columns[place].title}: " if named else ""
        text = Text.assemble((label, "dim"), cell)
        if wrap or self.columns[place].whole:
            yield from _indent_cell(text, width, INDENT)
        else:
            yield _measure_line(Text(" " * INDENT) + _shorten(text, width - INDENT))

    def _records(self, width: int) -> Iterator[Text]:
        widest = max(cell_len(column.title) for column in self.columns[1:]) if self.columns[1:] else 0
        label = min(widest, max(1, width // 3))
        for row in self._rows:
            if row.cells[0].plain:
                heading = row.cells[0].copy()
                heading.stylize(HEADER)
                yield from _fold_cell(heading, width)
            for column, cell in list(zip(self.columns, row.cells, strict=True))[1:]:
                if cell.plain:
                    title = Text(f"{' ' * INDENT}{column.title:<{label}}{' ' * GAP}", style="dim")
                    yield from _hang_cell(title, cell, width, whole=not column.sentence)
            for note in row.notes:
                yield from _indent_cell(note, width, INDENT)


def _clean(cell: Cell) -> Text:
    """One line without control characters, which reasons and names of others may contain."""
    text = cell if isinstance(cell, Text) else Text(cell)
    plain = " ".join("".join(char if char.isprintable() else " " for char in text.plain).split())
    return text if plain == text.plain else Text(plain, style=text.style)


def _sum(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + GAP * max(0, len(found) - 1)


def _pad(cell: Text, width: int, *, right: bool) -> Text:
    space = Text(" " * (width - cell_len(cell.plain)))
    return space + cell if right else cell + space


def _measure_line(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ignore"
    return line


def _shorten(cell: Text, width: int) -> Text:
    """Cut at a word, with an ellipsis."""
    if cell_len(cell.plain) <= width:
        return cell
    kept = chop_cells(cell.plain, max(1, width - 1))[0]
    at_word = kept.rsplit(" ", 1)[0] if " " in kept[width // 2 :] else kept
    short = cell.copy()
    short.right_crop(len(cell.plain) - len(at_word.rstrip(" ,;:")))
    return short + Text("…")


def _wrap(text: str, width: int) -> Iterator[str]:
    for line in textwrap.wrap(text, max(1, width), break_on_hyphens=False):
        yield from chop_cells(line, max(1, width))


def _fold_cell(cell: Text, width: int) -> Iterator[Text]:
    return (_measure_line(Text(line, style=_style(cell))) for line in _wrap(cell.plain, width))


def _indent_cell(cell: Text, width: int, indent: int) -> Iterator[Text]:
    style = _style(cell)
    return (
        _measure_line(Text(f"{' ' * indent}{line}", style=style)) for line in _wrap(cell.plain, width - indent)
    )


def hang(head: Text, text: Text, width: int) -> list[Text]:
    """A line of a log, with its text wrapped in a column of its own."""
    return list(_hang_cell(head, _clean(text), width, whole=False))


def _hang_cell(title: Text, cell: Text, width: int, *, whole: bool) -> Iterator[Text]:
    """The title, and the value beside it, wrapped in its own column. Where there is no space for it, the value goes
    below the title: one that is to stay ``whole`` rather than be wrapped."""
    start = cell_len(title.plain)
    space = width - start
    if cell_len(cell.plain) > space and (whole or space < SHORTEST_SENTENCE):
        heading = title.copy()
        heading.rstrip()
        yield _measure_line(heading)
        yield from _indent_cell(cell, width, 2 * INDENT)
        return
    for place, line in enumerate(_wrap(cell.plain, space)):
        head = title.copy() if place == 0 else Text(" " * start)
        yield _measure_line(head + Text(line, style=_style(cell)))


def _style(cell: Text) -> str:
    """The style of the whole cell: one that begins at its start."""
    if cell.style:
        return str(cell.style)
    return next((str(span.style) for span in cell.spans if span.start == 0 and span.end >= len(cell.plain)), "")
