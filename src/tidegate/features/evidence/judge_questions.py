"""The questions of one rollout to its judge: few at a time, no more than the spec allows, and nothing waits for
them. A judge that is slow, away, or answers anything but a verdict gives no evidence."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from tidegate.domain.errors import Invalid, Transient
from tidegate.domain.evidence import Judging, Sums
from tidegate.domain.pairs import KnownKeys, Pair
from tidegate.features.evidence.judging import add_all, count_equal, count_verdict, make_question, read_letter
from tidegate.features.evidence.kept_pairs import KeptPairs, PairGroup
from tidegate.features.evidence.pairs import PREFERRED
from tidegate.host.service_addresses import parse_service_address
from tidegate.http1.messages import ConnectionBroken
from tidegate.serving.runtimes.service_requests import ask_service
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders
from tidegate.settings import Settings
from tidegate.targets.start_spec import secrets_folder, service_hosts

log = logging.getLogger(__name__)

PATH = "/v1/chat/completions"
TIMEOUT = 30.0
"""Seconds of one question."""
LARGEST = 256 * 1024
"""Bytes of an answer of the judge."""
AT_ONCE = 4
"""Questions that wait for their answers; a pair that comes meanwhile is not judged."""
SLOW, PAUSE = 1.0, 10.0
"""Seconds after which a question that fails has failed slowly, and seconds without a question after that. Then, and
at first, a judge has one question at a time: looking up a name takes one of the few threads of all endpoints."""
OK = 200
EVEN = 0.5
"""Neither answer is preferred, or the judge gave no verdict."""

AskJudge = Callable[[Judging, bytes], Awaitable[bytes]]
"""Sends a question and returns the answer. Raises Transient or Invalid."""


def make_asking(settings: Settings, limit: float = TIMEOUT) -> AskJudge:
    """``limit``: seconds of one question."""
    allowed, folder = service_hosts(settings), secrets_folder(settings)

    async def ask(judging: Judging, body: bytes) -> bytes:
        headers = UpstreamHeaders(judging.headers, folder)
        base = parse_service_address(judging.url)
        sent = (*headers, (b"content-type", b"application/json"))
        try:
            async with asyncio.timeout(limit):
                reply = await ask_service(base, "POST", base.path + PATH, sent, allowed, LARGEST, body)
        except TimeoutError:
            raise Transient(f"no answer within {limit:g} s") from None
        except (ConnectionBroken, ValueError, Transient) as error:
            raise Transient(headers.hide(str(error))) from None
        if reply.status != OK:
            raise Transient(f"it was answered with {reply.status}")
        return bytes(reply.body)

    return ask


@dataclass(eq=False)
class JudgeQuestions:
    """``asked``: questions of this rollout so far by variant, those of an earlier controller included."""

    endpoint: str
    judging: Judging
    ask: AskJudge
    chance: Random
    clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    asked: Counter[str] = field(default_factory=Counter)
    kept: KeptPairs | None = None
    """Pairs that wait for a person's label."""
    chosen: Counter[str] = field(default_factory=Counter)
    """Pairs that were chosen for a label so far by variant, those of an earlier controller included."""
    _groups: dict[str, PairGroup] = field(default_factory=dict)
    """By variant: the pairs of which one will be chosen."""
    _known: dict[str, KnownKeys] = field(default_factory=dict)
    """Keys of the requests that were judged, by variant."""
    _found: dict[str, dict[str, Sums]] = field(default_factory=dict)
    """Sums that were not taken yet, by variant."""
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)
    _trouble: str | None = None
    _stopped: bool = False
    _most: int = 1
    """Questions that may wait now."""
    _not_before: float = 0.0
    """On ``clock``."""

    def offer(self, variant: str, pairs: Iterable[Pair]) -> None:
        """Ask about pairs that have texts, as far as there is room. Equal requests are asked about once. A pair of
        equal answers needs room, too, although nobody is asked: a sample that has all of these and only some of the
        others would show a smaller difference than there is."""
        known = self._known.setdefault(variant, KnownKeys())
        for pair in pairs:
            if pair.texts is None or pair.key in known or not self._has_room(variant):
                continue
            known.add(pair.key)
            if pair.texts[1] == pair.texts[2]:
                self._count(variant, count_equal())
                self._sample(variant, EVEN, pair.texts)
            else:
                self.asked[variant] += 1
                task = asyncio.create_task(self._ask(variant, pair.texts), name=f"judge of {self.endpoint}")
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)

    def take(self) -> dict[str, dict[str, Sums]]:
        """Return, by variant, the sums since the last time."""
        found, self._found = self._found, {}
        return found

    def _has_room(self, variant: str) -> bool:
        if self._stopped or self.asked[variant] >= self.judging.asks:
            return False
        return len(self._waiting) < self._most and self.clock() >= self._not_before

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped = True
        for task in self._waiting:
            task.cancel()

    async def _ask(self, variant: str, texts: tuple[str, str, str]) -> None:
        question, letter = make_question(self.judging, texts, self.chance), None
        began, trouble = self.clock(), ""
        try:
            letter = read_letter(await self.ask(self.judging, question.body))
        except (Transient, Invalid) as error:
            trouble = error.message
        except Exception as error:  # a question counts, whatever came of it
            trouble = type(error).__name__
        slow = bool(trouble) and self.clock() - began >= SLOW
        self._most, self._not_before = (1, self.clock() + PAUSE) if slow else (AT_ONCE, 0.0)
        self._note(trouble or (None if letter else "its answer is no verdict"))
        sums = count_verdict(letter, question.new_first)
        self._count(variant, sums)
        self._sample(variant, sums[PREFERRED][1] if PREFERRED in sums else EVEN, texts)

    def _sample(self, variant: str, judged: float, texts: tuple[str, str, str]) -> None:
        """Put a pair that was judged into a group, of which one is kept for a label. Whether there is room for a
        group is known before its first pair."""
        if self.kept is None:
            return
        if variant not in self._groups:
            if self.chosen[variant] >= self.judging.labels:
                return
            self.chosen[variant] += 1
            self._groups[variant] = PairGroup.begin(variant, self.chance)
        if (pair := self._groups[variant].add(judged, texts)) is not None:
            del self._groups[variant]
            self.kept.add(pair)

    def _count(self, variant: str, sums: dict[str, Sums]) -> None:
        self._found[variant] = add_all(self._found.get(variant, {}), sums)

    def _note(self, trouble: str | None) -> None:
        """Log trouble when it begins. Nothing of what was sent or answered is written."""
        if trouble is not None and self._trouble is None:
            log.warning("endpoint %s: the judge at %s: %s", self.endpoint, self.judging.url, trouble)
        self._trouble = trouble
