"""Lets another version answer copies of some requests after they were answered, and reports both predictions.

Only the workers of the version that serves do so, while a rollout compares pairs. A copy goes to the new version's
fleet through the proxy's socket for copies, to a path that no client can reach; its worker answers with what its
model said and counts it nowhere. It turns copies away that it has no room for, and where clients need it
(``pair_page``); here stages run again only while no client waits."""

import asyncio
import hashlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.pairs import KnownKeys
from tidegate.domain.worker_stats import LONGEST_JUDGED, PairRow, StageRow
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken
from tidegate.serving.contract.invocation import Answer, Call, ModelEngine, ModelFailed, Outcome
from tidegate.serving.contract.pair_order import PAIR_PATH, TEXT, TRACED, CopyAnswer, PairOrder, StageFirstRow
from tidegate.serving.contract.replica_spec import PairingFiles
from tidegate.serving.engines.pipeline import Pipeline, StageOutput
from tidegate.serving.formats.prediction_cut import Cut, leave_whole
from tidegate.serving.formats.slice_values import name_slice_value
from tidegate.serving.formats.text_answers import read_text
from tidegate.serving.front.body_values import (
    AnswerNumbers,
    count_rows,
    read_compared_rows,
    read_first_row,
    read_numbers,
)
from tidegate.serving.front.connection import Request

PER_SECOND = 20
"""Requests of each worker that are copied per second, about; at most twice as many."""
REPEATS_PER_SECOND = 4
"""Requests of each worker that were copied before and are copied again per second: they say that little else is
asked."""
MOST_KEYS = 20_000
"""Requests of which a worker remembers that they were copied."""
TRACED_PER_SECOND = 4
TEXTS_PER_SECOND = 1
"""Pairs of each worker per second whose texts may be judged: a judge is slower than that."""
MOST_COPIES = 8
"""Most copies in flight; a request beyond them is not sampled."""
LARGEST_REQUEST = 256 * 1024
LARGEST_ANSWER = 1024 * 1024
SHOWN, LONGEST_SHOWN = 3, 300
"""Requests on which the versions differ most, and characters of one that are shown to a person."""
BEYOND = 90
"""Characters beyond what a judge is shown that are redacted with it: with more, redaction drops a text whole."""
SPARE = 5.0
"""Seconds beyond a prediction's own limit."""
BUSY = frozenset({429, 503})
"""Status of a worker or proxy that has no room for a copy. That says nothing of the request: the copy is not lost."""
GOOD = 200
_ASKED = (
    b"content-type",
    b"accept",
    b"x-amzn-sagemaker-target-model",
    b"x-amzn-sagemaker-target-container-hostname",
)
_HOP = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding", b"expect", b"keep-alive"})


@dataclass
class Pace:
    """The decision which requests are copied: evenly over each second, by the rate of the one before, and not many
    more than the other version can take. A request that was copied before does not replace another one."""

    answered: int = 0
    turned_away: int = 0
    """Copies of this second."""
    _per_second: int = PER_SECOND
    _second: int = 0
    _stride: int = 1
    _seen: int = 0
    _taken: int = 0
    _repeats: int = 0

    def take(self, second: int, repeated: bool = False) -> bool:
        if second != self._second:
            more = max(1, self.answered) if self.turned_away else self._per_second * 3 // 2 + 1
            self._per_second = min(PER_SECOND, more)
            self._stride = max(1, self._seen // self._per_second)
            self._second, self._seen, self._taken, self.answered, self.turned_away = second, 0, 0, 0, 0
            self._repeats = 0
        if repeated:
            self._repeats += 1
            return self._repeats <= REPEATS_PER_SECOND
        self._seen += 1
        if self._seen % self._stride or self._taken >= 2 * self._per_second:
            return False
        self._taken += 1
        return True


class PairSender:
    """Sends the copies of one replica. ``record`` gets what both said, with epoch microseconds."""

    def __init__(
        self,
        files: PairingFiles,
        timeout: float,
        engine: Callable[[], ModelEngine | None],
        in_hand: Callable[[], int],
        record: Callable[[int, PairRow], None],
        *,
        cut: Cut = leave_whole,
        show: Callable[[Request], str] = lambda request: "",
        clean: Callable[[str], str] = lambda text: text,
        redacts: bool = False,
    ) -> None:
        """``in_hand``: how many calls of clients the worker has. ``cut`` takes the prediction out of an answer;
        ``show`` the body of a request that a person may see, and with ``redacts`` a judge, too; ``clean`` what is
        personal out of an answer."""
        self._file = Path(files.order_file)
        self._client = HttpClient(files.socket, LARGEST_ANSWER)
        self._limit = timeout + SPARE
        self._engine = engine
        self._in_hand = in_hand
        self._record, self._cut, self._show = record, cut, show
        self._tell, self._clean = show if redacts else _body_text, clean
        self._widest: dict[bool, list[float]] = {}
        """By how much the versions differ on the requests on which they differ most so far, apart from those on which
        the new one has no number."""
        self._order: PairOrder | None = None
        self._version: tuple[int, int] | None = None
        self._copies: set[asyncio.Task[None]] = set()
        self._second = self._traced = self._texts = 0
        self._known = KnownKeys(MOST_KEYS)
        self.pace = Pace()

    @property
    def active(self) -> bool:
        return self._order is not None

    @property
    def in_flight(self) -> int:
        return len(self._copies)

    def look(self) -> None:
        """Read the order, if it has changed. Called once a second."""
        try:
            found = os.stat(self._file)
            version = (found.st_mtime_ns, found.st_ino)
            if version != self._version:
                order = msgspec.json.decode(self._file.read_bytes(), type=prepare_type(PairOrder | None))
                if order != self._order:
                    self._known, self._widest = KnownKeys(MOST_KEYS), {}
                self._order, self._version = order, version
        except (OSError, msgspec.DecodeError):
            self._order = self._version = None

    def offer(self, request: Request, outcome: Outcome) -> None:
        """Copy a request that the model answered or failed, if it is sampled. One that it failed is as likely to be
        copied as any other: else only what the other version fails would be known."""
        order = self._order
        second = int(time.time())
        if order is None or not isinstance(outcome, Answer | ModelFailed):
            return
        answer = outcome if isinstance(outcome, Answer) else None
        if max(len(request.body), 0 if answer is None else len(answer.body)) > LARGEST_REQUEST:
            return
        key = request_key(request)
        repeated = key in self._known
        if not self.pace.take(second, repeated):
            return
        if second != self._second:
            self._second, self._traced, self._texts = second, 0, 0
        if self.in_flight >= MOST_COPIES:
            return
        self._known.add(key)
        free = self._traced < TRACED_PER_SECOND and not self._in_hand()
        traced = order.features and answer is not None and free
        self._traced += traced
        told = order.texts and answer is not None and not repeated and self._texts < TEXTS_PER_SECOND
        self._texts += told
        task = asyncio.create_task(self._copy(order, request, answer, key, traced, told))
        self._copies.add(task)
        task.add_done_callback(self._finish)

    def close(self) -> None:
        for task in list(self._copies):
            task.cancel()
        self._client.close()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._copies.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            print(f"tidegate pairs: a copy was lost: {type(error).__name__}: {error}", flush=True)

    async def _copy(
        self, order: PairOrder, request: Request, answer: Answer | None, key: int, traced: bool, told: bool
    ) -> None:
        """``answer``: None if this version's model failed."""
        mine = await self._trace(request) if traced else []
        found = await self._ask(
            order, request, [part for part, wanted in ((TRACED, traced), (TEXT, told)) if wanted]
        )
        if isinstance(found, int):
            self.pace.turned_away += 1
            self._known.forget(key)
            return
        self.pace.answered += 1
        said = CopyAnswer(None, False, []) if found is None else found
        numbers = AnswerNumbers(0, []) if answer is None else read_answer(request, self._cut(answer))
        rows = match_numbers(numbers, said)
        old, new = choose_predictions(rows)
        if not rows or lacks_rows(numbers.rows, said.rows, lambda: _count_asked(request)):
            old, new = None, said.prediction
        sliced = _slice_rows(request, order.slices, numbers.rows, key)
        row: PairRow = {
            "with": order.fleet,
            "old": old,
            "new": new,
            "failed": said.failed,
            "traced": traced,
            "key": key,
            "slices": next(iter(sliced), []),
            "stages": _matched(mine, said.stages),
            "old_failed": answer is None,
            "lost": found is None,
        }
        if len(numbers.numbers) > 1:
            row["rows"] = rows
        if len(sliced) > 1 and any(sliced):
            row["row_slices"] = sliced
        if answer is not None and found is not None and self._is_wide(rows, said):
            row["request"] = self._show(request)[:LONGEST_SHOWN]
        if told and answer is not None and (texts := self._judged_texts(request, answer, said)) is not None:
            row["texts"] = texts
        # Now, not when it began: the controller reads a second once, as soon as it is over.
        self._record(time.time_ns() // 1000, row)

    def _judged_texts(self, request: Request, answer: Answer, said: CopyAnswer) -> tuple[str, str, str] | None:
        """Return what a judge may compare; None: a text is missing, or redaction leaves nothing of one. Two answers
        that were dropped would look equal."""
        asked, old, new = self._tell(request), read_judged(answer), said.text
        if not asked or old is None or new is None:
            return None
        texts = asked[:LONGEST_JUDGED], self._shorten(old), self._shorten(new)
        return texts if bool(texts[1]) == bool(old) and bool(texts[2]) == bool(new) else None

    def _shorten(self, answer: str) -> str:
        """Return an answer without what is personal, cut afterwards: half a number is not recognised as one."""
        cleaned, over = self._clean(answer), max(0, len(answer) - LONGEST_JUDGED)
        return cleaned[: min(LONGEST_JUDGED, max(0, len(cleaned) - over))]

    def _is_wide(self, rows: list[list[tuple[int, float | None, float | None]]], said: CopyAnswer) -> bool:
        """Whether the versions differ on a request as much as on the few on which they differ most so far, or only
        the new one has no number: such requests are shown to a person."""
        both = [(old, new) for row in rows for _, old, new in row if old is not None]
        apart = [math.inf if new is None or said.failed else abs(new - old) for old, new in both]
        widest = max(apart, default=0.0)
        kept = self._widest.setdefault(math.isinf(widest), [])
        if not widest or (len(kept) >= SHOWN and widest <= kept[0]):
            return False
        kept[:] = sorted([*kept, widest])[-SHOWN:]
        return True

    async def _ask(self, order: PairOrder, request: Request, wanted: list[bytes]) -> CopyAnswer | int | None:
        """Send a copy to the other version and return its answer; a status if it is too busy now; None if the reply
        is of no use."""
        headers = [(b"x-tidegate-fleet", order.fleet.encode())]
        headers += [
            (name, value)
            for name, value in request.headers
            if name not in _HOP and name != b"authorization" and not name.startswith(b"x-tidegate-")
        ]
        path = PAIR_PATH + (b"?" + b"&".join(wanted) if wanted else b"")
        try:
            async with asyncio.timeout(self._limit):
                reply = await self._client.request("POST", path.decode(), headers, request.body)
            if reply.status in BUSY:
                return reply.status
            return msgspec.json.decode(reply.body, type=prepare_type(CopyAnswer)) if reply.status == GOOD else None
        except (ConnectionBroken, ValueError, TimeoutError):
            return None

    async def _trace(self, request: Request) -> list[StageFirstRow]:
        """Return the first rows that the stages of this version output for the request."""
        engine = self._engine()
        if not isinstance(engine, Pipeline):
            return []
        seen, done = list[StageOutput](), asyncio.get_running_loop().create_future()
        call = Call(request.body, request.fields)

        def finish(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        engine.trace(call, finish, seen)
        try:
            async with asyncio.timeout(self._limit):
                await done
        except TimeoutError:
            call.abandon()
            return []
        return first_rows(seen)


def request_key(request: Request) -> int:
    """Return a key that is equal for equal requests: by body, model and format."""
    made = hashlib.blake2b(request.body, digest_size=6)
    for name in _ASKED:
        made.update(b"\0" + request.fields.get(name, b""))
    return int.from_bytes(made.digest()) or 1


def read_answer(request: Request, answer: Answer) -> AnswerNumbers:
    """The numbers of an answer that are compared. Both versions' workers choose the same ones."""
    return read_numbers(answer.body, answer.content_type, lambda: _count_asked(request), request_key(request))


def read_judged(answer: Answer) -> str | None:
    """Return the beginning of an answer that a judge is shown, and a little more, so that what is personal is whole
    where it is cut; None: it is no text."""
    text = read_text(answer.body, answer.content_type)
    return None if text is None else text[: LONGEST_JUDGED + BEYOND]


def _body_text(request: Request) -> str:
    return request.body.decode("utf-8", "replace")


def _count_asked(request: Request) -> int:
    return count_rows(request.body, request.fields.get(b"content-type", b"").decode("latin-1"))


def match_numbers(old: AnswerNumbers, new: CopyAnswer) -> list[list[tuple[int, float | None, float | None]]]:
    """The old version's numbers row by row, each with the new version's: None if it has none there. With another
    number of rows it has none for any, as no row says which one it answers. A worker of an earlier version gives the
    first number only, as does a large answer."""
    if new.rows == 0 and new.prediction is not None and old.numbers:
        return [[(0, old.first, new.prediction)]]
    values = {(row, output): value for row, output, value in new.numbers} if new.rows == old.rows else {}
    found: dict[int, list[tuple[int, float | None, float | None]]] = {}
    for row, output, value in old.numbers:
        found.setdefault(row, []).append((output, value, values.get((row, output))))
    return list(found.values())


def lacks_rows(old: int, new: int, asked: Callable[[], int]) -> bool:
    """Whether the old version's answer is the one that cannot be used, where the versions answered these numbers of
    rows: the new one's alone is that of the request (whose first row may be a header), or it is the larger one and
    the request does not decide. Either version is treated alike: an answer cut short at random is no difference."""
    if not 0 < old != new > 0:
        return False
    fitting = [count for count in (asked(), asked() - 1) if count > 0]
    return old < new if (old in fitting) == (new in fitting) else new in fitting


def choose_predictions(
    rows: list[list[tuple[int, float | None, float | None]]],
) -> tuple[float | None, float | None]:
    """The old and the new prediction: the first that both versions have. A version that lacks a number where the
    other one has it has none: its answer cannot be used."""
    numbers = [(old, new) for row in rows for _, old, new in row]
    old_lacks = any(old is None and new is not None for old, new in numbers)
    new_lacks = any(new is None and old is not None for old, new in numbers)
    old = next((one for one, _ in numbers if one is not None), None)
    new = next((one for _, one in numbers if one is not None), None)
    return None if old_lacks else old, None if new_lacks else new


def first_rows(seen: list[StageOutput]) -> list[StageFirstRow]:
    """The first row of each stage's output that has one."""
    found = ((one.stage, read_first_row(one.body, one.content_type)) for one in seen)
    return [StageFirstRow(stage, *row) for stage, row in found if row is not None]


def _matched(old: list[StageFirstRow], new: list[StageFirstRow]) -> list[StageRow]:
    """Match the stages of both versions by their place in the pipeline, since names of containers may change."""
    if len(old) != len(new):
        return []
    return [
        {"stage": a.stage, "names": a.names, "old": a.values, "new_names": b.names, "new": b.values}
        for a, b in zip(old, new, strict=True)
    ]


def _slice_rows(
    request: Request, columns: tuple[str, ...], answered: int, key: int
) -> list[list[tuple[str, str]]]:
    """Return the slices of each row that is compared. ``answered``: rows of the answer."""
    if not columns:
        return []
    kind = request.fields.get(b"content-type", b"").decode("latin-1")
    rows = read_compared_rows(request.body, kind, answered, key)
    named = [{} if row is None else dict(zip(*row, strict=True)) for row in rows]
    return [
        [(column, name_slice_value(column, row[column])) for column in columns if column in row] for row in named
    ]
