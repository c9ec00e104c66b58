"""Keeps the record of each rollout that has ended, signed."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tidegate.compose.background import Services, Worker
from tidegate.domain.errors import TidegateError, Unavailable
from tidegate.domain.history import VersionOutcome
from tidegate.features.release_record.document import describe_release
from tidegate.features.release_record.kinds import RELEASE, SignedRelease
from tidegate.features.release_record.signing import sign_record
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store, Tx
from tidegate.service import history
from tidegate.service.record_kinds import ENDPOINT, HISTORY

log = logging.getLogger(__name__)
NEWEST = 5
"""Entries of an endpoint that are looked at: more do not end between two turns."""
MOST_LINES = 1_000


@dataclass
class RecordKeeper(Worker):
    """``state``: the folder of the key. A record is written once, by the name of its rollout, so a controller that
    comes back writes what an earlier one left out."""

    store: Store
    clock: Clock
    state: Path
    _through: int | None = None
    """The journal's line up to which histories were read; None: none was."""
    _trouble: str = ""
    """Why nothing is signed; logged once."""
    _failing: set[str] = field(default_factory=set)
    """Endpoints of which a record cannot be composed; logged once, tried again when its history changes."""

    async def turn(self) -> None:
        newest = await self.store.newest()
        if newest is None or newest[0] == self._through:
            return
        try:
            await self.store.run(lambda tx: self._keep(tx, self.clock.now()))
        except Unavailable as error:
            if self._trouble != error.message:
                self._trouble = error.message
                log.warning("no records of releases are kept: %s", error.message)
            return
        self._through, self._trouble = newest[0], ""

    def _keep(self, tx: Tx, now: datetime) -> None:
        if self._through is None:
            names = {saved.name for saved in tx.find(ENDPOINT).items}
        else:
            lines = tx.journal(kind=HISTORY.name, after=self._through, limit=MOST_LINES, bodies=False)
            names = {line.name for line in lines}
            if len(lines) == MOST_LINES:  # there may be more
                names = {saved.name for saved in tx.find(ENDPOINT).items}
        for name in sorted(names):
            self._keep_one(tx, name, now)

    def _keep_one(self, tx: Tx, name: str, now: datetime) -> None:
        """Keep the records of one endpoint; what cannot be composed costs no other endpoint its records."""
        try:
            keep_records(tx, name, self.state, now)
        except TidegateError:
            raise
        except Exception:
            if name not in self._failing:
                log.exception("the record of a release of endpoint %s cannot be composed", name)
            self._failing.add(name)
        else:
            self._failing.discard(name)


def keep_records(tx: Tx, name: str, state: Path, now: datetime) -> None:
    """Write the records of an endpoint's newest rollouts that have ended and have none. Raises Unavailable."""
    endpoint = tx.get(ENDPOINT, name)
    if endpoint is None:
        return
    for entry in history.read(tx, name).begun[-NEWEST:]:
        key = f"{name}.{entry.number}.{entry.rollout}"
        if entry.outcome is VersionOutcome.ROLLING_OUT or not entry.rollout or tx.get(RELEASE, key) is not None:
            continue
        record = describe_release(tx, endpoint.body, entry, now)
        tx.put(RELEASE, key, SignedRelease(sign_record(record, state)), expect=0, now=now)


def make_loop(services: Services) -> RecordKeeper:
    return RecordKeeper(services.store, services.clock, services.settings.state)
