"""The sender of spans to a collector, if the settings name one."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tidegate import __version__
from tidegate.domain.errors import StartupError
from tidegate.domain.spans import Span
from tidegate.host.late_import import load
from tidegate.settings import Settings

MOST_HEADERS = 16 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Sender(Protocol):
    """``features/tracing/otlp.py`` has the real one."""

    def send(self, found: Sequence[Span]) -> bool: ...

    def close(self) -> None: ...


def make_sender(settings: Settings, instance: str) -> Sender | None:
    """Make the sender; None if nothing is traced. Raises StartupError."""
    if not settings.trace_endpoint:
        return None
    try:
        sender = load("tidegate.features.tracing.otlp", "OtlpSender")
    except ModuleNotFoundError as error:
        raise StartupError(
            f"TIDEGATE_TRACE_ENDPOINT is set, but {error.name} is not installed: install 'tidegate[otel]' or unset it"
        ) from None
    made: Sender = sender(settings.trace_endpoint, read_headers(settings.trace_headers), __version__, instance)
    return made


def check_settings(settings: Settings) -> None:
    """Check that a sender can be made. Raises StartupError for a missing package, and for headers that cannot be
    read."""
    sender = make_sender(settings, "")
    if sender is not None:
        sender.close()


def read_headers(path: Path | None) -> dict[str, str]:
    """Read headers from a file, by name. Raises StartupError, which never shows a value."""
    if path is None:
        return {}
    try:
        with path.expanduser().open(encoding="ascii") as file:
            text = file.read(MOST_HEADERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise StartupError(f"TIDEGATE_TRACE_HEADERS: cannot read {path}: {why}") from None
    if len(text) > MOST_HEADERS:
        raise StartupError(f"TIDEGATE_TRACE_HEADERS: {path} has more than {MOST_HEADERS} bytes")
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if line.strip():
            if (
                not colon
                or not value.strip()
                or not value.strip().isprintable()
                or not _NAME.fullmatch(name.strip())
            ):
                raise StartupError(f"TIDEGATE_TRACE_HEADERS: line {number} of {path} is not 'name: value'")
            found[name.strip().lower()] = value.strip()
    return found
