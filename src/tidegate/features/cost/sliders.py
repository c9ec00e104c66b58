"""Numbers of a page's form: within bounds, with a default for what is missing or unreadable. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Slider:
    """One number that a reader moves. ``step`` is for the control; values between two steps are taken as they are."""

    name: str
    label: str
    default: float
    least: float
    most: float
    step: float
    help: str = ""


def read_sliders(sliders: tuple[Slider, ...], query: Mapping[str, str]) -> tuple[dict[str, float], list[str]]:
    """The values by name, and a sentence for each that was not a number within its bounds."""
    values, problems = {}, []
    for one in sliders:
        values[one.name] = one.default
        text = query.get(one.name, "").strip()[:40]
        if not text:
            continue
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if one.least <= found <= one.most:
            values[one.name] = found
        else:
            problems.append(f"{one.label}: {text!r} is not a number from {one.least:g} to {one.most:g}")
    return values, problems


def form_fields(sliders: tuple[Slider, ...], values: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            **{"name": one.name, "label": one.label, "help": one.help, "value": f"{values[one.name]:g}"},
            **{"least": f"{one.least:g}", "most": f"{one.most:g}", "step": f"{one.step:g}"},
        }
        for one in sliders
    ]
