"""The options of ``compare``, checked before any model is started."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.features.evidence.replay.answers import AnswerTerms
from tidegate.features.evidence.replay.report import LABELLED, ComparisonTerms
from tidegate.features.evidence.replay.tolerances import parse_tolerances
from tidegate.rows.label_lines import check_place, read_number
from tidegate.rows.row_files import RowTerms
from tidegate.spec.problem import suggest
from tidegate.spec.units import seconds

OPTION_NAMES = ("honest", "variant", "score", "columns", "least_rows", "least_labels", "step", "within")
"""Names that ``--with`` accepts."""


@dataclass(frozen=True)
class CompareOptions:
    """Checked options. ``honest``: models that tolerances are learned from; ``variant``: which is meant of several;
    ``within``: the seconds for each version."""

    rows: RowTerms
    answers: AnswerTerms
    terms: ComparisonTerms
    honest: tuple[str, ...]
    variant: str
    within: int
    candidates: tuple[str, ...] = ()
    """What --candidate names: it shares its values with --with, which all have names."""


def read_options(
    by: str, label: str, leave_out: str, tolerances: Sequence[str], said: Sequence[str]
) -> CompareOptions:
    """Check and convert the options. Raises Invalid."""
    candidates = tuple(text for text in said if "=" not in text)
    more = _parse_pairs([text for text in said if "=" in text])
    where, labels = more.get("score", ""), _words(label)
    check_place(where)
    terms = ComparisonTerms(
        parse_tolerances(tolerances),
        _find_asked(tolerances, label, by),
        _parse_whole(more, "least_rows", 100, 2),
        _parse_whole(more, "least_labels", 100, 1),
        _step(more),
        frozenset(text.partition("=")[0] for text in tolerances),
    )
    return CompareOptions(
        RowTerms(
            labels[0] if labels else "", frozenset(_words(leave_out)), _words(more.get("columns", "")), labels[1:]
        ),
        AnswerTerms(where, by, labels, terms.fewest_labels),
        terms,
        _words(more.get("honest", "")),
        more.get("variant", ""),
        seconds(more.get("within", "10m"), ("--with within",), least=1),
        candidates,
    )


def _parse_pairs(said: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in said:
        name, equals, text = pair.partition("=")
        if not equals or name not in OPTION_NAMES:
            raise Invalid(f"--with {pair}: expected NAME=VALUE{suggest(name, OPTION_NAMES)}")
        found[name] = text.strip()
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _parse_whole(more: dict[str, str], name: str, default: int, least: int) -> int:
    text = more.get(name, str(default))
    if not (text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise Invalid(f"--with {name}={text}: expected a whole number from {least}")
    return int(text)


def _step(more: dict[str, str]) -> float | None:
    if "step" not in more:
        return None
    size = read_number(more["step"])
    if size is None or size < 0:
        raise Invalid(f"--with step={more['step']}: expected a number from 0, in the scores' own unit")
    return size


def _find_asked(tolerances: Sequence[str], label: str, by: str) -> frozenset[str]:
    """Return the statistics whose tolerance is given. Raises Invalid for one that nothing could be compared with."""
    names = frozenset(name for name, _, value in (each.partition("=") for each in tolerances) if value != "none")
    for name in sorted(names):
        if name in LABELLED and not label:
            raise Invalid(f"--tolerance {name}: it needs --label, the column of what was true")
        if name == "slice" and not by:
            raise Invalid("--tolerance slice: it needs --by, the column of the slices")
    return names
