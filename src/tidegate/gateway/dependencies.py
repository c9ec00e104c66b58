"""What the gateway is given; ``compose`` joins it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tidegate.domain.transform import TransformProgress
from tidegate.settings import Settings
from tidegate.wire.operation import WireContext


def _none() -> str | None:
    return None


async def _nothing() -> str | None:
    return None


@dataclass(frozen=True)
class Gateway:
    settings: Settings
    context: WireContext
    """Store, metrics, clock and the rest; the native doors use the same as the wire."""
    signed: bool
    """Every request must be signed (``auth.keys.is_signing_required``)."""
    proxy_up: Callable[[], Awaitable[bool]]
    prometheus: Callable[[], Awaitable[str]]
    """The page for ``/metrics``."""
    logs: Callable[[str, int], Sequence[object]]
    """The last so many log lines of each replica of an endpoint, as JSON data; runs in a thread."""
    models: Callable[[str, int], Awaitable[Sequence[object]]]
    """The models that each replica of an endpoint has loaded, at most so many of each, as JSON data."""
    progress: Callable[[str], TransformProgress | None]
    """What the runner of a transform job has done by now; None where there is none."""
    down: Callable[[], None]
    """Asks the whole platform to drain and stop, and returns at once."""
    changed: asyncio.Event
    """Set and cleared again whenever a record was written, to wake those who wait for news."""
    installation: str = ""
    """The id of the state folder's installation."""
    trouble: Callable[[], str | None] = _none
    """Why the loops cannot save what they do; None when they can."""
    unwritable: Callable[[], Awaitable[str | None]] = _nothing
    """Why the state folder takes no writes; None when it does."""
