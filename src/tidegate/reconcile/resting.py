"""Endpoints at rest: no rollout, no change of capacity, nothing to do and no deadline.

A decision about such an endpoint follows from its record and from what is seen of it, and time alone never changes
it. So it is not made again until one of the two is another one. Who changes either says so at once
(``Engine.kick``); this is for what nobody says: records and routes that somebody else has changed. All endpoints are
compared in one go, with one read of the store and one look at each target.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.domain.errors import TidegateError
from tidegate.ports.store import Store
from tidegate.ports.target import Look, ObservesAll, Target
from tidegate.service.record_kinds import ENDPOINT

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rest:
    """Basis of the last decision: the version of the record, and what was observed on its target."""

    target: str
    version: int
    look: Look


@dataclass
class RestingEndpoints:
    """``kick`` gives an endpoint a look and a decision of its own."""

    store: Store
    targets: Mapping[str, Target]
    kick: Callable[[str], None]
    _known: dict[str, Rest] = field(default_factory=dict)

    def add(self, name: str, rest: Rest) -> bool:
        """Whether the endpoint is compared from now on. It is not where its target shows one endpoint at a time, or
        where not all of it was seen: what is unknown is looked at again soon."""
        seen = rest.look.fleets is not None and rest.look.routes is not None
        if not seen or not isinstance(self.targets.get(rest.target), ObservesAll):
            return False
        self._known[name] = rest
        return True

    def discard(self, name: str) -> None:
        self._known.pop(name, None)

    async def compare(self) -> None:
        """Kick each endpoint whose record or look is another one, and all for which either cannot be had."""
        known = dict(self._known)
        if not known:
            return
        try:
            versions = await self.store.run(lambda tx: tx.versions(ENDPOINT))
        except Exception as error:
            _log_failure("records cannot be compared", error)
            versions = {}
        looks = await self._list_looks(known)
        for name, rest in known.items():
            if versions.get(name) != rest.version or looks.get(name) != rest.look:
                self.kick(name)

    async def _list_looks(self, known: Mapping[str, Rest]) -> dict[str, Look]:
        found = dict[str, Look]()
        for place in sorted({rest.target for rest in known.values()}):
            target = self.targets[place]
            assert isinstance(target, ObservesAll)
            try:
                found |= await target.observe_all([name for name, rest in known.items() if rest.target == place])
            except Exception as error:
                _log_failure(f"endpoints on {place} cannot be compared", error)
        return found


def _log_failure(what: str, error: Exception) -> None:
    """Whatever went wrong, each endpoint then gets a look of its own, which says it."""
    log.log(logging.DEBUG if isinstance(error, TidegateError) else logging.WARNING, "%s: %s", what, repr(error))


# --- pauses before something is tried again ---


def is_pausing(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether a pause goes on. No pause is longer than ``longest``: one that seems so began before the clock was set
    back, and is over."""
    return until is not None and now < until <= now + longest
