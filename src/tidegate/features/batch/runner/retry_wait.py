"""Retries while a storage or a disk is in trouble, and shows it in the job's progress."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.features.batch import loop
from tidegate.features.batch.loop import Incident
from tidegate.storage.files import translate

T = TypeVar("T")


MAX_FAILED_OBJECTS = 3
"""Objects in a row that failed without any progress of the job: then the trouble is not one object's."""
TRIES_AFTER_ONE = 3
"""Tries of an object after another one failed, without progress since."""


class RetryTimeout(TidegateError):
    """Trouble of the whole job lasted too long."""


@dataclass
class RetryWait:
    """``deadline`` is the job's, on ``clock``; None: it has none."""

    deadline: float | None = None
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each object waits."""
    _failed: Counter[str] = field(default_factory=Counter)
    """By kind of work, objects that failed since the last progress of any object."""

    async def retry(
        self, who: str, kind: str, work: Callable[[], Awaitable[T]], done: Callable[[], object] = lambda: None
    ) -> T:
        """Try until it succeeds. ``kind`` of work: reading says nothing about writing. ``done``
        changes with every progress. Raises what will not pass; Transient or RetryTimeout when the trouble has lasted
        too long."""
        incident: Incident | None = None
        before = done()
        try:
            while True:
                try:
                    found = await work()
                    self.mark_progress(kind)
                    return found
                except (Transient, OSError) as error:
                    trouble = translate("the job's folder", error) if isinstance(error, OSError) else error
                if isinstance(trouble, ArtifactError):
                    raise trouble
                now, progress = self.clock(), done()
                if progress != before:
                    self.mark_progress(kind)
                incident = loop.next_incident(incident, now, progressed=progress != before)
                before = progress
                if self._is_over(kind, incident, now):
                    raise self._too_long(kind, trouble, incident, now)
                self.reasons[who] = str(trouble)
                await self.sleep(incident.pause)
        finally:
            self.reasons.pop(who, None)

    def mark_progress(self, kind: str) -> None:
        """Records progress of this kind of work."""
        self._failed[kind] = 0

    def _is_over(self, kind: str, incident: Incident, now: float) -> bool:
        hopeless = self._failed[kind] > 0 and incident.tries >= TRIES_AFTER_ONE
        return hopeless or loop.is_over(incident, now, self.deadline)

    def _too_long(self, kind: str, trouble: TidegateError, incident: Incident, now: float) -> TidegateError:
        self._failed[kind] += 1
        message = f"{trouble} (for {now - incident.since:.0f} s, {incident.tries} tries)"
        return RetryTimeout(message) if self._failed[kind] >= MAX_FAILED_OBJECTS else Transient(message)
