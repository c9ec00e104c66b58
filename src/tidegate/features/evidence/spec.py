"""The ``evidence`` section of a spec: its structure, and what it means."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.evidence import (
    OF_PAIRS,
    Comparison,
    EvidenceAction,
    EvidenceConfig,
    NoDataAction,
    RisingAction,
)
from tidegate.domain.rollout import TrafficRouting
from tidegate.features.evidence.spec_assure import AssureSpec, parse_assure, render_assure
from tidegate.features.evidence.spec_judge import JudgeSpec, check_shown, parse_judge, render_judge
from tidegate.features.evidence.spec_paired import (
    MOST_SLICES,
    FeatureSpec,
    PairedSpec,
    parse_features,
    parse_paired,
    parse_slices,
    render_features,
    render_paired,
)
from tidegate.features.evidence.spec_replay import ReplaySpec, parse_replay, render_replay
from tidegate.features.evidence.spec_text import TextSpec, parse_text, render_text
from tidegate.spec.problem import KeyPath, SpecError, suggest
from tidegate.spec.sections import Draft
from tidegate.spec.unit_texts import duration_text, percent_text
from tidegate.spec.units import one_of, percent, seconds
from tidegate.spec.value_types import Duration, about

COMPARISONS = tuple(one.value for one in Comparison)
ACTIONS = tuple(one.value for one in EvidenceAction)
RISING = tuple(one.value for one in RisingAction)
NO_DATA = tuple(one.value for one in NoDataAction)
MOST_FALSE = 20
"""Percent: largest rate of false rollbacks that can be chosen."""
MOST_REQUESTS = 1_000_000
_PERCENT = r"^[0-9]+(\.[0-9]+)?%$"
_USUAL = EvidenceConfig()
_SIMPLE = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS, Comparison.JUDGE)
"""Comparisons with a single tolerance."""
_SECTIONS = (Comparison.FEATURES, Comparison.PAIRED, Comparison.TEXT)
"""Comparisons with several."""

Share = Annotated[str, about("A share of the requests.", "0.1%", pattern=_PERCENT)]


class ToleranceSpec(Struct, forbid_unknown_fields=True):
    """Differences that do no harm."""

    errors: Annotated[Share, about("Further requests that may fail. Default: 0.05%.")] | None = None
    latency: (
        Annotated[str, about("How much slower p50 and p99 may be. Default: 30%.", pattern=_PERCENT)] | None
    ) = None
    predictions: Annotated[Share, about("Predictions that may move across any level. Default: 10%.")] | None = None
    paired: PairedSpec | None = None
    features: FeatureSpec | None = None
    text: TextSpec | None = None
    judge: (
        Annotated[Share, about("How many more old answers than new ones may be preferred. Default: 10%.")] | None
    ) = None


class EvidenceSpec(Struct, forbid_unknown_fields=True):
    """Compare the new version with the old one while both answer requests."""

    compare: (
        Annotated[
            list[str],
            Meta(
                description="What is compared. Default: errors and latency.",
                extra_json_schema={"items": {"enum": list(COMPARISONS)}, "minItems": 1},
            ),
        ]
        | None
    ) = None
    tolerance: ToleranceSpec | None = None
    slices: (
        Annotated[
            list[str | int],
            Meta(
                description="Columns of the request, by name or number, by whose values paired compares, too.",
                extra_json_schema={"maxItems": MOST_SLICES},
            ),
        ]
        | None
    ) = None
    copies: (
        Annotated[
            Duration,
            about(
                "How long the new version gets only copies of requests at first, for paired, features and judge."
            ),
        ]
        | None
    ) = None
    false_rollback_rate: Annotated[
        str, about("Most rollouts of an equal version that may be rolled back.", "1%", pattern=_PERCENT)
    ] = "1%"
    action: Annotated[str, about("What a difference above its tolerance does.", enum=ACTIONS)] = "rollback"
    on_features: Annotated[
        str, about("What a difference does that features alone have found.", enum=("gate", "rollback"))
    ] = "gate"
    minimum: Annotated[
        int,
        Meta(description="Requests of each version per stage, at least.", extra_json_schema={"minimum": 1}),
    ] = 100
    replay: ReplaySpec | None = None
    judge: JudgeSpec | None = None
    deadline: Annotated[Duration, about("How long a stage waits for evidence after its bake.")] = "1h"
    on_no_data: Annotated[str, about("What happens to a stage without evidence then.", enum=NO_DATA)] = "rollback"
    on_rising: Annotated[
        str, about("What happens to a stage whose difference may be above its tolerance.", enum=RISING)
    ] = "hold"
    assure: AssureSpec | None = None


def build_evidence(given: EvidenceSpec, draft: Draft) -> EvidenceConfig:
    """Raises SpecError."""
    path, deployment = ("evidence",), draft.desired.deployment
    blue_green = deployment.blue_green
    if blue_green is not None and blue_green.routing is TrafficRouting.ALL_AT_ONCE:
        raise SpecError(
            path,
            "compares two versions side by side, and the strategy is all_at_once: use canary, linear or rolling",
        )
    compare = _compare(given.compare, (*path, "compare"))
    rate = percent(given.false_rollback_rate, (*path, "false_rollback_rate"))
    if not 0 < rate <= MOST_FALSE:
        raise SpecError((*path, "false_rollback_rate"), f"{rate:g}%: must be above 0% and at most {MOST_FALSE}%")
    if not 1 <= given.minimum <= MOST_REQUESTS:
        raise SpecError((*path, "minimum"), f"{given.minimum}: must be 1 to {MOST_REQUESTS}")
    paired = Comparison.PAIRED in compare
    found = EvidenceConfig(
        compare=compare,
        slices=parse_slices(given.slices, paired, (*path, "slices")),
        copies=_copies(given.copies, compare, (*path, "copies")),
        false_rollback_rate=rate / 100,
        action=EvidenceAction(one_of(given.action, ACTIONS, (*path, "action"))),
        on_features=_on_features(given, compare, path),
        minimum=given.minimum,
        deadline=seconds(given.deadline, (*path, "deadline")),
        on_no_data=NoDataAction(one_of(given.on_no_data, NO_DATA, (*path, "on_no_data"))),
        on_rising=RisingAction(one_of(given.on_rising, RISING, (*path, "on_rising"))),
        replay=None if given.replay is None else parse_replay(given.replay, (*path, "replay")),
        judging=parse_judge(given.judge, Comparison.JUDGE in compare, given.minimum, (*path, "judge")),
    )
    check_shown(found.judging, draft.desired.config.capture, (*path, "judge"))
    if given.tolerance is not None:
        found = _tolerate(found, given.tolerance, (*path, "tolerance"))
    if given.assure is None:
        return found
    assure = parse_assure(given.assure, found, (*path, "assure"))
    replay = None if found.replay is None else replace(found.replay, recall=assure.harm.recall is not None)
    return replace(found, assure=assure, replay=replay)


def _on_features(given: EvidenceSpec, compare: tuple[Comparison, ...], path: KeyPath) -> EvidenceAction:
    where = (*path, "on_features")
    found = EvidenceAction(one_of(given.on_features, ("gate", "rollback"), where))
    if found is not _USUAL.on_features and Comparison.FEATURES not in compare:
        raise SpecError(where, "nothing compares features: add it to compare, or remove this")
    return found


def _compare(given: list[str] | None, path: KeyPath) -> tuple[Comparison, ...]:
    if given is None:
        return _USUAL.compare
    if not given:
        raise SpecError(path, f"compare at least one of {', '.join(COMPARISONS)}")
    for index, each in enumerate(given):
        if each not in COMPARISONS:
            raise SpecError((*path, index), f"{each!r} cannot be compared{suggest(each, COMPARISONS)}")
        if each in given[:index]:
            raise SpecError((*path, index), f"{each!r} is given twice")
    return tuple(one for one in Comparison if one.value in given)


def _tolerate(found: EvidenceConfig, given: ToleranceSpec, path: KeyPath) -> EvidenceConfig:
    changed: dict[str, Any] = {}
    for one in _SIMPLE:
        text, where = getattr(given, one.value), (*path, one.value)
        if text is None:
            continue
        if one not in found.compare:
            raise SpecError(where, f"nothing compares {one.value}: add it to compare, or remove this")
        changed[one.value] = percent(text, where) / 100
        if changed[one.value] > 0.5 and one is not Comparison.LATENCY:
            raise SpecError(where, f"{text}: must be at most 50%")
    for one in _SECTIONS:
        if getattr(given, one.value) is not None and one not in found.compare:
            raise SpecError((*path, one.value), f"nothing compares {one.value}: add it to compare, or remove this")
    if given.paired is not None:
        changed["paired"] = parse_paired(given.paired, (*path, "paired"))
    if given.features is not None:
        changed["features"] = parse_features(given.features, (*path, "features"))
    if given.text is not None:
        changed["text"] = parse_text(given.text, (*path, "text"))
    return replace(found, **changed)


def _copies(given: str | int | None, compare: tuple[Comparison, ...], path: KeyPath) -> int:
    if given is None:
        return _USUAL.copies
    if OF_PAIRS.isdisjoint(compare):
        raise SpecError(path, "nothing compares copies: add paired, features or judge to compare, or remove this")
    return seconds(given, path)


def render_evidence(deployed: DesiredDeployment) -> dict[str, Any]:
    """Plain data without defaults: the inverse of ``build_evidence``."""
    given = deployed.deployment.evidence
    assert given is not None
    made: dict[str, Any] = {}
    if given.compare != _USUAL.compare:
        made["compare"] = [one.value for one in given.compare]
    if tolerance := _render_tolerance(given):
        made["tolerance"] = tolerance
    if given.slices:
        made["slices"] = [int(one) if one.isdecimal() else one for one in given.slices]
    if given.replay is not None:
        made["replay"] = render_replay(given.replay)
    if given.judging is not None:
        made["judge"] = render_judge(given.judging)
    if given.assure is not None:
        made["assure"] = render_assure(given.assure)
    texts: dict[str, Callable[[Any], object]] = {
        "copies": duration_text,
        "false_rollback_rate": percent_text,
        "action": str,
        "on_features": str,
        "minimum": int,
        "deadline": duration_text,
        "on_no_data": str,
        "on_rising": str,
    }
    changed = {name: text for name, text in texts.items() if getattr(given, name) != getattr(_USUAL, name)}
    return made | {name: text(getattr(given, name)) for name, text in changed.items()}


def _render_tolerance(given: EvidenceConfig) -> dict[str, Any]:
    different = [one.value for one in _SIMPLE if getattr(given, one.value) != getattr(_USUAL, one.value)]
    made: dict[str, Any] = {name: percent_text(getattr(given, name)) for name in different}
    if paired := render_paired(given.paired):
        made["paired"] = paired
    if features := render_features(given.features):
        made["features"] = features
    if text := render_text(given.text):
        made["text"] = text
    return made
