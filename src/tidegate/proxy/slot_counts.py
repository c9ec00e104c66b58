"""Read the rows of HAProxy's statistics about a slot, and count from them. Pure."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter

from tidegate.ports.router import IDLE, PassedRequests
from tidegate.proxy.cold_start_hold import AGAIN

COLUMNS = ("pxname", "svname", "qcur", "scur", "slim", "stot", "status", "sid", "lbtot", "req_tot")
"""Those of ``show stat`` that are read, of about a hundred."""
DOWN = "DOWN"
"""Prefix of the state of a server that failed its checks."""

BACKEND = "BACKEND"
Cells = tuple[str, ...]
"""Of one row, in the order of ``COLUMNS``."""


@dataclass(frozen=True)
class OwnAnswers:
    """How many requests of one slot HAProxy answered itself, as its configuration counts them."""

    unanswered: int = 0
    refused: int = 0
    throttled: int = 0


NONE = OwnAnswers()


@dataclass(frozen=True)
class SlotCounts:
    """Counts of one slot. All but the last five only increase; ``served`` counts requests given to a server."""

    unanswered: int = 0
    refused: int = 0
    throttled: int = 0
    served: int = 0
    sessions: int = 0
    """All requests that ever came to the slot."""
    own: OwnAnswers = NONE
    there: int = 0
    """Requests that are in the slot, wherever."""
    in_flight: int = 0
    queued: int = 0
    down: frozenset[str] = frozenset()
    cells: tuple[Cells, ...] = field(default=(), compare=False, repr=False)
    """The rows of the statistics that say so."""

    def _counts(self) -> tuple[int, int, int]:
        return self.unanswered, self.refused, self.throttled

    def at_least(self, before: "SlotCounts") -> "SlotCounts":
        """Return the counts, with ``unanswered`` never below that of ``before``: a client that disconnects briefly
        counts like one that was disconnected."""
        return self if self.unanswered >= before.unanswered else replace(self, unanswered=before.unanswered)

    def since(self, before: "SlotCounts", seconds: float) -> PassedRequests:
        """Difference to a reading that many seconds ago."""
        if self is before and self.cells and not self.down and rests(self, self):
            return IDLE
        if rests(before, self) and self._counts() == before._counts() and not self.down:
            return IDLE
        rate = max(0, self.served - before.served) / seconds if seconds > 0 else 0.0
        return PassedRequests(
            unanswered=max(0, self.unanswered - before.unanswered),
            refused=max(0, self.refused - before.refused),
            throttled=max(0, self.throttled - before.throttled),
            in_flight=self.in_flight,
            queued=self.queued,
            queue_time=0.0 if not self.queued else self.queued / rate if rate else None,
            down=self.down,
        )


def parse_rows(answer: str, again: bool = False) -> list[dict[str, str]]:
    """Parse the rows of ``show stat`` with the columns that are read. Each part of an answer begins with a header
    line. ``again``: include the rows of the server that is the proxy itself."""
    return [dict(zip(COLUMNS, cells, strict=True)) for cells in parse_cells(answer, again=again)]


def parse_cells(answer: str, wanted: Container[str] | None = None, again: bool = False) -> Iterator[Cells]:
    """Parse the rows as ``parse_rows`` does, but without the names of the columns. ``wanted``: slots to read; None:
    all."""
    pick: Callable[[list[str]], Cells] | None = None
    least = 0
    for line in answer.splitlines():
        if line.startswith("# pxname,"):
            pick, least = _find_columns(line)
        elif wanted is not None and line.partition(",")[0] not in wanted:
            continue
        elif (
            pick is not None and len(cells := line.split(",", least + 1)) > least and (again or cells[1] != AGAIN)
        ):
            yield pick(cells)


@lru_cache(maxsize=8)
def _find_columns(header: str) -> tuple[Callable[[list[str]], Cells], int]:
    """Return a function that picks the cells of ``COLUMNS`` from a row, and the index of the last of these cells."""
    names = header.removeprefix("# ").split(",")
    places = [names.index(name) for name in COLUMNS]
    return itemgetter(*places), max(places)


def count_slot(cells: tuple[Cells, ...], before: SlotCounts | None) -> SlotCounts:
    """Count from the rows of a slot. Returns ``before`` itself if the rows are unchanged and the slot had no request:
    each second this is so of all slots at rest."""
    if before is not None and before.cells == cells and rests(before, before):
        return before
    return replace(parse_counts([dict(zip(COLUMNS, one, strict=True)) for one in cells]), cells=cells)


def parse_counts(rows: Sequence[Mapping[str, str]]) -> SlotCounts:
    """``rows`` are the backend's and its servers'. A request waiting for any server is counted by the backend, any
    other by its server. ``unanswered`` is what HAProxy hung up on alone."""
    unanswered = served = sessions = there = in_flight = queued = 0
    for row in rows:
        queued += int(row["qcur"] or 0)
        if row["svname"] == BACKEND:
            served, sessions, there = int(row["lbtot"] or 0), int(row["stot"]), int(row["scur"])
            unanswered = max(0, sessions - int(row["req_tot"]) - there)
        else:
            in_flight += int(row["scur"] or 0)
    down = frozenset(row["svname"] for row in rows if row["status"].startswith(DOWN) and row["svname"] != BACKEND)
    return SlotCounts(
        unanswered, served=served, sessions=sessions, there=there, in_flight=in_flight, queued=queued, down=down
    )


def rests(before: SlotCounts, now: SlotCounts) -> bool:
    """Whether no request was in a slot between two readings."""
    there = before.there or now.there or now.queued or now.in_flight
    return not there and before.sessions == now.sessions


def with_own(count: SlotCounts, own: OwnAnswers) -> SlotCounts:
    if own == NONE:
        return count
    unanswered = count.unanswered + own.unanswered
    return replace(count, unanswered=unanswered, refused=own.refused, throttled=own.throttled, own=own)
