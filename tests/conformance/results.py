"""The results of the scenarios, and the table in docs/targets.md that is made of them.

``make conformance`` runs every scenario that this machine can run, writes the results to docs/conformance.json and
the table to docs/targets.md. What it cannot run keeps the result, with its date, of the last run that could.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tidegate.targets.registry import KINDS

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "conformance.json", DOCS / "targets.md"
BEGIN, END = "<!-- conformance: made by 'make conformance' -->", "<!-- end of conformance -->"
VARIABLE = "TIDEGATE_CONFORMANCE"
"""File that a run writes its results to; unset: none."""
PASSED, DIFFERENT = "passed", "different"
WORDS = {"": "not run", PASSED: "yes", DIFFERENT: "differs"}

Results = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Target -> scenario -> outcome, date, where it ran, and why it differs."""


def record(column: str, scenario: str, outcome: str, why: str = "", place: str = "") -> None:
    """Write one result, if the run writes any and the target is a shipped one. A run that fails removes what an
    earlier one has shown. ``column``: the target, and after a comma what its models are. ``place``: what the target
    was made of, where that is not this machine alone."""
    if not (name := os.environ.get(VARIABLE)) or column.partition(",")[0] not in KINDS:
        return
    path = Path(name)
    known = json.loads(path.read_text()) if path.exists() else {}
    found = {"outcome": outcome, "date": datetime.now(UTC).date().isoformat(), **({"why": why} if why else {})}
    if place:
        found["place"] = place
    known.setdefault(column, {})[scenario] = found
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def table(results: Results, scenarios: list[str]) -> str:
    """Markdown: a row for each scenario, a column for each target, and the differences below."""
    targets = sorted(results, key=lambda name: (not name.startswith("local"), name))
    lines = [f"| scenario | {' | '.join(targets)} |", f"|---{'|---' * len(targets)}|"]
    notes: list[str] = []
    for scenario in scenarios:
        cells = []
        for target in targets:
            found = results[target].get(scenario)
            outcome = "" if found is None else found["outcome"]
            cells.append(WORDS.get(outcome, "no"))
            if found is not None and "why" in found:
                notes.append(f"- {target}, {scenario}: {found['why']}.")
        lines.append(f"| {scenario} | {' | '.join(cells)} |")
    runs = [f"- {target}: {_run(results[target].values())}." for target in targets if results[target]]
    last = ["Last runs:", "", *runs] if runs else ["Not run yet."]
    return "\n".join([*lines, "", *last, *(["", "Differences:", "", *notes] if notes else [])])


def _run(found: Iterable[Mapping[str, str]]) -> str:
    """When a target's column was made, and where."""
    found = list(found)
    dates = sorted({one["date"] for one in found})
    places = sorted({one["place"] for one in found if "place" in one})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return ", ".join([when, *(f"on {place}" for place in places)])


def insert(page: str, made: str) -> str:
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    from tests.conformance.scenarios import SCENARIOS  # noqa: PLC0415 (imports pytest, which only tests have)

    results = json.loads(RESULTS.read_text())
    PAGE.write_text(insert(PAGE.read_text(), table(results, list(SCENARIOS))))
    print(f"{PAGE} is made of {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
