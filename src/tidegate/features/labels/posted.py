"""Labels as they are posted: JSON to labels, each a label or a named problem. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tidegate.domain.errors import Invalid
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.ledger import LabelKind
from tidegate.rows.label_lines import Label, LineProblem, check_place, read_short_label

MOST_LABELS = 10_000
"""Labels of one request."""
THUMBS = {"up": 1.0, "down": 0.0, True: 1.0, False: 0.0}
"""What feedback may be said with instead of a number."""
TERMS = ("score", "kind")


def read_terms(body: Mapping[str, object]) -> LabelTerms:
    """Raises Invalid."""
    where, kind = body.get("score", ""), body.get("kind")
    if not isinstance(where, str):
        raise Invalid("'score' must be the place of the score in an answer, such as predictions[0].score")
    check_place(where)
    if kind is not None and kind not in tuple(LabelKind):
        raise Invalid(f"'kind' must be one of {', '.join(LabelKind)}")
    return LabelTerms(where, None if kind is None else LabelKind(str(kind)))


def read_unset(body: Mapping[str, object]) -> tuple[str, ...]:
    """Terms that are "not said" again. Raises Invalid, also for one that is said in the same breath."""
    given = body.get("unset", [])
    if not isinstance(given, list) or not all(one in TERMS for one in given):
        raise Invalid(f"'unset' must be a list of {', '.join(TERMS)}")
    if said := [name for name in given if body.get(name)]:
        raise Invalid(f"{', '.join(said)}: said and unset at once")
    return tuple(given)


def read_posted(given: object, now: float, feedback: bool = False) -> tuple[list[Label], Counter[LineProblem]]:
    """``feedback``: labels may be thumbs. Raises Invalid for what is no list of labels at all."""
    if not isinstance(given, list):
        raise Invalid("'labels' must be a list of objects with id and label")
    if len(given) > MOST_LABELS:
        raise Invalid(f"{len(given):,} labels in one request: send at most {MOST_LABELS:,}")
    found, problems = list[Label](), Counter[LineProblem]()
    for one in given:
        read = _read_one(one, now, feedback)
        if isinstance(read, LineProblem):
            problems[read] += 1
        else:
            found.append(read)
    return found, problems


def _read_one(given: object, now: float, feedback: bool) -> Label | LineProblem:
    if not isinstance(given, dict):
        return LineProblem.BROKEN
    said = given.get("label")
    thumb = THUMBS.get(said) if feedback and isinstance(said, str | bool) else None
    read = read_short_label(given if thumb is None else {**given, "label": thumb}, now)
    return read if isinstance(read, LineProblem) else replace(read, received=now)


def render_posted(labels: Sequence[Label]) -> list[dict[str, object]]:
    """The inverse, for a client that read labels from files."""
    return [
        {"id": one.id, "label": one.value}
        | ({} if one.at is None else {"at": _iso(one.at)})
        | ({} if one.probability is None else {"probability": one.probability})
        for one in labels
    ]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
