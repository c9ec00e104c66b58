"""Finds the captured files of a window of time. Blocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tidegate.rows.capture_paths import began_at
from tidegate.rows.sources import Line, read_lines

HOUR = timedelta(hours=1)
SKEW = 300.0
"""Seconds by which clocks of hosts may differ, and a file may be late in its name."""


def hours_of(since: float, before: float) -> list[str]:
    """Folders below a variant's, in which files of this time may lie."""
    hour = datetime.fromtimestamp(since, UTC).replace(minute=0, second=0, microsecond=0)
    end, found = datetime.fromtimestamp(before, UTC), []
    while hour < end:
        found.append(f"{hour:%Y/%m/%d/%H}/")
        hour += HOUR
    return found


def read_window(address: str, since: float, before: float, span: float, s3: tuple[str, str]) -> Iterator[Line]:
    """All lines of the files below a variant's folder that may have captures of the window. ``span``: seconds that a
    file may be open. Raises TidegateError where they cannot be read; there may be none."""
    earliest = since - span - SKEW
    for hour in hours_of(earliest, before + SKEW):
        yield from read_lines(
            f"{address.rstrip('/')}/{hour}",
            s3,
            wanted=lambda path: (began := began_at(path)) is None or earliest <= began <= before + SKEW,
            empty=True,
        )
