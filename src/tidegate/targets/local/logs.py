"""Read the ends of the replicas' log files, keep each below a size, and remove those of fleets that are long gone."""

import contextlib
import shutil
from pathlib import Path

from tidegate.host.log_files import cut, cut_off_part, read_end
from tidegate.ports.logs import ReplicaLog

KEPT_GENERATIONS = 20
"""Logs of so many generations of each endpoint are kept, those written last."""
KEPT_REPLICAS = 50
"""Logs of so many replicas of one fleet are kept, those written last: one that never starts has a new one each
half minute."""
KEPT_JOBS = 200
"""Logs of so many transform jobs are kept, those written last."""
JOBS = "transform.*"
"""Their folders, among those of endpoints."""


def tail(logs: Path, endpoint: str, lines: int) -> list[ReplicaLog]:
    """The last ``lines`` lines of each replica of the endpoint that ever logged, newest generation last."""
    found = []
    for path in (logs / endpoint).glob("*/*/*.log"):
        generation, variant = path.parts[-3:-1]
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            log = ReplicaLog(int(generation), variant, path.stem, tuple(read_end(path, lines)))
            found.append((log.generation, path.stat().st_mtime, log))
    return [log for *_, log in sorted(found, key=lambda item: item[:2])]


def prune(logs: Path, files: str = "*.log") -> None:
    """Remove old logs. Age goes by time of writing: a new endpoint may reuse a name, and its generations then start
    again."""
    for job in sorted(logs.glob(JOBS), key=_written)[:-KEPT_JOBS]:
        shutil.rmtree(job, ignore_errors=True)
    for endpoint in logs.iterdir() if logs.is_dir() else []:
        generations = sorted(endpoint.iterdir(), key=_written)
        for old in generations[:-KEPT_GENERATIONS]:
            shutil.rmtree(old, ignore_errors=True)
        for variant in endpoint.glob("*/*"):
            for log in sorted(variant.glob(files), key=_written)[:-KEPT_REPLICAS]:
                log.unlink(missing_ok=True)
                cut_off_part(log).unlink(missing_ok=True)


def cut_all(logs: Path) -> None:
    for path in logs.glob("*/*/*/*.log"):
        cut(path)


def _written(path: Path) -> float:
    """When anything in the folder was last written."""
    newest = 0.0
    for one in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, one.stat().st_mtime)
    return newest
