"""Control groups of replicas, as their supervisor sees them: each worker leaves the path of its own in ``cgroup``."""

import contextlib
from pathlib import Path

GROUP = "cgroup"


def killed(folder: Path) -> int | None:
    """The memory limit in bytes if the kernel ended the replica of this folder for exceeding it; otherwise None."""
    for events in ("memory.events", "memory.oom_control"):  # cgroup v2, v1
        try:
            group, limit = (folder / GROUP).read_text().splitlines()
            words = (Path(group) / events).read_text().split()
        except (OSError, ValueError):
            continue
        counts = dict(zip(words[::2], words[1::2], strict=False))
        return int(limit) if int(counts.get("oom_kill", "0")) > 0 else None
    return None


def remove(folder: Path) -> None:
    """Remove the control group of a replica that has ended."""
    with contextlib.suppress(OSError, IndexError):
        Path((folder / GROUP).read_text().splitlines()[0]).rmdir()
