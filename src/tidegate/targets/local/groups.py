"""Control groups of replicas, as their supervisor sees them: each worker leaves the path of its own in ``cgroup``."""

import contextlib
from pathlib import Path

GROUP = "cgroup"


def killed(folder: Path) -> bool:
    """Whether the kernel ended the replica of this folder at its group's wall."""
    try:
        events = (Path((folder / GROUP).read_text()) / "memory.events").read_text().split()
    except OSError:
        return False
    counts = dict(zip(events[::2], events[1::2], strict=False))
    return int(counts.get("oom_kill", "0")) > 0


def remove(folder: Path) -> None:
    """The group of a replica that has ended."""
    with contextlib.suppress(OSError):
        Path((folder / GROUP).read_text()).rmdir()
