"""``evidence.replay`` of a spec: labelled rows that both versions answer before any traffic."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.replay import MOST_OUTPUTS, ReplayConfig
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.unit_texts import duration_text, percent_text
from tidegate.spec.units import percent, seconds
from tidegate.spec.value_types import Duration, about

SCHEMES = ("file://", "s3://")
FEWEST_LABELS, MOST_LABELS = 20, 1_000_000
"""Of fewer labels the spread of an AUC is not known."""
_PERCENT = r"^[0-9]+(\.[0-9]+)?%$"
_USUAL = ReplayConfig("")
RELATIVE = ("mean", "slice", "error")
"""Tolerances that are parts of the old version's value, in percent."""

Part = Annotated[str, about("A part of the old version's value.", "5%", pattern=_PERCENT)]


class ReplayToleranceSpec(Struct, forbid_unknown_fields=True):
    """How much worse the new version may be without harm."""

    auc: Annotated[float, Meta(description="AUC lost. Default: 0.02.")] | None = None
    calibration: Annotated[float, Meta(description="Calibration error gained. Default: 0.02.")] | None = None
    mean: Annotated[Part, about("Change of the mean score. Default: 15%.")] | None = None
    slice: Annotated[Part, about("Change of the mean score of a slice. Default: 50%.")] | None = None
    error: Annotated[Part, about("Mean absolute error, or log loss of classes, gained. Default: 5%.")] | None = (
        None
    )


class ReplaySpec(Struct, forbid_unknown_fields=True):
    """Let both versions answer labelled rows before any traffic is shifted."""

    rows: Annotated[
        str,
        about(
            "A table (.csv, .parquet), JSON Lines, or captures.",
            "s3://labels/2026-q3.csv",
            pattern=r"^(file|s3)://",
        ),
    ]
    label: (
        Annotated[
            str | list[str],
            Meta(
                description="The column of what was true, or one for each number of an answer; models do not get it.",
                examples=["fraud", ["minutes", "cost"]],
            ),
        ]
        | None
    ) = None
    labels: Annotated[str, about("Lines of ground truth, joined with captured rows by id.")] | None = None
    leave_out: Annotated[list[str], Meta(description="Columns that the models do not get.")] = []
    columns: Annotated[list[str], Meta(description="Names of captured rows without names.")] = []
    by: Annotated[str, about("Judge each value of this column by itself as well.", "country")] | None = None
    score: Annotated[str, about("Place of the score in an answer.", "predictions[0].score")] | None = None
    tolerance: ReplayToleranceSpec | None = None
    least_labels: Annotated[int, Meta(description="Labels, of each class, without which nothing is decided.")] = (
        _USUAL.least_labels
    )
    within: Annotated[Duration, about("Time that each version may take.")] = "10m"


def parse_replay(given: ReplaySpec, path: KeyPath) -> ReplayConfig:
    """Raises SpecError."""
    for name, address in (("rows", given.rows), ("labels", given.labels)):
        if address is not None and not address.startswith(SCHEMES):
            raise SpecError((*path, name), f"{address!r}: expected an address at file:// or s3://")
    if (given.label is None) == (given.labels is None):
        raise SpecError(path, "give either 'label', a column of the rows, or 'labels', an address of ground truth")
    if not FEWEST_LABELS <= given.least_labels <= MOST_LABELS:
        raise SpecError((*path, "least_labels"), f"{given.least_labels}: must be {FEWEST_LABELS} to {MOST_LABELS}")
    if given.labels is not None and given.leave_out:
        raise SpecError((*path, "leave_out"), "captured requests are sent as they were: leave it out")
    names = given.label if isinstance(given.label, list) else [given.label or ""]
    named = all(names) or (given.label is None and given.labels is not None)
    if not names or not named or len(set(names)) < len(names) or len(names) > MOST_OUTPUTS:
        said = f"name one column, or up to {MOST_OUTPUTS} different ones"
        raise SpecError((*path, "label"), f"{given.label!r}: {said}")
    if len(names) > 1 and given.score is not None:
        said = "several labels are those of the numbers of an answer, in order: leave it out"
        raise SpecError((*path, "score"), said)
    return ReplayConfig(
        rows=given.rows,
        label=names[0],
        other_labels=tuple(names[1:]),
        labels=given.labels or "",
        leave_out=tuple(given.leave_out),
        columns=tuple(given.columns),
        by=given.by or "",
        score=given.score or "",
        least_labels=given.least_labels,
        within=seconds(given.within, (*path, "within"), least=1),
        **_tolerances(given.tolerance or ReplayToleranceSpec(), (*path, "tolerance")),
    )


def _tolerances(given: ReplayToleranceSpec, path: KeyPath) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ReplayToleranceSpec.__struct_fields__:
        value, where = getattr(given, name), (*path, name)
        if value is None:
            continue
        found[name] = percent(value, where) / 100 if name in RELATIVE else float(value)
        if not 0 <= found[name] <= 1:
            raise SpecError(where, f"{value}: must be from 0 to 1")
    return found


def render_replay(given: ReplayConfig) -> dict[str, Any]:
    """Plain data without defaults: the inverse of ``parse_replay``."""
    made: dict[str, Any] = {"rows": given.rows}
    made |= {name: getattr(given, name) for name in ("label", "labels", "by", "score") if getattr(given, name)}
    made |= {"label": [given.label, *given.other_labels]} if given.other_labels else {}
    made |= {name: list(getattr(given, name)) for name in ("leave_out", "columns") if getattr(given, name)}
    names = ReplayToleranceSpec.__struct_fields__
    changed = [name for name in names if getattr(given, name) != getattr(_USUAL, name)]
    if changed:
        values = {name: getattr(given, name) for name in changed}
        made["tolerance"] = {n: percent_text(v) if n in RELATIVE else v for n, v in values.items()}
    if given.least_labels != _USUAL.least_labels:
        made["least_labels"] = given.least_labels
    return made | ({"within": duration_text(given.within)} if given.within != _USUAL.within else {})
