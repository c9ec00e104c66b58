"""Measurements of an answer that is text. The text itself is never kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextAnswer:
    """One answer. Texts have no tokens here: ``tokens`` is the larger of the number of words and a quarter of the
    bytes in UTF-8, ``given`` the number that the answer itself states."""

    began: int
    """Epoch microseconds at which its request came."""
    tokens: int
    given: int | None
    first: float
    """Microseconds from there to the first piece of text."""
    speed: float | None
    """``tokens`` per second; None for a text that is too short to say."""
    refusal: bool
    repeated: bool
    """Much of it repeats what it has said before."""
    empty: bool
    phrases: int
    """Which list of phrases ``refusal`` goes by; equal for equal lists."""
