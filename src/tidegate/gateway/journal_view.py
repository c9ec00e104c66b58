"""The journal of an endpoint, for clients that watch it."""

import asyncio
import contextlib
from dataclasses import dataclass

from tidegate.domain.errors import NotFound
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT

POLL_EVERY = 1.0
"""Seconds between reads of the journal while waiting; another process may have written to it."""


@dataclass(frozen=True)
class EventPage:
    events: list[dict[str, object]]
    next: int
    """A page of events. Ask for the next one with ``after`` set to ``next``."""


def read_events(tx: Tx, endpoint: str, after: int, limit: int) -> EventPage:
    """Read the endpoint's events after the journal line ``after``, oldest first, from at most ``limit`` lines.

    The journal of a removed endpoint can still be read; raises NotFound for an endpoint that never existed.
    """
    lines = tx.journal(kind=ENDPOINT.name, name=endpoint, after=after, limit=limit, bodies=False)
    if not lines and not tx.journal(kind=ENDPOINT.name, name=endpoint, limit=1, bodies=False):
        raise NotFound(f'there is no endpoint "{endpoint}"', about=(ENDPOINT.name, endpoint))
    events: list[dict[str, object]] = [
        {"seq": line.seq, "at": line.at.isoformat(), "kind": e.kind, "message": e.message, "data": e.data}
        for line in lines
        for e in line.events
    ]
    return EventPage(events, lines[-1].seq if lines else after)


async def wait_for_events(gateway: Gateway, endpoint: str, after: int, limit: int, wait: float) -> EventPage:
    """Like ``read_events``; if there are none, wait up to ``wait`` seconds for some."""
    clock = asyncio.get_running_loop()
    end = clock.time() + wait
    store = gateway.context.store
    found = await store.read(lambda tx: read_events(tx, endpoint, after, limit))
    while not found.events and (left := end - clock.time()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, POLL_EVERY)):
                await gateway.changed.wait()
        seen = found.next
        found = await store.read(lambda tx: read_events(tx, endpoint, seen, limit))  # noqa: B023 (awaited right here)
    return found
