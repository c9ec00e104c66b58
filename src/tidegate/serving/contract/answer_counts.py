"""Checks that a model gives one answer for each row, before a client is answered.

With one answer too few or too many, rows would get each other's answers. Engines check the answers to each request
(``check_count``), and scorers check those to a batch before they split them (``split_answers``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.invocation import ModelFailed

ROWS = "ANSWER_ROWS"
"""Variable of a model's environment that says whether a list of its answers has one for each row."""


def row_by_row(environment: Mapping[str, str]) -> bool:
    """Whether the model gives one answer per row, which is the default. Raises Invalid."""
    mode = environment.get(ROWS, "each")
    if mode not in ("each", "any"):
        raise Invalid(f"{ROWS} must be 'each' (an answer for each row) or 'any', not {mode!r}")
    return mode == "each"


def check_count(answers: int | None, rows: int) -> None:
    """Raises ModelFailed (500) if the counts differ. ``answers`` None: the model does not answer row by row."""
    if answers is not None and answers != rows:
        raise ModelFailed(500, f"The model gave {answers} answer(s) for {rows} row(s); none is passed on.")


def split_answers(answers: Any, sizes: Sequence[int]) -> list[Any]:
    """Split the answers to a batch by request. ``sizes``: rows of each. Raises ModelFailed (500)."""
    check_count(len(answers), sum(sizes))
    parts, end = [], 0
    for size in sizes:
        begin, end = end, end + size
        parts.append(answers[begin:end])
    return parts
