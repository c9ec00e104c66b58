"""The server may have as many files open as hundreds of replicas take, whatever the shell that starts it sets."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from tidegate.host import process_facts
process_facts.MOST = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
process_facts.allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "most", "after"),
    [(64, 256, 512, 256), (64, 512, 256, 256), (300, 512, 256, 300), (256, 256, 512, 256)],
)
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, most: int, after: int) -> None:
    given = [str(number) for number in (soft, hard, most)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *given], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(after), str(hard)]
