"""Send state changes to receivers: each change at least once, in order, across restarts."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store, Tx
from tidegate.service import state_events
from tidegate.service.record_kinds import CURSOR, Cursor
from tidegate.service.state_events import AccountRegion, EventBatch

log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds after a failure before a receiver is tried again."""


@dataclass
class Announcer:
    """For one receiver. ``send`` blocks; it raises Transient or ArtifactError."""

    store: Store
    clock: Clock
    place: AccountRegion
    receiver: str
    send: Callable[[str, dict[str, Any]], None]
    _seq: int | None = None
    """Lines up to this one were looked at; None: not read yet."""
    _not_before: float = 0.0

    async def turn(self) -> None:
        """Send new events. Failures are logged and sent again later."""
        if self.clock.now().timestamp() < self._not_before:
            return
        try:
            if self._seq is None:
                self._seq = await self.store.run(self._begin)
            found = await self.store.run(partial(state_events.read_events, after=self._seq, place=self.place))
            await self._send(found)
        except TidegateError as error:
            log.warning("state changes cannot be sent to %s: %s", self.receiver, error)
            self._not_before = self.clock.now().timestamp() + PATIENCE

    async def _send(self, found: EventBatch) -> None:
        for event in found.events:
            try:
                await asyncio.to_thread(self.send, self.receiver, event)
            except ArtifactError as error:  # it will not get better: one event must not hold up the others
                log.warning("the state change %s was not sent: %s", event["id"], error)
        if found.events:
            await self.store.run(partial(self._keep, seq=found.through))
        self._seq = found.through

    def _begin(self, tx: Tx) -> int:
        """A new receiver gets the events from now on."""
        saved = tx.get(CURSOR, self._name)
        if saved is not None:
            return saved.body.seq
        seq = state_events.newest_line(tx)
        self._keep(tx, seq)
        return seq

    def _keep(self, tx: Tx, seq: int) -> None:
        tx.put(CURSOR, self._name, Cursor(seq), expect=None, now=self.clock.now())

    @property
    def _name(self) -> str:
        """An address may hold a secret."""
        return hashlib.sha256(self.receiver.encode()).hexdigest()[:32]
