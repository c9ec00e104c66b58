"""Benchmark tables: printed for people, and kept between marks in bench/results.md and, where it has the same marks,
in the page for users."""

import math
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tidegate.statistics.distribution import quantile

RESULTS = Path(__file__).parent / "results.md"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def show(
    name: str,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    keep: bool,
    picture: str = "",
    command: str = "",
) -> None:
    """Print a Markdown table. With ``keep`` it replaces the section ``name`` of bench/results.md, and of
    docs/benchmarks.md if that has one. ``picture`` is Markdown that goes before the table; ``command`` is what
    follows ``python -m bench.`` where that is another."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    day = datetime.now(UTC).date().isoformat()
    head = [f"### {title}", "", f"`python -m bench.{command or name}`, {day}, {machine()}", ""]
    text = "\n".join([*head, *([picture, ""] if picture else []), *lines])
    print("\n" + text + "\n")
    if keep:
        _keep(name, text)


def machine() -> str:
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return f"{cores} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def share(hits: int, of: int) -> str:
    """A share with its 95 % interval (Wilson): ``98.8% (95.7% to 99.7%)``."""
    if not of:
        return "-"
    low, high = wilson(hits, of)
    return f"{hits / of:.1%} ({low:.1%} to {high:.1%})"


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    middle, width = (
        (hits + z * z / 2) / (of + z * z),
        z * math.sqrt(hits * (of - hits) / of + z * z / 4) / (of + z * z),
    )
    return max(0.0, middle - width), min(1.0, middle + width)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all do not exceed."""
    return quantile(sorted(values), percent / 100)


def _keep(name: str, text: str) -> None:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    section = f"{begin}\n{text}\n{end}"
    pattern = re.compile(re.escape(begin) + r"[\s\S]*?" + re.escape(end))
    for path in (RESULTS, PAGE):
        document = path.read_text()
        if pattern.search(document):
            path.write_text(pattern.sub(lambda _: section, document))
        elif path == RESULTS:
            path.write_text(f"{document.rstrip()}\n\n{section}\n")
