"""Takes shadow tests further: each in a transaction of its own, so that one which is refused holds up no other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tidegate.compose.background import Services, Worker
from tidegate.domain.errors import TidegateError
from tidegate.domain.targets import TargetTable
from tidegate.features.shadow import service as use
from tidegate.features.shadow.records import EXPERIMENT
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.store import Stale, Store, Tx

log = logging.getLogger(__name__)


@dataclass
class Experiments(Worker):
    """``kick`` wakes an endpoint's engine."""

    store: Store
    clock: Clock
    ids: Ids
    kick: Callable[[str], None]
    targets: TargetTable = field(default_factory=TargetTable)

    async def turn(self) -> None:
        """One step of each test that has not ended. What fails is logged, and tried again by the next turn."""
        try:
            names = await self.store.run(_list_running)
        except TidegateError as error:
            log.warning("inference experiments were not looked at: %s", error)
            return
        for name in names:
            try:
                await self._advance(name)
            except Stale:
                pass  # somebody else changes it; the next turn sees how
            except TidegateError as error:
                log.warning("inference experiment %s was not taken further: %s", name, error)
            except Exception:
                log.exception("inference experiment %s was not taken further", name)

    async def _advance(self, name: str) -> None:
        now = self.clock.now()
        work = partial(use.advance, name=name, rollout_id=self.ids.new("rollout"), targets=self.targets, now=now)
        try:
            test, written = await self.store.run(work)
        except TidegateError as error:
            refused = error
            if await self.store.run(lambda tx: use.note_refusal(tx, name, refused, now)):
                log.warning("inference experiment %s: %s", name, refused)
            return
        if written:
            log.info("inference experiment %s: %s %s", name, test.status, test.reason)
            self.kick(test.endpoint)


def _list_running(tx: Tx) -> list[str]:
    return [saved.name for saved in tx.find(EXPERIMENT).items if not saved.body.ended]


def make_loop(services: Services) -> Experiments:
    return Experiments(services.store, services.clock, services.ids, services.kick, services.targets)
