"""Reads what would hurt in a person's words, such as ``one missed fraud in a hundred``, as the harm of an assurance.
Pure."""

import re
from collections.abc import Mapping
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.spec.unit_texts import percent_text

NUMBERS = {
    "half": 0.5, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "twenty": 20, "fifty": 50, "hundred": 100, "thousand": 1000,
}  # fmt: skip
MEANINGS = (
    (
        "mean_error",
        r"(mean|average|absolute|larger|bigger|higher|prediction) (absolute )?errors?|less (precise|exact)",
    ),
    ("auc", r"\bauc\b|rank"),
    ("recall", r"\bmiss|recall|overlook|undetected|slips? through"),
    ("latency", r"slow|latency|\blater?\b|longer"),
    ("errors", r"\bfail|errors?\b|\b5xx\b|broken|unanswered"),
)
"""What words say about a harm, the first that fits; a number without any of them is a bias."""
OF_LABELS = frozenset({"auc", "recall", "mean_error"})
EXAMPLES = (
    "'one failed answer in 200', 'one missed fraud in a hundred', '50% slower', '93 a month' (of what is predicted),"
    " '0.05 AUC' or '5% larger error'"
)
_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?"
_UNIT = re.compile(rf"({_NUMBER})\s*(%|percent\b|per cent\b)?")
_SHARE = re.compile(rf"({_NUMBER})\b[^\d]*?\b(?:in|of|per|out of)\s+(?:every\s+)?({_NUMBER})\b(?!\s*%)")


def parse_harm(text: str) -> dict[str, Any]:
    """Return the ``harm`` of ``evidence.assure`` as a spec has it. Several are separated by semicolons or ``and``.
    Raises Invalid for words that name none, or the same one twice."""
    found: dict[str, Any] = {}
    for part in re.split(r";|\band\b", text.lower()):
        name, value = _parse_one(part)
        if name in found:
            raise Invalid(f"{text.strip()[:80]!r}: {name} is named twice")
        found[name] = value
    return found


def _parse_one(part: str) -> tuple[str, Any]:
    name = next((name for name, words in MEANINGS if re.search(words, part)), "predictions")
    text = _count_words(part)
    shares, numbers = _SHARE.search(text), _UNIT.search(text)
    value, is_share = 0.0, False
    if shares and _number(shares[2]):
        value, is_share = _number(shares[1]) / _number(shares[2]), True
    elif name == "latency" and re.search(r"\b(twice|double)\b", part):
        value, is_share = 1.0, True
    elif numbers:
        value, is_share = _number(numbers[1]) / (100 if numbers[2] else 1), bool(numbers[2])
    wants_share = name not in ("predictions", "auc")
    too_large = is_share and name != "latency" and value > 1
    if not value > 0 or too_large or (wants_share and not is_share) or (name == "predictions" and is_share):
        raise Invalid(f"{part.strip()[:80]!r}: say what would hurt, such as {EXAMPLES}")
    if name == "predictions":
        return name, {"bias": value}
    return name, value if name == "auc" else percent_text(value)


def _count_words(text: str) -> str:
    """Return a text with figures in the place of numbers in words: 500 for ``five hundred``."""
    small = "|".join(word for word, value in NUMBERS.items() if value >= 1)
    text = re.sub(
        rf"\b({small}) (hundred|thousand)\b", lambda found: f"{NUMBERS[found[1]] * NUMBERS[found[2]]:.0f}", text
    )
    alone = "|".join(word for word in NUMBERS if len(word) > 2)
    return re.sub(rf"\b({alone})\b", lambda found: f"{NUMBERS[found[0]]:.9g}", text)


def _number(text: str) -> float:
    """Return a number with a point or a comma before its decimals, or commas between thousands."""
    if re.fullmatch(r"\d+(,\d{3})+(\.\d+)?", text):
        return float(text.replace(",", ""))
    return float(text.replace(",", "."))


def assuring_section(harm: Mapping[str, Any], before: str, rows: str, label: str) -> dict[str, Any]:
    """Return the ``evidence`` section that rules a harm out before a version gets more than the share ``before``.
    ``rows`` and ``label``: address and column of labelled rows, where the harm is one that these show."""
    compare = ["errors", "latency", *(["paired"] if "predictions" in harm else [])]
    replay = {"replay": {"rows": rows, "label": label}} if OF_LABELS & harm.keys() else {}
    return {"compare": compare, **replay, "assure": {"harm": dict(harm), "before": before}}
