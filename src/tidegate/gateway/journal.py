"""The journal of an endpoint, for those who watch it."""

import asyncio
import contextlib
from dataclasses import dataclass

from tidegate.domain.errors import NotFound
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT

POLL_EVERY = 1.0
"""Seconds until the journal is looked at again when no news came: another process may have written it."""


@dataclass(frozen=True)
class EventPage:
    events: list[dict[str, object]]
    next: int
    """Ask for what comes ``after`` this."""


def read_events(tx: Tx, endpoint: str, after: int, limit: int) -> EventPage:
    """What happened to the endpoint after the journal line ``after``, oldest first, of at most ``limit`` lines.

    An endpoint that was removed still has its journal; raises NotFound for one that never was.
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
    """As ``read_events``; with nothing to tell, waits up to ``wait`` seconds for something."""
    clock = asyncio.get_running_loop()
    end = clock.time() + wait
    store = gateway.context.store
    found = await store.run(lambda tx: read_events(tx, endpoint, after, limit))
    while not found.events and (left := end - clock.time()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, POLL_EVERY)):
                await gateway.changed.wait()
        seen = found.next
        found = await store.run(lambda tx: read_events(tx, endpoint, seen, limit))  # noqa: B023 (awaited right here)
    return found
