"""A worker imports no library that it does not need: a Lambda package does not have it, and each start would pay."""

import subprocess
import sys

NEEDLESS = ("httpx", "numpy", "sqlalchemy", "yaml")


def test_the_process_of_a_worker_needs_few_libraries() -> None:
    code = (
        f"import sys, tidegate.serving.process.lifecycle; print([one for one in {NEEDLESS} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
