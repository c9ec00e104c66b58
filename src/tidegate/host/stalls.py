"""When a process that does not answer hangs. Pure.

One that computes, waits for a processor or waits for the disk gets somewhere; only one that is stopped or deadlocked
does not.
"""

from tidegate.host.process_stats import ProcessStats

SILENT_FOR = 5.0
"""Seconds without an answer, and without getting anywhere, until a process counts as hanging."""
SILENT = f"it has not answered for {SILENT_FOR:g} s, nor done anything else"
STOPPED = "it is stopped, by a signal or a debugger"


def got_nowhere(before: ProcessStats | None, after: ProcessStats | None, seconds: float) -> bool:
    """Whether a family of processes did nothing between two looks. False where that is unknown: no proof."""
    return before is not None and after is not None and not after.has_progressed(before, seconds)
