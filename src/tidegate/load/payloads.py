"""Bodies to send: lines of a file."""

from pathlib import Path
from random import Random

from tidegate.domain.errors import Invalid

MOST_PAYLOADS = 10_000
TYPES = {".csv": "text/csv", ".jsonl": "application/json", ".ndjson": "application/json"}


def read(payloads: Path, content_type: str | None) -> tuple[list[bytes], str]:
    """The bodies in random order (the same each time), and their content type."""
    try:
        lines = [line.strip() for line in payloads.read_text().splitlines() if line.strip()][: MOST_PAYLOADS + 1]
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{payloads}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if payloads.suffix == ".csv" and lines and not any(_is_number(cell) for cell in lines[0].split(",")):
        lines = lines[1:]
    if not lines:
        raise Invalid(f"{payloads}: it has no lines")
    bodies = [line.encode() for line in lines[:MOST_PAYLOADS]]
    Random(0).shuffle(bodies)
    return bodies, content_type or TYPES.get(payloads.suffix, "text/csv")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
