"""One item from the lease to its end: fetch, ask, put, record, tell."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tidegate.dispatcher.calls import Calls, Got
from tidegate.dispatcher.concurrency import Turn
from tidegate.dispatcher.files import Body, Output
from tidegate.dispatcher.notifications import Notices
from tidegate.dispatcher.objects import Objects
from tidegate.domain.asynchronous import (
    MAX_INLINE_BYTES,
    ItemMeasurements,
    ItemOutcome,
    ItemState,
    LeasedItem,
    OutcomeKind,
)
from tidegate.domain.errors import ArtifactError, NotFound, TidegateError, Transient, Unavailable
from tidegate.ports.queue import Note, Queue
from tidegate.queueing import destinations, transitions
from tidegate.queueing.transitions import Again, Answered, Begin, Fault, Finish, Tell, Wrong

log = logging.getLogger(__name__)

R = TypeVar("R")
TELLING_TRIES = 4
RETRY = 0.5
"""Seconds before something that the database or a receiver refused is tried again."""
PUT_AGAIN, GIVE_UP = 5.0, 3_600.0
"""Seconds before a failure that a storage did not take is put again, and after which it no longer is."""
MARGIN = 1.0
"""Seconds before the end of its lease from which on nothing more is put for an item."""


class Late(Exception):
    """The item is no longer ours."""


@dataclass
class Work:
    """``region`` stands in notifications; ``scratch`` is a folder for large bodies."""

    queue: Queue
    calls: Calls
    objects: Objects
    notices: Notices
    scratch: Path
    region: str

    async def carry(self, held: LeasedItem, there: bool, variant: str, turn: Turn) -> None:
        """Returns when the item is finished, back in the queue, or no longer ours."""
        try:
            await Carried(self, held, variant, turn).through(there)
        except Late:
            log.warning("request %s went to another dispatcher", held.item.id)
        finally:
            turn.end()


@dataclass
class Carried:
    work: Work
    held: LeasedItem
    variant: str
    turn: Turn
    values: dict[str, float] = field(default_factory=dict)
    _scratch: list[Path] = field(default_factory=list)

    def _file(self, what: str) -> Path:
        """A scratch file of this try alone."""
        path = self.work.scratch / f"{self.held.item.id}.{self.held.fence}.{what}"
        self._scratch.append(path)
        return path

    async def through(self, there: bool) -> None:
        try:
            step: Begin | Finish | Tell | Again | None = transitions.first(self.held, there, time.time())
            if isinstance(step, Begin):
                step = await self._tried(step)
            if isinstance(step, Again):
                await self._note(
                    ItemState.WAITING, due_at=step.due_at, tries=step.held.tries, losses=step.held.losses
                )
                return
            if isinstance(step, Finish):
                step = await self._finished(step.outcome)
            if isinstance(step, Tell):
                await self._told(step.outcome)
        finally:
            for path in self._scratch:
                path.unlink(missing_ok=True)

    async def _tried(self, begin: Begin) -> Finish | Again:
        """Fetches, asks and puts. An answer that cannot be put is asked for again."""
        item = self.held.item
        try:
            if begin.look and (found := await self._left()):
                return found
            body = await self._timed("RequestDownload", self._fetched)
            got = await self._asked(body)
            if isinstance(got, Wrong):
                return transitions.after(self.held, got, time.time())
            self.variant = got.variant or self.variant
            shown = _shown(got) if "success" in item.include else None
            await self._timed("ResponseUpload", lambda: self._put(item.output, got.body, got.content_type))
            return transitions.after(self.held, Answered(got.content_type, shown), time.time())
        except ArtifactError as error:
            return transitions.after(self.held, Wrong(Fault.INPUT, str(error)), time.time())
        except (Transient, Unavailable) as error:
            return transitions.after(self.held, Wrong(Fault.WORLD, str(error)), time.time())
        except NotFound as error:
            return transitions.after(self.held, Wrong(Fault.INPUT, str(error)), time.time())

    async def _asked(self, body: Body) -> Got | Wrong:
        if not await self.turn.begin():
            return Wrong(Fault.BUSY, "No instance is ready.")
        try:
            return await self.work.calls.ask(self.held.item, body, lambda: self._file("out"))
        finally:
            self.turn.end()

    async def _left(self) -> Finish | None:
        """What an earlier holder put before it died. A failure is put only after it was recorded."""
        if await asyncio.to_thread(self.work.objects.exists, self.held.item.output):
            return Finish(ItemOutcome(OutcomeKind.COMPLETED, time.time()))
        return None

    async def _fetched(self) -> Body:
        item = self.held.item
        if item.input is None:
            return await self.work.queue.body(item.id) if self.held.body is None else self.held.body
        return await asyncio.to_thread(self.work.objects.fetch, item.input, self._file("in"))

    async def _put(self, address: str, body: Body, content_type: str) -> None:
        """Raises Late where another may have the item by now, who would put something else."""
        if self._late():
            raise Late
        await self.work.objects.put(Output(address, body, self.held.fence, self._late), content_type)

    def _late(self) -> bool:
        return time.time() > self.turn.until - MARGIN

    async def _timed(self, name: str, work: Callable[[], Awaitable[R]]) -> R:
        began = time.monotonic()
        try:
            answer = await work()
        except TidegateError:
            self.values[f"{name}Failures"] = 1.0
            raise
        self.values[f"{name}Latency"] = (time.monotonic() - began) * 1e6
        return answer

    async def _finished(self, outcome: ItemOutcome) -> Tell | None:
        """A failure is put once it is recorded: whoever comes after a death then puts the same one."""
        item = self.held.item
        puts = outcome.end is not OutcomeKind.COMPLETED and item.failure is not None
        if not puts and not destinations.sinks(item, outcome):
            await self._done(outcome)
            return None
        await self._note(ItemState.NOTIFYING, due_at=self.turn.until, outcome=outcome)
        return Tell(outcome)

    async def _told(self, outcome: ItemOutcome) -> None:
        if not await self._put_failure(outcome):
            await self._note(ItemState.NOTIFYING, due_at=time.time() + PUT_AGAIN, outcome=outcome)
            return
        notice = destinations.notice(self.held.item, outcome, self.work.region)
        for sink in destinations.sinks(self.held.item, outcome):
            if not await self._sent(sink, notice):
                self.values["NotificationFailures"] = self.values.get("NotificationFailures", 0.0) + 1
        await self._done(outcome)

    async def _put_failure(self, outcome: ItemOutcome) -> bool:
        """Whether that is settled."""
        item = self.held.item
        if outcome.end is OutcomeKind.COMPLETED or item.failure is None:
            return True
        try:
            await self._put(item.failure, outcome.reason.encode(), "text/plain")
        except TidegateError as error:
            log.warning("request %s: what went wrong (%s) cannot be put: %s", item.id, outcome.reason, error)
            self.values["ResponseUploadFailures"] = 1.0
            return isinstance(error, ArtifactError) or time.time() - outcome.at > GIVE_UP
        return True

    async def _sent(self, sink: str, notice: dict[str, object]) -> bool:
        for number in range(TELLING_TRIES):
            try:
                await asyncio.to_thread(self.work.notices.send, sink, notice)
                return True
            except ArtifactError as error:
                log.warning("request %s: %s", self.held.item.id, error)
                return False
            except TidegateError as error:
                if number == TELLING_TRIES - 1:
                    log.warning("request %s could not be told: %s", self.held.item.id, error)
                await asyncio.sleep(RETRY * 2**number)
        return False

    async def _done(self, outcome: ItemOutcome) -> None:
        item, held, now = self.held.item, self.held, time.time()
        values = {
            **self.values,
            "TimeInBacklog": (held.begun_at - item.accepted_at) * 1e3,
            "InvocationsProcesssed": 1.0,
            "InvocationFailures": float(outcome.end is OutcomeKind.FAILED),
            "ExpiredRequests": float(outcome.end is OutcomeKind.EXPIRED),
        }
        if outcome.end is not OutcomeKind.EXPIRED:
            values["TotalProcessingTime"] = (now - held.begun_at) * 1e3
        measures = ItemMeasurements(item.endpoint, self.variant, now, values)
        await self._note(ItemState.DONE, outcome=outcome, measures=measures)

    async def _note(
        self,
        state: ItemState,
        *,
        due_at: float = 0.0,
        tries: int | None = None,
        losses: int | None = None,
        outcome: ItemOutcome | None = None,
        measures: ItemMeasurements | None = None,
    ) -> None:
        """Raises Late. While the database is away it is tried again: the lease is not renewed meanwhile, so that
        somebody else gets the item if this takes too long."""
        held = self.held
        note = Note(
            held.item.id,
            held.fence,
            state,
            due_at,
            held.tries if tries is None else tries,
            held.losses if losses is None else losses,
            outcome,
            measures,
        )
        while True:
            try:
                landed = await self.work.queue.note([note])
                break
            except Unavailable as error:
                log.warning("request %s: %s", held.item.id, error)
                await asyncio.sleep(RETRY)
        if not landed:
            raise Late


def _shown(got: Got) -> str | None:
    """The answer as text, where it is small and is one."""
    if isinstance(got.body, Path) or len(got.body) > MAX_INLINE_BYTES:
        return None
    try:
        return got.body.decode()
    except UnicodeDecodeError:
        return None
