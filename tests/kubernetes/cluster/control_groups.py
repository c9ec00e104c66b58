"""Control groups of version 1: one for a node in every hierarchy, below which kubelet makes those of its pods."""

import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "pids", "systemd")
_PATIENCE = 20.0
"""Seconds that the kernel may take to drop the processes of a node that was killed."""


def missing() -> list[str]:
    """Hierarchies that kubelet needs and this machine does not have."""
    return [name for name in _NEEDED if not (ROOT / name / "cgroup.procs").exists()]


def create(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str) -> None:
    """Remove the group and all below it. Raises OSError for one that still has processes."""
    deadline = time.monotonic() + _PATIENCE
    for hierarchy in _hierarchies():
        while (hierarchy / name).exists():
            try:
                for folder, _, _ in os.walk(hierarchy / name, topdown=False):
                    Path(folder).rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def _hierarchies() -> list[Path]:
    return [each for each in sorted(ROOT.iterdir()) if (each / "cgroup.procs").exists() and not each.is_symlink()]
