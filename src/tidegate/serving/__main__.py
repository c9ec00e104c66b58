"""``python -m tidegate.serving REPLICA.json``.

Exit codes: 0 asked to go (SIGTERM) and drained; 3 it cannot do its work, ``failure.json`` says why; 2 the replica
file cannot be read.
"""

import sys
from pathlib import Path

from tidegate.domain.errors import StartupError
from tidegate.serving.contract.replica_spec import read
from tidegate.serving.process.worker_process import UNUSABLE, run


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tidegate.serving REPLICA.json", file=sys.stderr)
        return UNUSABLE
    path = Path(arguments[0]).absolute()
    try:
        spec = read(path)
    except StartupError as error:
        print(f"tidegate worker: {error}", file=sys.stderr)
        return UNUSABLE
    run(path, spec)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
