"""Every row of a request gets one answer: that is checked before anything is answered.

An answer too few or too many would give somebody another row's answer. Engines check what a model gives for each
request (``check_count``), and scorers what it gives for several together, before it is cut (``split_answers``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.invocation import ModelFailed

ROWS = "ANSWER_ROWS"
"""Variable of a model's environment that says whether a list of its answers has one for each row."""


def row_by_row(environment: Mapping[str, str]) -> bool:
    """Whether the model answers so, as all do that do not say otherwise. Raises Invalid."""
    said = environment.get(ROWS, "each")
    if said not in ("each", "any"):
        raise Invalid(f"{ROWS} must be 'each' (an answer for each row) or 'any', not {said!r}")
    return said == "each"


def check_count(answers: int | None, rows: int) -> None:
    """``answers`` None: the model says itself that it does not answer row by row. Raises ModelFailed (500)."""
    if answers is not None and answers != rows:
        raise ModelFailed(500, f"The model gave {answers} answer(s) for {rows} row(s); none is passed on.")


def split_answers(answers: Any, sizes: Sequence[int]) -> list[Any]:
    """Of the answers to several requests each request's own. ``sizes``: their rows. Raises ModelFailed (500)."""
    check_count(len(answers), sum(sizes))
    parts, end = [], 0
    for size in sizes:
        begin, end = end, end + size
        parts.append(answers[begin:end])
    return parts
