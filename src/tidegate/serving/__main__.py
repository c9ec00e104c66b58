"""``python -m tidegate.serving REPLICA.json``.

Exit codes: 0 asked to go (SIGTERM) and drained; 3 it cannot do its work, ``failure.json`` says why; 2 the replica
file cannot be read.
"""

import faulthandler
import os
import sys
from pathlib import Path

import uvloop

from tidegate.domain.errors import StartupError
from tidegate.serving.contract.memory_release import use_system_allocator
from tidegate.serving.contract.replica_spec import ReplicaSpec, most_threads, read
from tidegate.serving.process.lifecycle import Worker


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tidegate.serving REPLICA.json", file=sys.stderr)
        return 2
    path = Path(arguments[0]).absolute()
    try:
        spec = read(path)
    except StartupError as error:
        print(f"tidegate worker: {error}", file=sys.stderr)
        return 2
    faulthandler.enable()
    use_system_allocator()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would report on its use
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when numpy and the runtime are imported
        os.environ[variable] = str(most_threads(spec))
    uvloop.run(_live(path, spec))
    return 0


async def _live(path: Path, spec: ReplicaSpec) -> None:
    code = await Worker(path, spec).run()
    sys.stdout.flush()
    os._exit(code)  # a download or a prediction that was given up may still sit in a thread


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
