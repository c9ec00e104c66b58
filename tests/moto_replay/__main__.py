"""``python -m tests.moto_replay MOTO``: moto's own tests against tidegate, each with its result or its reason.

``MOTO`` is moto's unpacked source distribution. Exits with 1 where a test neither passes nor has a reason in
``reasons.toml``, or where a reason explains nothing any more.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from tests.moto_replay.replay import Verdict, judge, reasons, run


def main(arguments: list[str]) -> int:
    parser = ArgumentParser(prog="python -m tests.moto_replay", description=__doc__)
    parser.add_argument("moto", type=Path, help="folder of moto's unpacked source distribution")
    parser.add_argument("--python", default=sys.executable, help="has moto, pytest and freezegun")
    parser.add_argument("-k", default="", help="only tests that fit this expression of pytest's")
    options = parser.parse_args(arguments)
    tests = (options.moto / "tests").resolve()
    if not (tests / "test_sagemaker").is_dir():
        parser.error(f"{tests} has no test_sagemaker: give the folder of moto's unpacked source distribution")
    results = run(tests, options.python, options.k)
    verdict = judge(results, reasons())
    show(verdict, stale=not options.k)
    return 1 if not results or verdict.open or (verdict.stale and not options.k) else 0


def show(verdict: Verdict, *, stale: bool) -> None:
    for result in verdict.passed:
        print(f"passed     {result.test}")
    for result in verdict.beside:
        print(f"beside     {result.test}: passes without asking tidegate")
    for result in verdict.skipped:
        print(f"skipped    {result.test}")
    for result, why in verdict.explained:
        print(f"explained  {result.test}: {why}")
    for result in verdict.open:
        print(f"OPEN       {result.test}: {result.says}")
    for row in verdict.stale if stale else ():
        print(f"STALE      {row}: has a reason, but nothing of it fails")
    print(
        f"{len(verdict.passed)} passed, {len(verdict.explained)} explained, {len(verdict.beside)} beside tidegate, "
        f"{len(verdict.skipped)} skipped by moto, "
        f"{len(verdict.open)} open, {len(verdict.stale) if stale else 0} stale reasons"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
