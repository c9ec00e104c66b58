"""Requests whose body came with their lease and was never with an instance before: most of them, thousands a second.

They are handled by callbacks, without a task, a timer or a future for each, and what comes together goes on together:
answers that arrived in one turn of the event loop, outputs of one write, reports of one transaction. Whatever is
unusual about one (a failure, a long response, an output in S3, a notification) makes it a task
(``processor._Attempt``) that goes on from there.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from tidegate.domain.asynchronous import ItemOutcome, LeasedItem, OutcomeKind
from tidegate.domain.errors import TidegateError
from tidegate.features.asynchronous.dispatcher.calls import ModelResponse
from tidegate.features.asynchronous.dispatcher.concurrency import ConcurrencySlot
from tidegate.features.asynchronous.dispatcher.outcomes import MARGIN, RequestProgress, end_report, failure_of
from tidegate.features.asynchronous.dispatcher.processor import RequestProcessor
from tidegate.http1.exchange import Exchange
from tidegate.http1.messages import HttpReply, StreamedReply
from tidegate.ports.queue import ItemReport
from tidegate.queueing.transitions import AttemptFailed, FaultKind, Invoke, next_step
from tidegate.storage.output_files import OutputFile

log = logging.getLogger(__name__)

TIMEOUT_INTERVAL = 0.1
"""Seconds between looks for requests whose instance has not answered in time."""
Got = HttpReply | StreamedReply | Exception


class ShortRequests:
    """``hand_over`` makes a task of a request, ``forget`` is called with one that is over."""

    def __init__(
        self,
        processor: RequestProcessor,
        hand_over: "Callable[[ShortRequest, RequestProgress], None]",
        forget: "Callable[[ShortRequest], None]",
    ) -> None:
        self.processor = processor
        self.hand_over, self.forget = hand_over, forget
        self.asking: set[ShortRequest] = set()
        """Those that are with an instance."""
        self._answered: list[tuple[ShortRequest, Got]] = []
        self._sweep: asyncio.TimerHandle | None = None

    def make(self, held: LeasedItem, variant: str, slot: ConcurrencySlot) -> "ShortRequest":
        return ShortRequest(self, held, variant, slot)

    def watch(self) -> None:
        """See to it that what is asked ends in time."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(TIMEOUT_INTERVAL, self._end_late)

    def _end_late(self) -> None:
        self._sweep = None
        now = time.monotonic()
        for one in [one for one in self.asking if now >= one.deadline]:
            one.give_up()
        if self.asking:
            self.watch()

    def take(self, one: "ShortRequest", got: Got) -> None:
        """An answer, within the parser, where nothing may be sent at once."""
        if not self._answered:
            asyncio.get_running_loop().call_soon(self._go_on)
        self._answered.append((one, got))

    def _go_on(self) -> None:
        answered, self._answered = self._answered, []
        for one, got in answered:
            try:
                one.take_up(got)
            except Exception as error:
                one.fail(error)


class ShortRequest:
    """One of them. ``deadline``: when its instance has to have answered, by the monotonic clock."""

    __slots__ = (
        "_all",
        "_content_type",
        "_exchange",
        "_over",
        "_put_at",
        "_report",
        "_values",
        "deadline",
        "held",
        "slot",
        "variant",
    )

    def __init__(self, requests: ShortRequests, held: LeasedItem, variant: str, slot: ConcurrencySlot) -> None:
        self._all = requests
        self.held, self.variant, self.slot = held, variant, slot
        self.deadline = self._put_at = 0.0
        self._content_type = ""
        self._values = {"RequestDownloadLatency": 0.0}
        self._report: ItemReport | None = None
        self._over = False
        self._exchange: Exchange | None = None

    def begin(self) -> None:
        """Ask an instance as soon as there is one."""
        self.slot.enter(self._ask)

    def cancel(self) -> None:
        """Do nothing more: another may hold it."""
        self.slot.revoke()
        self._end()

    def _ask(self, ready: bool) -> None:
        if not ready:
            self._hand_over(AttemptFailed(FaultKind.BUSY, "No instance is ready."))
            return
        item = self.held.item
        self.deadline = time.monotonic() + item.timeout
        self._all.asking.add(self)
        self._all.watch()
        try:
            self._exchange = self._all.processor.calls.begin(item, self.held.body or b"", self._take)
        except Exception as error:  # must not fail the request whose end freed this slot
            self.fail(error)

    def _take(self, got: Got) -> None:
        self._exchange = None  # its connection may be another request's from now on
        self._all.asking.discard(self)
        self._all.take(self, got)

    def give_up(self) -> None:
        """The instance has not answered in time."""
        exchange, self._exchange = self._exchange, None
        self._all.asking.discard(self)
        if exchange is not None:
            exchange.abandon()
        self._all.take(self, TimeoutError())

    def take_up(self, got: Got) -> None:
        """Go on with an answer."""
        if self._over:
            if isinstance(got, StreamedReply):
                got.parts.drop()
        elif isinstance(got, StreamedReply):
            self._hand_over(got)
        else:
            self.slot.release()
            response = self._all.processor.calls.read(got, self.held.item)
            if isinstance(response, ModelResponse) and self._is_plain():
                self._put(response)
            else:
                self._hand_over(response)

    def _is_plain(self) -> bool:
        """Whether its output goes to a file, without a notification."""
        item = self.held.item
        return not item.success and not item.include and item.output.startswith("file://")

    def _put(self, response: ModelResponse) -> None:
        if self.is_late():
            self._lose()
            return
        self.variant = response.variant or self.variant
        self._content_type = response.content_type
        self._put_at = time.monotonic()
        assert isinstance(response.body, bytes)
        item = self.held.item
        output = OutputFile(item.output, response.body, self.held.fence, self.is_late)
        self._all.processor.objects.submit(output, self._finish_storing)

    def is_late(self) -> bool:
        """Whether another holder, whose output differs, may have it by now."""
        return time.time() > self.slot.until - MARGIN

    def _finish_storing(self, failed: TidegateError | None, error: BaseException | None) -> None:
        try:
            self._go_on_stored(error or failed)
        except Exception as unforeseen:  # it would be held for ever, with nobody to go on with it
            self.fail(unforeseen)

    def _go_on_stored(self, error: BaseException | None) -> None:
        if self._over:
            return
        if error is None:
            self._values["ResponseUploadLatency"] = (time.monotonic() - self._put_at) * 1e6
            now = time.time()
            outcome = ItemOutcome(OutcomeKind.COMPLETED, now, content_type=self._content_type)
            self._report = end_report(self.held, outcome, self.variant, self._values, now)
            self._all.processor.queue.submit(self._report, self._finish_noting)
        elif isinstance(error, TidegateError):
            self._values["ResponseUploadFailures"] = 1.0
            self._hand_over(failure_of(error))
        else:
            self.fail(error)

    def _finish_noting(self, landed: bool | None, error: BaseException | None) -> None:
        try:
            self._go_on_noted(landed, error)
        except Exception as unforeseen:
            self.fail(unforeseen)

    def _go_on_noted(self, landed: bool | None, error: BaseException | None) -> None:
        if self._over:
            return
        if isinstance(error, TidegateError) and self._report is not None:  # the database is away
            self._hand_over(self._report)
        elif error is not None:
            self.fail(error)
        elif landed:
            self._end()
        else:
            self._lose()

    def _hand_over(self, got: ModelResponse | AttemptFailed | StreamedReply | ItemReport) -> None:
        self._over = True
        self._all.hand_over(self, RequestProgress(got, self._values, max(0.0, self.deadline - time.monotonic())))

    def _lose(self) -> None:
        log.warning("request %s went to another dispatcher", self.held.item.id)
        self._end()

    def fail(self, error: BaseException) -> None:
        """After an error that nobody foresaw."""
        log.error("request %s: this try failed; its lease will run out", self.held.item.id, exc_info=error)
        self._end()

    def _end(self) -> None:
        exchange, self._exchange = self._exchange, None
        self._over = True
        self._all.asking.discard(self)
        if exchange is not None:
            exchange.abandon()
        self.slot.release()
        self._all.forget(self)


def is_short(held: LeasedItem, exists: bool, now: float) -> bool:
    """Whether a request that was just leased is one of these."""
    if held.body is None or held.item.input is not None:
        return False
    step = next_step(held, exists, now)
    return isinstance(step, Invoke) and not step.look
