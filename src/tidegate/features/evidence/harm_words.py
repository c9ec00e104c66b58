"""Asks what would hurt, and reads in a person's words the harm of an assurance. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.spec.unit_texts import percent_text

EXAMPLES = "one missed fraud in a hundred; one failed answer in 200; 93 a month; 50% slower; 0.02 AUC"
MOST_CHARACTERS = 300
_WORDS = {
    **{"a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "ten": 10.0},
    **{"twenty": 20.0, "fifty": 50.0, "hundred": 100.0, "thousand": 1_000.0, "million": 1_000_000.0},
}
_NUMBER = rf"(?:\d[\d,]*(?:\.\d+)?|\.\d+|{'|'.join(_WORDS)})"
_PART = re.compile(rf"\b({_NUMBER})\b.*?\b(?:in|of|out of|per)\s+(?:an?\s+|one\s+)?({_NUMBER})\b")
_PERCENT = re.compile(rf"({_NUMBER})\s*(?:%|per ?cent\b|points?\b)")
_PLAIN = re.compile(rf"(?<![\w.])({_NUMBER})(?![\w.]*\w)")
_SUBJECTS = (
    ("auc", r"\bauc\b"),
    ("mean_error", r"\b(mean|average|typical) (absolute )?errors?\b"),
    ("latency", r"\b(slow|slower|latency|later|longer)\b"),
    ("recall", r"\b(miss|missed|misses|recall|overlooked|undetected|uncaught|not (found|caught|seen))\b"),
    ("errors", r"\b(fail|fails|failed|failing|failures?|errors?|refused|unanswered|5xx|no answer)\b"),
)
"""Harm and the words that name it, the first one that fits. A number without any of them is of predictions."""
_BOUNDS = {"auc": 0.5, "errors": 0.5, "latency": 1.0, "recall": 1.0, "mean_error": 1.0}
OF_LABELS = ("auc", "recall", "mean_error")
"""Harms that labelled rows alone show."""
_NOTHING = "nothing"


def ask_harm(ask: Callable[[str, str], str], before: str) -> dict[str, dict[str, Any]]:
    """Ask what would hurt, with ``ask`` of a question and its default, and return the sections of a spec that rule it
    out before a version gets more than the share ``before``, by the comment on them. Raises Invalid for an answer
    that is not understood."""
    said = ask(f"What would hurt, such as {EXAMPLES}", _NOTHING)
    if said == _NOTHING:
        return {}
    harm, rows, label = parse_harm(said), "", ""
    if not harm.keys().isdisjoint(OF_LABELS):
        rows = ask("Labelled rows that both versions answer first (file:// or s3://)", "")
        label = ask("Column of the label", "")
    rate = ask("Requests per second, by which it is checked that the traffic can show it", _NOTHING)
    if rate != _NOTHING and not re.fullmatch(r"\d+(\.\d+)?", rate):
        raise Invalid(f"requests per second {rate!r}: expected a number")
    sections = {"evidence": write_evidence(harm, before, rows, label)}
    if rate != _NOTHING:
        sections["workload"] = {"rps": float(rate)}
    return {"What is ruled out before a version gets more traffic.": sections}


def parse_harm(text: str) -> dict[str, Any]:
    """Return the harms that a text names, as ``evidence: assure: harm:`` has them: ``one missed fraud in a hundred,
    93 a month`` is ``{recall: 1%, predictions: {bias: 93}}``. Harms are separated by commas, semicolons or "and".
    Raises Invalid for a part that names none."""
    if len(text) > MOST_CHARACTERS:
        raise Invalid(f"what would hurt: {len(text)} characters, and at most {MOST_CHARACTERS} are read")
    found: dict[str, Any] = {}
    for part in _split(text.lower()):
        name, value = _read(part)
        if name in found:
            raise Invalid(f"what would hurt: {part!r}: {name} is named twice")
        found[name] = value
    if not found:
        raise Invalid(f"what would hurt: nothing is named, such as {EXAMPLES}")
    return found


def write_evidence(harm: Mapping[str, Any], before: str, rows: str = "", label: str = "") -> dict[str, Any]:
    """Return the ``evidence`` section that rules a harm out before a version gets more than a share. ``rows`` and
    ``label``: of the labelled rows, for what they show. Raises Invalid without them."""
    of_labels = [name for name in OF_LABELS if name in harm]
    if of_labels and not (rows and label):
        raise Invalid(
            f"what would hurt: {of_labels[0]} is shown by labelled rows alone: give a table and its label's column,"
            " or name the harm by failed answers, latency or amounts"
        )
    shown = {"errors": True, "latency": "latency" in harm, "paired": "predictions" in harm}
    made: dict[str, Any] = {"compare": [name for name, asked in shown.items() if asked]}
    if of_labels:
        made["replay"] = {"rows": rows, "label": label}
    return {**made, "assure": {"harm": dict(harm), "before": before}}


def _split(text: str) -> Iterator[str]:
    # A comma within a number separates thousands.
    return (part.strip() for part in re.split(r";|\n|,(?!\d{3}\b)|\band\b|\bor\b", text) if part.strip())


def _read(part: str) -> tuple[str, Any]:
    name = next((name for name, words in _SUBJECTS if re.search(words, part)), "")
    share = _read_share(part)
    if name in ("", "auc"):
        number = share if name and share is not None else None if share is not None else _read_number(part)
        if number is None or not number:
            raise Invalid(f"what would hurt: {part!r} is not understood; say it like {EXAMPLES}")
        if name and number >= _BOUNDS[name]:
            raise Invalid(f"what would hurt: {part!r}: a loss of AUC must be below {_BOUNDS[name]}")
        return (name, number) if name else ("predictions", {"bias": number})
    if name == "latency" and share is None and re.search(r"\b(twice|double)\b", part):
        share = 1.0
    if share is None:
        raise Invalid(f"what would hurt: {part!r} has no share, such as 1% or one in a hundred")
    text = percent_text(share)
    if not 0 < share <= _BOUNDS[name] or text == "0%":
        raise Invalid(f"what would hurt: {part!r}: must be above 0% and at most {percent_text(_BOUNDS[name])}")
    return name, text


def _read_share(part: str) -> float | None:
    if (found := _PERCENT.search(part)) is not None:
        return _value(found[1]) / 100
    if (found := _PART.search(part)) is not None and (whole := _value(found[2])) > 1:
        return _value(found[1]) / whole
    return None


def _read_number(part: str) -> float | None:
    found = [one for one in _PLAIN.findall(part) if one not in _WORDS] or _PLAIN.findall(part)
    return None if not found or found[0] in ("a", "an") else _value(found[0])


def _value(text: str) -> float:
    return _WORDS[text] if text in _WORDS else float(text.replace(",", ""))
