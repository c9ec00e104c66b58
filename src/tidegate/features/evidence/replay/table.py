"""The results of a replay of labelled rows, as a table on the terminal."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from tidegate.cli.output import console
from tidegate.cli.tables import Table, key, number

RELATIVE = ("mean", "slice", "error", "loss")
"""Statistics that are parts of the old version's value."""


def show_replay(record: Mapping[str, Any]) -> None:
    screen = console()
    for variant, found in sorted(record["results"].items()):
        labelled = f"{found['labelled']:,} labelled" if found["labelled"] else "none labelled"
        positives = "" if found["positives"] is None else f", {found['positives']:,} positive"
        what = f"replay of {found['rows']:,} rows ({labelled}{positives}), variant {variant}: {found['finding']}"
        screen.print(Text(f"{what}: {found['reason']}"))
        if found["statistics"]:
            screen.print(tabulate_statistics("REPLAYED", found["statistics"]))
        for reason, count in found["skipped"].items():
            screen.print(Text(f"not replayed: {count:,} {reason}"))


def tabulate_statistics(title: str, statistics: Iterable[Mapping[str, Any]]) -> Table:
    """Lay out statistics of a replay as a table. ``title``: of its first column."""
    table = Table(key(title), *map(number, ("OLD", "NEW", "WORSE BY", "SURELY", "TOLERANCE")), key("FINDING"))
    for one in statistics:
        shown = (_figure(one[name], one["name"]) for name in ("worse", "surely", "tolerance"))
        what = " ".join(filter(None, (one.get("output"), one["name"], one["slice"])))
        table.add_row(what, _side(one["old"]), _side(one["new"]), *shown, one["finding"])
    return table


def _side(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _figure(value: float | None, name: str) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.1%}" if name in RELATIVE else f"{value:.4f}"
