"""Waits for a storage or a disk that is in trouble, and says so in the job's progress."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.transform import incidents
from tidegate.transform.incidents import Incident

T = TypeVar("T")


GIVEN_UP_AFTER = 3
"""Objects in a row that trouble has ended, with nothing in the job going on meanwhile: then it is not theirs."""
TRIES_AFTER_ONE = 3
"""What the next object gets when trouble has ended the one before, and nothing has gone on since."""


class GivenUp(TidegateError):
    """Trouble of the whole job that has lasted too long."""


def of_disk(what: str, error: OSError) -> Transient | ArtifactError:
    """A file system's error as what it means for the job."""
    kind = Transient if error.errno in incidents.PASSING else ArtifactError
    return kind(f"{what}: {error.strerror or error}")


@dataclass
class Waits:
    """``deadline`` is the job's, of the loop's clock; None: it has none."""

    deadline: float | None = None
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    reasons: dict[str, str] = field(default_factory=dict)
    """What is waited for, by who waits."""
    _ended: Counter[str] = field(default_factory=Counter)
    """Objects that trouble has ended since this kind of work went on, of any object."""

    async def out(
        self, who: str, kind: str, work: Callable[[], Awaitable[T]], done: Callable[[], object] = lambda: None
    ) -> T:
        """Try until it works. ``kind`` of work: what can be read says nothing of what can be written. ``done``
        changes with every progress. Raises what will not pass; Transient or GivenUp when the trouble has lasted too
        long."""
        incident: Incident | None = None
        before = done()
        try:
            while True:
                try:
                    found = await work()
                    self.moved(kind)
                    return found
                except (Transient, OSError) as error:
                    trouble = of_disk("the job's folder", error) if isinstance(error, OSError) else error
                if isinstance(trouble, ArtifactError):
                    raise trouble
                now, progress = self.clock(), done()
                if progress != before:
                    self.moved(kind)
                incident = incidents.after(incident, now, progressed=progress != before)
                before = progress
                if self._over(kind, incident, now):
                    raise self._too_long(kind, trouble, incident, now)
                self.reasons[who] = str(trouble)
                await self.sleep(incident.pause)
        finally:
            self.reasons.pop(who, None)

    def moved(self, kind: str) -> None:
        """Work of this kind goes on."""
        self._ended[kind] = 0

    def _over(self, kind: str, incident: Incident, now: float) -> bool:
        hopeless = self._ended[kind] > 0 and incident.tries >= TRIES_AFTER_ONE
        return hopeless or incidents.over(incident, now, self.deadline)

    def _too_long(self, kind: str, trouble: TidegateError, incident: Incident, now: float) -> TidegateError:
        self._ended[kind] += 1
        message = f"{trouble} (for {now - incident.since:.0f} s, {incident.tries} tries)"
        return GivenUp(message) if self._ended[kind] >= GIVEN_UP_AFTER else Transient(message)
