"""Reads the ends of the replicas' log files and removes those of fleets long gone."""

import shutil
from dataclasses import dataclass
from pathlib import Path

KEPT_GENERATIONS = 20
"""Logs of the newest so many generations of each endpoint are kept."""
_BLOCK = 256 * 1024
"""Bytes read from the end of a file at the most."""


@dataclass(frozen=True)
class ReplicaLog:
    generation: int
    variant: str
    replica: str
    lines: tuple[str, ...]


def tail(logs: Path, endpoint: str, lines: int) -> list[ReplicaLog]:
    """The last ``lines`` lines of each replica of the endpoint that ever logged, newest generation last."""
    folder = logs / endpoint
    found = []
    for path in sorted(folder.glob("*/*/*.log"), key=lambda p: (int(p.parts[-3]), p.stat().st_mtime)):
        generation, variant = path.parts[-3:-1]
        found.append(ReplicaLog(int(generation), variant, path.stem, tuple(_end(path, lines))))
    return found


def prune(logs: Path) -> None:
    for endpoint in logs.iterdir() if logs.is_dir() else []:
        generations = sorted((g for g in endpoint.iterdir() if g.name.isdecimal()), key=lambda g: int(g.name))
        for old in generations[:-KEPT_GENERATIONS]:
            shutil.rmtree(old, ignore_errors=True)


def _end(path: Path, lines: int) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _BLOCK))
        return file.read().decode(errors="replace").splitlines()[-lines:]
