"""Reads the ends of the replicas' log files, keeps each below a size, removes those of fleets long gone."""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

KEPT_GENERATIONS = 20
"""Logs of so many generations of each endpoint are kept, those written last."""
KEPT_REPLICAS = 50
"""Logs of so many replicas of one fleet are kept, those written last: one that never starts has a new one each
half minute."""
KEPT_JOBS = 200
"""Logs of so many transform jobs are kept, those written last."""
JOBS = "transform.*"
"""Their folders, among those of endpoints."""
LARGEST = 32 * 1024 * 1024
"""Bytes at which a log is cut."""
CUT_TO = 4 * 1024 * 1024
"""Bytes of its end that are then kept beside it."""
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
    found = []
    for path in (logs / endpoint).glob("*/*/*.log"):
        generation, variant = path.parts[-3:-1]
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            log = ReplicaLog(int(generation), variant, path.stem, tuple(end(path, lines)))
            found.append((log.generation, path.stat().st_mtime, log))
    return [log for *_, log in sorted(found, key=lambda item: item[:2])]


def end(path: Path, lines: int) -> list[str]:
    """The last lines of a log, with those of the part that was cut off if it takes them."""
    found = _last(path, lines)
    if len(found) < lines and _cut_off(path).exists():
        found = _last(_cut_off(path), lines - len(found)) + found
    return found


def prune(logs: Path, files: str = "*.log") -> None:
    """A name may be given to a new endpoint, whose generations begin again: what is old is told by the time."""
    for job in sorted(logs.glob(JOBS), key=_written)[:-KEPT_JOBS]:
        shutil.rmtree(job, ignore_errors=True)
    for endpoint in logs.iterdir() if logs.is_dir() else []:
        generations = sorted(endpoint.iterdir(), key=_written)
        for old in generations[:-KEPT_GENERATIONS]:
            shutil.rmtree(old, ignore_errors=True)
        for variant in endpoint.glob("*/*"):
            for log in sorted(variant.glob(files), key=_written)[:-KEPT_REPLICAS]:
                log.unlink(missing_ok=True)
                _cut_off(log).unlink(missing_ok=True)


def cut(path: Path) -> None:
    """Keeps a log below its size while a process writes to it. The process has the file open for appending, so
    after the cut it writes on at the beginning; a line that comes in between is lost."""
    try:
        size = path.stat().st_size
        if size <= LARGEST:
            return
        with contextlib.suppress(OSError), path.open("rb") as file:  # on a full disk room is made all the same
            file.seek(size - CUT_TO)
            _cut_off(path).write_bytes(file.read(CUT_TO))
        os.truncate(path, 0)
    except FileNotFoundError:
        pass


def cut_all(logs: Path) -> None:
    for path in logs.glob("*/*/*/*.log"):
        cut(path)


def _cut_off(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def _written(path: Path) -> float:
    """When anything in it was written last."""
    newest = 0.0
    for one in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, one.stat().st_mtime)
    return newest


def _last(path: Path, lines: int) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _BLOCK))
        return file.read().decode(errors="replace").splitlines()[-lines:]
