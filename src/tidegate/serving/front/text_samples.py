"""Measures a sample of the answers that are text: how long, how fast, whether they refuse, repeat themselves or say
nothing.

Which answers are sampled does not depend on what is in them: the sample of each version would be another one
otherwise. A whole answer is read when somebody asks for the counts; a stream as it comes, each part after it was
sent. Only the measures are kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tidegate.domain.worker_stats import TextRow
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.refusals import Phrases
from tidegate.serving.formats import text_answers
from tidegate.serving.formats.text_answers import TextReader
from tidegate.serving.front.sampling import Sampler

SAMPLES = 5
"""Answers of a second that are sampled, spread over it by the number of the second before: streams and others at one
pace, or a version with more requests would have another mixture of them in its sample."""
MOST_SAMPLES = 2 * SAMPLES
SETTLE_AT = 8
"""Whole answers that wait to be read."""
MOST_STREAMS = 512
"""Streams that are read at one time, some 20 kB each: more than come of so many a second, unless they take minutes. A
lower number would be reached, and then a version that was asked before would be looked at later than one that has
just begun."""
FEWEST_TOKENS = 8
"""Tokens from which a speed is told."""
SHORTEST = 1_000
"""Microseconds from which a speed is told."""
ENCODED = b"content-encoding"

Add = Callable[[int, TextRow], None]


class _TextSample(NamedTuple):
    at: int
    began: int
    kind: str
    body: bytes


class TextSamples:
    """Times are epoch microseconds. ``add`` gets each measured answer with the moment of its end."""

    def __init__(self, add: Add, phrases: Phrases) -> None:
        self._add, self._phrases = add, phrases
        self._sampler = Sampler(SAMPLES, MOST_SAMPLES)
        self._kept: list[_TextSample] = []
        self._streams = 0

    def offer(self, at: int, began: int, answer: Answer) -> None:
        """Sample a whole answer, or not."""
        kind = text_answers.kind_of(answer.content_type)
        if kind and self._sampler.take(at) and not _is_encoded(answer.headers):
            self._kept.append(_TextSample(at, began, kind, answer.body))
            if len(self._kept) >= SETTLE_AT:
                self.settle()

    def settle(self) -> None:
        """Read what was sampled. To be called before the counts are read."""
        kept, self._kept = self._kept, []
        for at, began, kind, body in kept:
            reader = TextReader(kind, _ignore)
            with _contain_faults():
                reader.feed(body)
                if reader.finish():
                    tokens, took = reader.measures.tokens, max(1, at - began)
                    speed = tokens * 1e6 / took if tokens >= FEWEST_TOKENS and took >= SHORTEST else None
                    self._add(at, self._row(reader, began, took, speed))

    def open(
        self, began: int, content_type: str, headers: tuple[tuple[bytes, bytes], ...]
    ) -> "SampledStream | None":
        """Sample a stream, or not."""
        kind = text_answers.kind_of(content_type)
        if not kind or not self._sampler.take(_now()) or self._streams >= MOST_STREAMS or _is_encoded(headers):
            return None
        self._streams += 1
        return SampledStream(self, began, kind)

    def close(self, at: int, stream: "SampledStream", whole: bool) -> None:
        """The stream ended; measure it if the client got all of it."""
        self._streams -= 1
        with _contain_faults():
            if whole and not stream.broken and stream.reader.finish():
                first = max(0, (stream.first or at) - stream.began)
                self._add(at, self._row(stream.reader, stream.began, first, stream.speed(at)))

    def _row(self, reader: TextReader, began: int, first: int, speed: float | None) -> TextRow:
        said = reader.measures
        return {
            "began": began,
            "tokens": said.tokens,
            "given": reader.given,
            "first": first,
            "speed": speed,
            "refusal": reader.refused or said.refuses(self._phrases),
            "repeated": said.repeated,
            "empty": said.empty,
            "phrases": self._phrases.key,
        }


class SampledStream:
    """One stream that is measured."""

    def __init__(self, samples: TextSamples, began: int, kind: str) -> None:
        self._samples, self.began = samples, began
        self._document = kind == text_answers.JSON
        self.reader = TextReader(kind, self._speak)
        self.broken = False
        """Its reader failed; it is not measured."""
        self.first: int | None = None
        """When the first text came."""
        self._now = self._last = 0
        self._at_first = 0
        """Tokens of the first piece."""

    def read(self, part: bytes, at: int) -> None:
        """Take a part that came at this moment."""
        self._now = at
        if self._document and self.first is None:  # its text is not known before its end
            self.first = at
        if not self.broken:
            self.broken = True
            with _contain_faults():
                self.reader.feed(part)
                self.broken = False

    def end(self, whole: bool) -> None:
        self._samples.close(_now(), self, whole)

    def speed(self, at: int) -> float | None:
        """Tokens per second, after the first ones."""
        since, until = (self.began, at) if self._document else (self.first or at, self._last)
        tokens = self.reader.measures.tokens - self._at_first
        return tokens * 1e6 / (until - since) if tokens >= FEWEST_TOKENS and until - since >= SHORTEST else None

    def _speak(self) -> None:
        self._last = self._now
        if self.first is None:
            self.first, self._at_first = self._last, self.reader.measures.tokens


@contextmanager
def _contain_faults() -> Iterator[None]:
    """A fault of a reader must cost no client an answer, and not the counts beside it."""
    try:
        yield
    except Exception as error:
        print(f"tidegate worker: an answer's text cannot be measured: {type(error).__name__}", flush=True)


def _is_encoded(headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    """Whether the body is compressed."""
    return any(name.lower() == ENCODED for name, _ in headers)


def _ignore() -> None:
    """The time of a piece of a whole answer says nothing."""


def _now() -> int:
    return time.time_ns() // 1000
