"""The settings of a spec for comparisons of texts: tolerances."""

from dataclasses import asdict, replace
from typing import Annotated, Any

from msgspec import Struct

from tidegate.domain.evidence import TextTolerance
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.unit_texts import percent_text
from tidegate.spec.units import percent
from tidegate.spec.value_types import about

_PERCENT = r"^[0-9]+(\.[0-9]+)?%$"
_USUAL = TextTolerance()
_FACTORS = ("first_token", "speed")
MOST_SHARE = 50
"""Percent of the answers."""

Share = Annotated[str, about("A share of the answers.", "2%", pattern=_PERCENT)]
Factor = Annotated[str, about("A part of the old version's.", "30%", pattern=_PERCENT)]


class TextSpec(Struct, forbid_unknown_fields=True):
    """By how much texts of two versions may differ."""

    refusals: Annotated[Share, about("Further answers that may refuse. Default: 2%.")] | None = None
    repetitions: Annotated[Share, about("Further answers that may repeat themselves. Default: 2%.")] | None = None
    empty: Annotated[Share, about("Further answers that may be empty. Default: 0.5%.")] | None = None
    length: Annotated[Share, about("Answers whose length may move across any level. Default: 15%.")] | None = None
    first_token: Annotated[Factor, about("How much later the first text may come. Default: 30%.")] | None = None
    speed: Annotated[Factor, about("How much fewer tokens a second may have. Default: 30%.")] | None = None


def parse_text(given: TextSpec, path: KeyPath) -> TextTolerance:
    """Parse the tolerances of texts. Raises SpecError."""
    changed: dict[str, float] = {}
    for name in given.__struct_fields__:
        text, where = getattr(given, name), (*path, name)
        if text is None:
            continue
        value = percent(text, where)
        if value > MOST_SHARE and name not in _FACTORS:
            raise SpecError(where, f"{text}: must be at most {MOST_SHARE}%")
        changed[name] = value / 100
    return replace(_USUAL, **changed)


def render_text(given: TextTolerance) -> dict[str, Any]:
    """Render the tolerances of texts as plain data without defaults."""
    usual = asdict(_USUAL)
    return {name: percent_text(value) for name, value in asdict(given).items() if value != usual[name]}
