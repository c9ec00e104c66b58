"""Processes one item, from lease to end: fetch the input, invoke the model, store the output, record, notify."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tidegate.domain.asynchronous import (
    MAX_INLINE_BYTES,
    ItemOutcome,
    ItemState,
    LeasedItem,
    OutcomeKind,
)
from tidegate.domain.errors import ArtifactError, NotFound, TidegateError, Transient, Unavailable
from tidegate.features.asynchronous import destinations
from tidegate.features.asynchronous.dispatcher.calls import ModelClient, ModelResponse
from tidegate.features.asynchronous.dispatcher.concurrency import ConcurrencySlot
from tidegate.features.asynchronous.dispatcher.objects import Objects
from tidegate.features.asynchronous.dispatcher.outcomes import (
    MARGIN,
    Notifier,
    RequestProgress,
    end_report,
    failure_of,
)
from tidegate.http1.messages import StreamedReply
from tidegate.ports.queue import ItemReport, Queue
from tidegate.queueing import transitions
from tidegate.queueing.transitions import (
    AttemptFailed,
    AttemptSucceeded,
    FaultKind,
    Invoke,
    Notify,
    RecordEnd,
    Requeue,
)
from tidegate.storage.output_files import OutputFile

log = logging.getLogger(__name__)

R = TypeVar("R")
NOTIFICATION_TRIES = 4
RETRY = 0.5
"""Seconds before a write to the database or a notification is tried again."""
FAILURE_RETRY, FAILURE_GIVE_UP = 5.0, 3_600.0
"""Seconds before storing a failure is tried again, and after which it is given up."""


class _LeaseLost(Exception):
    """Another dispatcher may have the item."""


@dataclass
class RequestProcessor:
    """``region`` is named in notifications; ``scratch`` is a folder for large bodies."""

    queue: Queue
    calls: ModelClient
    objects: Objects
    notices: Notifier
    scratch: Path
    region: str

    async def process(
        self,
        held: LeasedItem,
        exists: bool,
        variant: str,
        slot: ConcurrencySlot,
        begun: RequestProgress | None = None,
    ) -> None:
        """Returns when the item has ended, is requeued, or has another holder. ``exists``: its endpoint does.
        ``begun``: how far it came without a task."""
        try:
            attempt = _Attempt(self, held, variant, slot)
            if begun is None:
                await attempt.run(exists)
            else:
                await attempt.go_on(begun)
        except _LeaseLost:
            log.warning("request %s went to another dispatcher", held.item.id)
        finally:
            slot.release()


@dataclass
class _Attempt:
    processor: RequestProcessor
    held: LeasedItem
    variant: str
    slot: ConcurrencySlot
    values: dict[str, float] = field(default_factory=dict)
    _scratch: list[Path] = field(default_factory=list)

    def _file(self, what: str) -> Path:
        """A scratch file of this attempt alone."""
        path = self.processor.scratch / f"{self.held.item.id}.{self.held.fence}.{what}"
        self._scratch.append(path)
        return path

    async def run(self, exists: bool) -> None:
        step = transitions.next_step(self.held, exists, time.time())
        with self._remove_scratch():
            if isinstance(step, Invoke):
                await self._take(await self._attempt(step.look))
            elif isinstance(step, RecordEnd) and step.look:
                await self._take(await self._look_first(step))
            else:
                await self._take(step)

    async def go_on(self, begun: RequestProgress) -> None:
        """From where it came without a task."""
        self.values = begun.values
        with self._remove_scratch():
            if isinstance(begun.got, ItemReport):
                await self._send_report(begun.got)
            else:
                await self._take(await self._store(begun.got, begun.seconds))

    @contextmanager
    def _remove_scratch(self) -> Iterator[None]:
        try:
            yield
        finally:
            for path in self._scratch:
                path.unlink(missing_ok=True)

    async def _take(self, step: RecordEnd | Notify | Requeue | None) -> None:
        if isinstance(step, Requeue):
            held = step.held
            await self._note(
                ItemState.WAITING,
                due_at=step.due_at,
                tries=held.tries,
                losses=held.losses,
                outcome=held.outcome,
            )
            return
        if isinstance(step, RecordEnd):
            step = await self._finish(step.outcome)
        if isinstance(step, Notify):
            await self._notify(step.outcome)

    async def _attempt(self, look: bool) -> RecordEnd | Requeue:
        """Fetches, invokes and stores. A response that cannot be stored is computed again."""
        try:
            if look and (found := await self._find_output()):
                return found
            body = await self._measure("RequestDownload", self._fetch)
        except (ArtifactError, NotFound, Transient, Unavailable) as error:
            return transitions.after_attempt(self.held, failure_of(error), time.time())
        return await self._store(await self._invoke(body), 0.0)

    async def _store(
        self, got: ModelResponse | AttemptFailed | StreamedReply, seconds: float
    ) -> RecordEnd | Requeue:
        """``seconds``: left for a response that is still coming."""
        item = self.held.item
        if isinstance(got, StreamedReply):
            try:
                got = await self.processor.calls.finish(item, got, seconds, lambda: self._file("out"))
            finally:
                self.slot.release()
        if isinstance(got, AttemptFailed):
            return transitions.after_attempt(self.held, got, time.time())
        self.variant = got.variant or self.variant
        shown = _inline_body(got) if "success" in item.include else None
        body, content_type = got.body, got.content_type
        try:
            await self._measure("ResponseUpload", lambda: self._put(item.output, body, content_type))
        except (ArtifactError, NotFound, Transient, Unavailable) as error:
            return transitions.after_attempt(self.held, failure_of(error), time.time())
        return transitions.after_attempt(self.held, AttemptSucceeded(content_type, shown), time.time())

    async def _look_first(self, end: RecordEnd) -> RecordEnd | Requeue:
        """A failure, unless an earlier holder stored the output. What cannot be looked at now is looked at later."""
        try:
            return await self._find_output() or end
        except ArtifactError:
            return end  # nothing can be stored at that address
        except (Transient, Unavailable) as error:
            return transitions.after_attempt(self.held, AttemptFailed(FaultKind.PLATFORM, str(error)), time.time())

    async def _invoke(self, body: bytes | Path) -> ModelResponse | AttemptFailed:
        if not await self.slot.acquire():
            return AttemptFailed(FaultKind.BUSY, "No instance is ready.")
        try:
            return await self.processor.calls.ask(self.held.item, body, lambda: self._file("out"))
        finally:
            self.slot.release()

    async def _find_output(self) -> RecordEnd | None:
        """The end of an earlier holder that died after it stored the output. A failure is stored only after it was
        recorded, so it cannot be found here."""
        if await asyncio.to_thread(self.processor.objects.exists, self.held.item.output):
            return RecordEnd(ItemOutcome(OutcomeKind.COMPLETED, time.time()))
        return None

    async def _fetch(self) -> bytes | Path:
        item = self.held.item
        if item.input is None:
            return await self.processor.queue.body(item.id) if self.held.body is None else self.held.body
        return await asyncio.to_thread(self.processor.objects.fetch, item.input, self._file("in"))

    async def _put(self, address: str, body: bytes | Path, content_type: str) -> None:
        """Raises LeaseLost where another holder, whose output differs, may have the item by now."""
        if self._is_late():
            raise _LeaseLost
        await self.processor.objects.put(OutputFile(address, body, self.held.fence, self._is_late), content_type)

    def _is_late(self) -> bool:
        return time.time() > self.slot.until - MARGIN

    async def _measure(self, name: str, work: Callable[[], Awaitable[R]]) -> R:
        began = time.monotonic()
        try:
            answer = await work()
        except TidegateError:
            self.values[f"{name}Failures"] = 1.0
            raise
        self.values[f"{name}Latency"] = (time.monotonic() - began) * 1e6
        return answer

    async def _finish(self, outcome: ItemOutcome) -> Notify | None:
        """Records a failure before it is stored, so that a holder after a crash stores the same one."""
        item = self.held.item
        stores_failure = outcome.end is not OutcomeKind.COMPLETED and item.failure is not None
        if not stores_failure and not destinations.sinks(item, outcome):
            await self._record_end(outcome)
            return None
        await self._note(ItemState.NOTIFYING, due_at=self.slot.until, outcome=outcome)
        return Notify(outcome)

    async def _notify(self, outcome: ItemOutcome) -> None:
        if not await self._put_failure(outcome):
            await self._note(ItemState.NOTIFYING, due_at=time.time() + FAILURE_RETRY, outcome=outcome)
            return
        notice = destinations.notice(self.held.item, outcome, self.processor.region)
        for sink in destinations.sinks(self.held.item, outcome):
            if not await self._send(sink, notice):
                self.values["NotificationFailures"] = self.values.get("NotificationFailures", 0.0) + 1
        await self._record_end(outcome)

    async def _put_failure(self, outcome: ItemOutcome) -> bool:
        """Returns whether nothing more is to be done."""
        item = self.held.item
        if outcome.end is OutcomeKind.COMPLETED or item.failure is None:
            return True
        try:
            await self._put(item.failure, outcome.reason.encode(), "text/plain")
        except TidegateError as error:
            log.warning("request %s: its failure (%s) cannot be stored: %s", item.id, outcome.reason, error)
            self.values["ResponseUploadFailures"] = 1.0
            return isinstance(error, ArtifactError) or time.time() - outcome.at > FAILURE_GIVE_UP
        return True

    async def _send(self, sink: str, notice: dict[str, object]) -> bool:
        for number in range(NOTIFICATION_TRIES):
            try:
                await asyncio.to_thread(self.processor.notices.send, sink, notice)
                return True
            except ArtifactError as error:
                log.warning("request %s: %s", self.held.item.id, error)
                return False
            except TidegateError as error:
                if number == NOTIFICATION_TRIES - 1:
                    log.warning("request %s: the notification was not sent: %s", self.held.item.id, error)
                await asyncio.sleep(RETRY * 2**number)
        return False

    async def _record_end(self, outcome: ItemOutcome) -> None:
        await self._send_report(end_report(self.held, outcome, self.variant, self.values, time.time()))

    async def _note(
        self,
        state: ItemState,
        *,
        due_at: float = 0.0,
        tries: int | None = None,
        losses: int | None = None,
        outcome: ItemOutcome | None = None,
    ) -> None:
        held = self.held
        tries = held.tries if tries is None else tries
        losses = held.losses if losses is None else losses
        await self._send_report(ItemReport(held.item.id, held.fence, state, due_at, tries, losses, outcome))

    async def _send_report(self, report: ItemReport) -> None:
        """Writes to the queue, again and again while the database is away. The lease is not renewed meanwhile, so
        another dispatcher gets the item if this takes too long. Raises LeaseLost."""
        while True:
            try:
                landed = await self.processor.queue.note([report])
                break
            except Unavailable as error:
                log.warning("request %s: %s", report.id, error)
                await asyncio.sleep(RETRY)
        if not landed:
            raise _LeaseLost


def _inline_body(got: ModelResponse) -> str | None:
    """The response as text, if it is small and is text."""
    if isinstance(got.body, Path) or len(got.body) > MAX_INLINE_BYTES:
        return None
    try:
        return got.body.decode()
    except UnicodeDecodeError:
        return None
