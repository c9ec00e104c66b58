"""``python -m tests.loops SEED``: replays one world, shrunk if it fails, and prints its timeline.

``--keep 0,2`` drops all faults but these; ``--keep all`` does not shrink; ``SEED --to SEED`` runs many seeds and
stops at the first failure.
"""

import argparse

from tests.loops.plans import draw_plan
from tests.loops.report import find_broken, first_failure, replay, shrink


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.loops", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--to", type=int, help="run the seeds from SEED up to here")
    parser.add_argument("--keep", help="places of the faults to keep, such as 0,2; none; all")
    given = parser.parse_args()
    if given.to is not None:
        failure = first_failure(range(given.seed, given.to))
        print(failure or f"seeds {given.seed} to {given.to - 1}: all invariants hold")
        return failure is not None
    plan = draw_plan(given.seed)
    if given.keep is None and find_broken(plan) is not None:
        found = shrink(plan)
    else:
        found = replay(plan, _parse_places(given.keep or "all", len(plan.faults)))
    print(found)
    return bool(found.message)


def _parse_places(text: str, count: int) -> tuple[int, ...]:
    if text == "all":
        return tuple(range(count))
    return () if text == "none" else tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    raise SystemExit(main())
