"""``python -m tests.run_failed_again``: what CI does after a whole run in which a test failed.

Ten thousand tests start some thousand processes on a shared machine. Up to ``MOST`` of them may fail in the whole run
if each passes alone; they are named, since each is a defect of the test or of what it tests. More failures, or one
that fails again, fail the build; so does a run that ended for another reason.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""Where pytest records the tests that failed in its last run."""
MOST = 2


def refuse(failed: Collection[str]) -> str:
    """Why these tests are not run again; empty if they are."""
    if not failed:
        return "no test failed: the run ended for another reason"
    if len(failed) > MOST:
        return f"{len(failed)} tests failed: only up to {MOST} are run again"
    files = [name for name in failed if "::" not in name]
    return f"not collected: {', '.join(files)}" if files else ""


def main() -> int:
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    reason = refuse(failed)
    if reason:
        print(f"not run again: {reason}")
        return 1
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *failed], check=False)
    again = json.loads(FAILED.read_text()) if done.returncode and FAILED.exists() else {}
    for told, names in (
        ("failed in the whole run, passed alone", [name for name in failed if name not in again]),
        ("failed, and failed again alone", [name for name in failed if name in again]),
    ):
        if names:
            print(f"{told}: {', '.join(names)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
