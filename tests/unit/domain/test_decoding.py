"""Types that several threads decode to for the first time at once. A fresh process each: the fault ends it."""

import subprocess
import sys

import pytest

AT_ONCE = """
import sys, threading
{imports}
sys.setswitchinterval(1e-6)
for _ in range({rounds}):
    {prepare}
    barrier = threading.Barrier(4)
    def work():
        barrier.wait()
        {work}
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
PARSER = "from datetime import UTC, datetime\nfrom tidegate.spec import build"
IMPORTS = "import msgspec\nfrom tidegate.domain.decoding import prepare_type"
FIELDS = "[('a', int, 0), ('b', kind and kind | None, None)]"
MAKE = f"kind = None\n    for n in range(40): kind = msgspec.defstruct(f'S{{n}}', {FIELDS})"
SPEC = {
    "endpoint": "e",
    "model": {"image": "tidegate/xgboost", "data": "file:///m"},
    "rollout": {"strategy": "linear", "step": "10%"},
}


@pytest.mark.parametrize(
    ("imports", "prepare", "work", "rounds"),
    [
        pytest.param(IMPORTS, MAKE, "msgspec.convert({'b': {'a': 1}}, prepare_type(kind))", 50, id="structures"),
        pytest.param(PARSER, "pass", f"build.parse({SPEC}, datetime.now(UTC))", 1, id="a spec"),
    ],
)
def test_threads_may_be_the_first_to_decode_to_a_type(imports: str, prepare: str, work: str, rounds: int) -> None:
    script = AT_ONCE.format(imports=imports, prepare=prepare, work=work, rounds=rounds)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
