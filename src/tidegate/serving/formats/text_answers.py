"""Finds the text in an answer of a model that writes: in JSON with the usual members, in its lines, in server-sent
events. Pure; what has no text is None, and no input is an error."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from tidegate.serving.contract.refusals import Phrases, normalise

# Measures of a text that comes in pieces, in bounded memory: its length, whether it refuses, repeats itself, or
# says nothing.


BEGINNING = 400
"""Characters in which a refusal begins: later on the same words are part of an answer."""
KEPT = 8_192
"""Characters of the end of a text that are looked through for repetitions: what repeats itself goes on to the end."""
GRAM, CHARACTERS = 4, 8
"""Words, or characters where there are hardly any words, of one piece that may come again."""
FEWEST_GRAMS = 12
REPEATED = 0.5
"""Part of such pieces that came before, from which on a text repeats itself."""
LONG_WORDS = 20
"""Characters of a word on average, from which on a text is taken to be written without spaces."""
BYTES_PER_TOKEN = 4
LONGEST = 262_144
"""Bytes of a text that are looked at; what follows counts by its bytes."""


class TextMeasures:
    """Add the pieces of a text in their order; what was said before may be read at any time."""

    def __init__(self) -> None:
        self._head = self._tail = ""
        self._words = self._size = 0
        self._in_word = False
        self.empty = True
        """Nothing visible was said."""

    def add(self, piece: str) -> None:
        if not piece:
            return
        if self._size < LONGEST:
            self._words += len(piece.split()) - (self._in_word and not piece[0].isspace())
            self._in_word = not piece[-1].isspace()
            self.empty = self.empty and not any(unicodedata.category(one)[0] not in "CZ" for one in piece)
        self._size += len(piece.encode("utf-8", "replace"))
        if len(self._head) < 2 * BEGINNING:
            self._head += piece[: 2 * BEGINNING - len(self._head)]
        self._tail += piece[-KEPT:]
        if len(self._tail) > 2 * KEPT:
            self._tail = self._tail[-KEPT:]

    def skip(self, size: int) -> None:
        """Count so many bytes that are not looked at."""
        self._size += size

    @property
    def tokens(self) -> int:
        return max(self._words, self._size // BYTES_PER_TOKEN)

    def refuses(self, phrases: Phrases) -> bool:
        beginning = normalise(self._head)[:BEGINNING]
        return any(one in beginning for one in phrases.phrases)

    @property
    def repeated(self) -> bool:
        text = self._tail[-KEPT:]
        words = text.split()
        spaced = len(text) <= LONG_WORDS * len(words)
        units, size = (words, GRAM) if spaced else (text, CHARACTERS)
        grams = [tuple(units[place : place + size]) for place in range(len(units) - size + 1)]
        return len(grams) >= FEWEST_GRAMS and 1 - len(set(grams)) / len(grams) >= REPEATED

    @property
    def is_numbers(self) -> bool:
        """Whether the text has numbers and no letters, as an answer to a row with a score has."""
        said = self._head + self._tail[-KEPT:]
        return any(one.isdigit() for one in said) and not any(one.isalpha() for one in said)


MEMBERS = (
    "token",
    "generated_text",
    "choices",
    "delta",
    "message",
    "text",
    "content",
    "completion",
    "output_text",
    "text_output",
    "response",
    "outputs",
    "output",
)
"""Members of an answer that have its text, the first one that is there."""
LONGEST_LINE = 65_536
"""Bytes of an event or a line."""
MOST_LINES = 20_000
"""Lines of an answer."""
DEEPEST = 8
MOST_TOKENS = 10_000_000
SSE = "text/event-stream"
LINES = frozenset(
    (
        "application/jsonlines",
        "application/jsonl",
        "application/x-ndjson",
        "application/ndjson",
        "application/x-jsonlines",
    )
)
JSON = "application/json"


@dataclass(frozen=True)
class _Piece:
    """``text`` None: there is none in it. ``given``: the tokens that the answer says it has; ``refused``: the answer
    itself says that it is a refusal; ``several``: more answers than one to the same request."""

    text: str | None
    given: int | None = None
    refused: bool = False
    several: bool = False


@lru_cache(maxsize=64)
def kind_of(content_type: str) -> str:
    """The plain content type, if answers of it may be text; else empty."""
    kind = content_type.partition(";")[0].strip().lower()
    written = kind.startswith("text/") and kind != "text/csv"
    return kind if written or kind in LINES or kind == JSON else ""


def read_piece(data: bytes) -> _Piece | None:
    """The text in a JSON document, or in an event of a stream; None: it is no object and no list of them."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if isinstance(found, str):
        return _Piece(found)
    first = found[0] if isinstance(found, list) and found else found
    if not isinstance(first, dict):
        return None
    kind = first.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        return _read_typed(first, kind)
    choices = first.get("choices")
    several = isinstance(choices, list) and any(_index(one) or place for place, one in enumerate(choices))
    if isinstance(choices, list):
        first = {**first, "choices": [one for one in choices if not _index(one)]}
    return _Piece(_text_of(first, DEEPEST), _read_count(first), _says_refused(first), several)


def _read_typed(event: dict[str, Any], kind: str) -> _Piece:
    """An event that names its kind: one of them has each piece, and the last one has the whole text again."""
    text = event.get("delta") if kind in ("response.output_text.delta", "response.refusal.delta") else None
    whole = event.get("response")
    given = _read_count(whole) if isinstance(whole, dict) else None
    return _Piece(text if isinstance(text, str) else None, given, kind == "response.refusal.delta")


def _index(choice: object) -> bool:
    """Whether a choice is another one than the first."""
    return isinstance(choice, dict) and choice.get("index") not in (None, 0)


def _text_of(value: object, deep: int) -> str | None:
    if isinstance(value, str):
        return value
    if deep == 0:
        return None
    if isinstance(value, list):
        texts = [one["text"] for one in value if isinstance(one, dict) and isinstance(one.get("text"), str)]
        if texts:  # beside them may be what the model thought
            return "".join(texts)
        return _text_of(value[0], deep - 1) if value else None
    if not isinstance(value, dict):
        return None
    if isinstance(refusal := value.get("refusal"), str) and refusal:
        return refusal
    if value.get("tool_calls") or value.get("function_call"):
        return value["content"] if isinstance(value.get("content"), str) and value["content"] else None
    for name in MEMBERS:
        if name in value and value[name] is not None:
            found = value[name]
            # A list of nothing is an answer that says nothing.
            return "" if found == [] else _text_of(found, deep - 1)
    return "" if "content" in value or "generated_text" in value else None


def _read_count(document: dict[str, Any]) -> int | None:
    for part, names in (("usage", ("completion_tokens", "output_tokens")), ("details", ("generated_tokens",))):
        about = document.get(part)
        for name in names:
            count = about.get(name) if isinstance(about, dict) else None
            if type(count) is int and 0 <= count <= MOST_TOKENS:
                return count
    return None


def _says_refused(document: dict[str, Any]) -> bool:
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return False
    said = choice.get("message") or choice.get("delta")
    refusal = said.get("refusal") if isinstance(said, dict) else None
    return choice.get("finish_reason") == "content_filter" or bool(refusal)


def read_text(body: bytes, content_type: str) -> str | None:
    """Return the text of a whole answer; None: it is none, or comes in lines or events."""
    kind = kind_of(content_type)
    if kind == JSON:
        piece = read_piece(body)
        return None if piece is None else piece.text
    return body.decode("utf-8", "replace") if kind.startswith("text/") and kind != SSE else None


class TextReader:
    """Reads one answer as its parts come, in bounded memory. ``kind``: see ``kind_of``; ``spoke``: called at each
    piece of text that is not empty."""

    def __init__(self, kind: str, spoke: Callable[[], None]) -> None:
        self._kind, self._spoke = kind, spoke
        self.measures = TextMeasures()
        self.given: int | None = None
        self.refused = False
        self._lines_left = MOST_LINES
        self._is_text = not self._lined and kind != JSON
        self._several = self._too_large = False
        self._rest = bytearray()
        """What waits for its end."""

    def feed(self, part: bytes) -> None:
        if self._too_large:
            return
        if self._kind == JSON:
            self._keep(part, LONGEST)
        elif self._lined:
            self._lines_left -= part.count(b"\n")
            if self._lines_left < 0 or len(part) > LONGEST:
                self._rest, self._too_large = bytearray(), True
                return
            *lines, rest = part.split(b"\n")
            if lines:
                lines[0], self._rest = bytes(self._rest) + lines[0], bytearray()
            for line in lines:
                self._line(line)
            self._keep(rest, LONGEST_LINE)
        else:
            self._plain(part)

    def finish(self) -> bool:
        """At the end: whether the answer is text."""
        rest, self._rest = bytes(self._rest), bytearray()
        if self._kind == JSON:
            self._whole(rest)
        elif self._lined:
            self._line(rest)
        else:
            self._say(rest.decode("utf-8", "replace"))
            self._is_text = not self.measures.is_numbers
        if self._several:
            self.given = None
        return self._is_text and not self._too_large

    @property
    def _lined(self) -> bool:
        return self._kind == SSE or self._kind in LINES

    def _keep(self, part: bytes, most: int) -> None:
        if len(self._rest) + len(part) > most:
            self._rest, self._too_large = bytearray(), True
        else:
            self._rest += part

    def _plain(self, part: bytes) -> None:
        """Text as it is; a character that is cut in two waits for its rest."""
        if len(part) > LONGEST:
            self.measures.skip(len(part) - LONGEST)
            part = part[:LONGEST]
        data = bytes(self._rest) + part
        cut = next((back for back in range(1, min(4, len(data) + 1)) if data[-back] >= 0xC0), 0)
        open_end = cut and cut < (2 if data[-cut] < 0xE0 else 3 if data[-cut] < 0xF0 else 4)
        whole, rest = (data[:-cut], data[-cut:]) if open_end else (data, b"")
        self._rest = bytearray(rest)
        self._say(whole.decode("utf-8", "replace"))

    def _line(self, line: bytes) -> None:
        if len(line) > LONGEST_LINE:
            self._too_large = True
            return
        line = line.strip()
        if self._kind == SSE:
            if not line.startswith(b"data:"):
                return
            line = line[5:].strip()
        if line and line != b"[DONE]":
            piece = read_piece(line)
            if piece is not None:
                self._take(piece)
            elif self._kind == SSE and not line.startswith((b"{", b"[")):
                self._take(_Piece(line.decode("utf-8", "replace")))

    def _whole(self, body: bytes) -> None:
        """A document, or a document in each line."""
        piece = read_piece(body)
        if piece is not None:
            self._take(piece)
        elif body.count(b"\n") > MOST_LINES:
            self._too_large = True
        else:
            for line in filter(None, body.split(b"\n")):
                if (piece := read_piece(line)) is not None:
                    self._take(piece)

    def _take(self, piece: _Piece) -> None:
        self.given = self.given if piece.given is None else piece.given
        self.refused, self._several = self.refused or piece.refused, self._several or piece.several
        if piece.text is not None:
            self._is_text = True
            self._say(piece.text)

    def _say(self, text: str) -> None:
        if text:
            self.measures.add(text)
            self._spoke()
