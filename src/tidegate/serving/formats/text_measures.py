"""Measures of a text that comes in pieces, in bounded memory: its length, whether it refuses, repeats itself, or says
nothing. Pure."""

import unicodedata

from tidegate.serving.contract.refusals import Phrases, normalise

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
