"""``evidence.assure`` of a spec: which harm is ruled out before a version gets more than some share."""

from dataclasses import asdict
from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.assurance import Assurance, AssuranceUnit, Harm, PredictionHarm
from tidegate.domain.evidence import Comparison, EvidenceConfig, NoDataAction
from tidegate.domain.traffic import WHOLE
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.unit_texts import percent_text
from tidegate.spec.units import one_of, percent
from tidegate.spec.value_types import about
from tidegate.statistics.assurance import count_requests

UNITS = tuple(one.value for one in AssuranceUnit)
RAMPS = ("fixed", "auto")
MOST_MISSED = 10
"""Percent: largest part of harmful versions that may be let through."""
_PERCENT = r"^[0-9]+(\.[0-9]+)?%$"
_SHARES = ("moved", "top", "order")
_NUMBERS = ("auc",)
"""Harms that are no percentages."""
_USUAL_MISSED = 0.01

Share = Annotated[str, about("A share of the requests.", "5%", pattern=_PERCENT)]
Amount = Annotated[
    float,
    Meta(
        description="In the prediction's own unit, of scores from 0 to 1 in log-odds.",
        extra_json_schema={"exclusiveMinimum": 0},
    ),
]


class PredictionHarmSpec(Struct, forbid_unknown_fields=True):
    """Differences between two predictions of the same requests that do harm."""

    bias: Amount | None = None
    spread: Amount | None = None
    distance: Amount | None = None
    top_bias: Amount | None = None
    moved: Share | None = None
    top: Share | None = None
    order: Share | None = None


class HarmSpec(Struct, forbid_unknown_fields=True):
    """How much worse a version is that does harm."""

    errors: Annotated[Share, about("Further requests that fail.", "0.5%")] | None = None
    latency: Annotated[Share, about("How much slower p50 or p99 is, and by 1 ms at least.", "50%")] | None = None
    predictions: PredictionHarmSpec | None = None
    auc: Annotated[float, Meta(description="AUC lost, on the rows of replay.")] | None = None
    recall: (
        Annotated[Share, about("Positives that the highest 5 % of the scores lose, on the rows of replay.")] | None
    ) = None
    mean_error: Annotated[Share, about("Mean absolute error gained, on the rows of replay.")] | None = None


class AssureSpec(Struct, forbid_unknown_fields=True):
    """Let no version with a harm have more than a share of the traffic, but for a small probability."""

    harm: HarmSpec
    before: Annotated[str, about("Largest share before every harm is ruled out.", "25%", pattern=_PERCENT)]
    missed: Annotated[str, about("Most versions with a harm that get more.", "1%", pattern=_PERCENT)] = "1%"
    exposure: (
        Annotated[
            int,
            Meta(
                description="Requests to the new version without an answer after which on_no_data decides.",
                extra_json_schema={"minimum": 1},
            ),
        ]
        | None
    ) = None
    failed: (
        Annotated[
            int,
            Meta(
                description="Requests that the new version fails without an answer after which on_no_data decides.",
                extra_json_schema={"minimum": 1},
            ),
        ]
        | None
    ) = None
    ramp: Annotated[str, about("Whether the budgets choose the stages.", enum=RAMPS)] = "fixed"
    unit: Annotated[str, about("What counts as one observation of errors.", enum=UNITS)] = "request"


def parse_assure(given: AssureSpec, config: EvidenceConfig, path: KeyPath) -> Assurance:
    """Parse an assurance. ``config``: the other settings. Raises SpecError."""
    harm = _parse_harm(given.harm, (*path, "harm"))
    _check_observed(harm, config, path)
    missed, before = percent(given.missed, (*path, "missed")), percent(given.before, (*path, "before"))
    if not 0 < missed <= MOST_MISSED:
        raise SpecError((*path, "missed"), f"{given.missed}: must be above 0% and at most {MOST_MISSED}%")
    if not 0 < before < 100:
        raise SpecError((*path, "before"), f"{given.before}: must be above 0% and below 100%")
    for name, budget in (("exposure", given.exposure), ("failed", given.failed)):
        if budget is not None and budget < 1:
            raise SpecError((*path, name), f"{budget}: must be 1 or more")
    least = 0 if harm.errors is None else count_requests(harm.errors, 0.0, missed / 100)
    if given.exposure is not None and given.exposure < least and given.unit == AssuranceUnit.REQUEST:
        told = f"{given.exposure}: to rule out errors takes about {least:,} requests even if none of them fails"
        raise SpecError((*path, "exposure"), told)
    if config.on_no_data is NoDataAction.ADVANCE:
        raise SpecError(
            path, "on_no_data: advance would give the assurance up for lack of data: use rollback or gate"
        )
    unit = AssuranceUnit(one_of(given.unit, UNITS, (*path, "unit")))
    ramp = one_of(given.ramp, RAMPS, (*path, "ramp")) == "auto"
    if ramp and given.exposure is None and given.failed is None:
        raise SpecError((*path, "ramp"), "auto needs a budget to choose stages by: exposure, failed or both")
    if ramp and config.on_no_data is not NoDataAction.ROLLBACK:
        raise SpecError((*path, "ramp"), "auto keeps a budget by rolling back: it needs on_no_data: rollback")
    return Assurance(harm, round(before * WHOLE / 100), missed / 100, given.exposure, unit, given.failed, ramp)


def _parse_harm(given: HarmSpec, path: KeyPath) -> Harm:
    pairs = given.predictions or PredictionHarmSpec()
    found = {name: getattr(pairs, name) for name in pairs.__struct_fields__}
    where = (*path, "predictions")
    predictions = {name: _parse_value(name, value, (*where, name)) for name, value in found.items()}
    others = {name: getattr(given, name) for name in given.__struct_fields__ if name != "predictions"}
    values = {name: _parse_value(name, value, (*path, name)) for name, value in others.items()}
    if not any(value is not None for value in (*predictions.values(), *values.values())):
        raise SpecError(path, "name what would do harm, such as errors: 0.5%")
    return Harm(predictions=PredictionHarm(**predictions), **values)


def _parse_value(name: str, value: str | float | None, path: KeyPath) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        most = 50 if name in ("errors", "order") else 100
        found = percent(value, path)
        if not 0 < found <= most:
            raise SpecError(path, f"{value}: must be above 0% and at most {most}%")
        return found / 100
    if not 0 < value < (0.5 if name in _NUMBERS else float("inf")):
        raise SpecError(path, f"{value:g}: must be above 0" + (" and below 0.5" if name in _NUMBERS else ""))
    return float(value)


def _check_observed(harm: Harm, config: EvidenceConfig, path: KeyPath) -> None:
    """Refuse a harm that nothing compares. Raises SpecError."""
    if Comparison.ERRORS not in config.compare:
        raise SpecError(
            path, "the split of the traffic is checked by the requests of errors: add errors to compare"
        )
    if harm.latency is not None and Comparison.LATENCY not in config.compare:
        raise SpecError((*path, "harm", "latency"), "nothing compares latency: add it to compare, or remove this")
    if harm.of_pairs and Comparison.PAIRED not in config.compare:
        raise SpecError(
            (*path, "harm", "predictions"),
            "no pair of predictions shows it: add paired to compare, or remove this",
        )
    if harm.of_labels and config.replay is None:
        name = next(iter(harm.of_labels))
        raise SpecError((*path, "harm", name), "no labelled rows show it: add replay to evidence, or remove this")


def render_assure(given: Assurance) -> dict[str, Any]:
    """Plain data without defaults: the inverse of ``parse_assure``."""
    harm = {
        name: value for name, value in asdict(given.harm).items() if value is not None and name != "predictions"
    }
    made: dict[str, Any] = {
        name: value if name in _NUMBERS else percent_text(value) for name, value in harm.items()
    }
    if pairs := given.harm.of_pairs:
        made["predictions"] = {
            name: percent_text(value) if name in _SHARES else value for name, value in pairs.items()
        }
    found: dict[str, Any] = {"harm": made, "before": percent_text(given.before / WHOLE)}
    if given.missed != _USUAL_MISSED:
        found["missed"] = percent_text(given.missed)
    if given.exposure is not None:
        found["exposure"] = given.exposure
    if given.failed is not None:
        found["failed"] = given.failed
    if given.ramp:
        found["ramp"] = "auto"
    return found | ({"unit": given.unit.value} if given.unit is not AssuranceUnit.REQUEST else {})
