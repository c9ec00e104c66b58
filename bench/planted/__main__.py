"""How soon planted silent regressions are found, by each kind of evidence and by all of them; and how often honest
retrains are turned back.

python -m bench.planted [--runs 20] [--held-out] [--keep] [--folder F]: two hours or more on two cores. With a folder
what was run is kept there, and a later call goes on from it.
"""

import argparse
import os
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

from bench import tables
from bench.planted.held_out import HELD_OUT
from bench.planted.runs import LAST_OUTPUT, Case, CaseRuns, run_case
from bench.planted.versions import DENSE, FAULTS, HONEST
from bench.planted.worlds import WORLDS, make_worlds

HARM = ("defaults", "replay")
"""Kinds that look for harm: paired predictions by the default tolerances, and labels."""
UNIONS = (HARM, ("error", "replay"), ("features", *HARM), ("features", "predictions", *HARM))
KINDS = (("features",), ("defaults",), ("error",), ("predictions",), ("replay",), *UNIONS)
COLUMNS = (
    "features", "predictions", "predictions, unit of the error", "predictions, learned tolerances", "replay",
    "predictions or replay", "with the unit of the error", "features too", "learned tolerances too",
)  # fmt: skip
"""The heading of each of KINDS."""


def cases(runs: int, worlds: Sequence[str], names: Iterable[str]) -> list[Case]:
    """List the cases of each world. Honest versions have three times as many runs, since few may fail; a model with
    several outputs has each fault once more, in the last one only."""
    names = tuple(names)
    several = {world.name for world in make_worlds() if world.others and world.name in worlds}
    return [
        Case(world, name, 3 * runs if name in HONEST else runs)
        for world in worlds
        for name in (*names, *(LAST_OUTPUT + one for one in names if world in several and one not in HONEST))
    ]


def run_all(given: Sequence[Case], processes: int = 2, folder: Path | None = None) -> list[CaseRuns]:
    """Each case is printed as soon as it is known. ``folder``: of what this program has run and will run."""
    done = []
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(partial(_run_once, folder=folder), given):
            done.append(found)
            print(*row(found), *_errors(found), sep=" | ", flush=True)
    return done


def _run_once(case: Case, folder: Path | None) -> CaseRuns:
    if folder is None:
        return run_case(case)
    kept = folder / f"{case.world} {case.name} {case.runs}".replace("/", "-")
    if not kept.exists():
        found = run_case(case)
        folder.mkdir(parents=True, exist_ok=True)
        partly = kept.with_suffix(".part")
        partly.write_bytes(pickle.dumps(found))
        partly.rename(kept)
    read: CaseRuns = pickle.loads(kept.read_bytes())
    return read


def _errors(found: CaseRuns) -> Iterator[str]:
    """The runs that a kind which looks for harm judged otherwise than the harm is."""
    for run in found.runs:
        if run.harm.is_harm is not run.fails(HARM) and not (run.harm.is_harm and run.fails(("features",))):
            yield f"\n  {'missed' if run.harm.is_harm else 'turned back'}: {run.harm} by {run.tests} {run.replay}"


def row(found: CaseRuns) -> list[object]:
    """One case of one world."""
    harm = found.harm
    worse = f"AUC lost {harm.auc:.3f}" if found.classes else f"error gained {harm.error:.0%}"
    cells: list[object] = [found.case.world, found.case.name]
    cells.append(f"{worse}, mean {harm.mean:.0%}, slice {harm.slice:.0%}")
    cells.append(f"{found.harmful}/{len(found.runs)}")
    for kind in ("features", "defaults", "error", "predictions"):
        cells.append(_requests([one.requests[kind] for one in found.runs]))
    cells.append(
        f"{sum(bool(one.replay) for one in found.runs) / len(found.runs):.0%}{_needed(found.replay_labels)}"
    )
    cells.append(_needed(found.late_labels).strip(" ()") or "-")
    return [*cells, *(f"{found.share(kinds):.0%}" for kinds in (UNIONS[0], UNIONS[2]))]


def _requests(found: Sequence[int | None]) -> str:
    """Share of runs that failed, and after how many requests."""
    caught = [one for one in found if one is not None]
    if not caught:
        return "0%"
    return f"{len(caught) / len(found):.0%} ({median(caught):.0f})"


def _needed(found: Sequence[int | None]) -> str:
    """Labels that it took, where it was found at all in more than half of the runs."""
    caught = sorted(one for one in found if one is not None)
    return f" ({caught[len(caught) // 2]:,})" if len(caught) * 2 > len(found) else ""


def summary(found: Iterable[CaseRuns]) -> list[list[object]]:
    """Runs found by each kind, and by several together."""
    groups: Mapping[str, list[tuple[CaseRuns, int]]] = {
        "planted, harmful": [],
        "planted, harmless": [],
        "honest retrains": [],
    }
    for case in found:
        for number, run in enumerate(case.runs):
            group = "honest retrains" if case.case.name in HONEST else ""
            group = group or ("planted, harmful" if run.harm.is_harm else "planted, harmless")
            groups[group].append((case, number))
    rows: list[list[object]] = []
    for group, runs in groups.items():
        shares: list[object] = []
        for kinds in KINDS:
            caught = sum(case.runs[number].fails(kinds) for case, number in runs)
            shares.append(tables.share(caught, len(runs)))
        rows.append([group, len(runs), *shares])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", type=int, default=40, help="runs of each fault; of honest versions three times as many"
    )
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--held-out", action="store_true", help="the faults that nothing was chosen by")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="these versions alone, by name, with commas between")
    parser.add_argument("--folder", type=Path, help="where what was run is kept, to go on from it")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    began, worlds = time.perf_counter(), given.worlds.split(",")
    assert set(worlds) <= set(WORLDS)
    names = HELD_OUT if given.held_out else (*HONEST, *FAULTS, *DENSE)
    found = run_all(
        cases(given.runs, worlds, given.only.split(",") if given.only else names), given.processes, given.folder
    )
    print(f"{time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.0f}")
    header = ["world", "version", "change, median", "harmful runs", "features: found (requests)"]
    header += [*COLUMNS[1:4], "replay: found (labels)", "late labels needed"]
    header += ["predictions or replay", "features too"]
    name, command = ("planted-held-out", "planted --held-out") if given.held_out else ("planted", "planted")
    if given.worlds != ",".join(WORLDS):
        name, command = f"{name}-{'-'.join(worlds)}", f"{command} --worlds {given.worlds}"
    title = "Eleven more planted faults" if given.held_out else "Planted silent regressions and honest retrains"
    tables.show(name, title, header, [row(one) for one in found], keep=given.keep, command=command)
    header = ["versions", "runs", *COLUMNS]
    title = "Runs rolled back by each kind of evidence, with 95 % intervals (Wilson)"
    tables.show(f"{name}-sum", title, header, summary(found), keep=given.keep, command=command)


if __name__ == "__main__":
    main()
