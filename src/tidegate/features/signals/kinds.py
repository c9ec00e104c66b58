"""The records that signals keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.ports.store import Kind


@dataclass(frozen=True)
class SignalReport:
    """Signals of an endpoint that cannot be read: name of the alarm -> reason."""

    unread: Mapping[str, str]


SIGNAL_REPORT = Kind("signal-report", SignalReport)
KINDS: tuple[Kind[Any], ...] = (SIGNAL_REPORT,)
