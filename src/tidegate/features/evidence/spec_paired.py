"""The settings of a spec for comparisons of pairs: tolerances, and by which columns."""

from dataclasses import asdict, replace
from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.evidence import FeatureTolerance, PairedTolerance
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.unit_texts import percent_text
from tidegate.spec.units import percent
from tidegate.spec.value_types import about

MOST_SLICES = 4
"""Columns by which predictions are compared."""
LONGEST_NAME = 64
MOST_UNITS = 2.5
"""Largest tolerance of a difference: as 3 units is the most that a request counts, a larger one is never exceeded."""
_PERCENT = r"^[0-9]+(\.[0-9]+)?%$"
_SHARES = ("moved", "top", "order", "failed")
_USUAL, _SAME = PairedTolerance(), FeatureTolerance()

Share = Annotated[str, about("A share of the requests.", "1%", pattern=_PERCENT)]
Units = Annotated[
    float,
    Meta(
        description="In units: log-odds of scores; of amounts what the model's error or spread makes one.",
        extra_json_schema={"exclusiveMinimum": 0},
    ),
]


class PairedSpec(Struct, forbid_unknown_fields=True):
    """By how much two predictions of the same requests may differ."""

    distance: Units | None = None
    bias: Units | None = None
    moved: Share | None = None
    top: Share | None = None
    top_bias: Units | None = None
    order: Share | None = None
    slice: Units | None = None
    failed: Share | None = None


class FeatureSpec(Struct, forbid_unknown_fields=True):
    """By how much the columns that a pipeline's stages make may differ."""

    rows: Share | None = None
    scale: Annotated[str, about("How far a whole column may be stretched.", "25%", pattern=_PERCENT)] | None = None
    shift: (
        Annotated[
            float,
            Meta(description="How far a whole column may move, in its standard deviations. Default: 0.25."),
        ]
        | None
    ) = None


def parse_paired(given: PairedSpec, path: KeyPath) -> PairedTolerance:
    """Parse the tolerances of predictions. Raises SpecError."""
    changed: dict[str, float] = {}
    for name in given.__struct_fields__:
        value, where = getattr(given, name), (*path, name)
        if value is None:
            continue
        changed[name] = _share(value, where) if name in _SHARES else _units(value, where)
    return replace(_USUAL, **changed)


def parse_features(given: FeatureSpec, path: KeyPath) -> FeatureTolerance:
    """Parse the tolerances of features. Raises SpecError."""
    found = _SAME
    if given.rows is not None:
        found = replace(found, rows=_share(given.rows, (*path, "rows")))
    if given.scale is not None:
        found = replace(found, scale=percent(given.scale, (*path, "scale")) / 100)
    if given.shift is not None:
        if not 0 <= given.shift <= MOST_UNITS:
            raise SpecError((*path, "shift"), f"{given.shift:g}: must be 0 to {MOST_UNITS:g}")
        found = replace(found, shift=float(given.shift))
    return found


def _share(text: str, path: KeyPath) -> float:
    value = percent(text, path)
    if not 0 < value <= 90:
        raise SpecError(path, f"{text}: must be above 0% and at most 90%")
    return value / 100


def _units(value: float, path: KeyPath) -> float:
    if not 0 < value <= MOST_UNITS:
        raise SpecError(path, f"{value:g}: must be above 0 and at most {MOST_UNITS:g}")
    return float(value)


def parse_slices(given: list[str | int] | None, paired: bool, path: KeyPath) -> tuple[str, ...]:
    """Parse the columns of the slices. Raises SpecError."""
    found = tuple(str(one) for one in given or ())
    if not found:
        return ()
    if not paired:
        raise SpecError(path, "only paired compares slices: add it to compare, or remove this")
    if len(found) > MOST_SLICES:
        raise SpecError(path, f"{len(found)} columns: at most {MOST_SLICES}")
    for index, name in enumerate(found):
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise SpecError((*path, index), f"must be the name or the number of a column, not {name!r}")
        if name in found[:index]:
            raise SpecError((*path, index), f"{name!r} is given twice")
    return found


def render_paired(given: PairedTolerance) -> dict[str, Any]:
    """Render the tolerances of predictions as plain data without defaults."""
    found = {name: value for name, value in asdict(given).items() if value is not None}
    return {name: percent_text(value) if name in _SHARES else value for name, value in found.items()}


def render_whole(given: PairedTolerance) -> dict[str, Any]:
    """Render the tolerances of predictions as plain data, with the defaults of scores for what is not given."""
    return render_paired(PairedTolerance(**asdict(given.limits(amounts=False))))


def render_features(given: FeatureTolerance) -> dict[str, Any]:
    """Render the tolerances of features as plain data without defaults."""
    different = {name: value for name, value in asdict(given).items() if value != getattr(_SAME, name)}
    return {name: value if name == "shift" else percent_text(value) for name, value in different.items()}
