"""``evidence.judge`` of a spec: the language model that compares the answers of both versions."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.capture import Capture, Detector
from tidegate.domain.evidence import Judging
from tidegate.spec.alarms import check_url
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.structures import SecretSpec
from tidegate.spec.upstream import build_headers, check_headers, render_headers
from tidegate.spec.value_types import about
from tidegate.statistics.preferences import ENOUGH, GROUP

_USUAL = Judging("", "")
MOST_ASKS, LONGEST_RUBRIC, MOST_LABELS = 100_000, 2_000, 500


class JudgeSpec(Struct, forbid_unknown_fields=True):
    """Ask a language model which version's answer to the same request is better."""

    url: Annotated[str, about("A service that speaks OpenAI's API, without /v1.", "https://judge.example.com")]
    model: Annotated[str, about("The name of its model.", "judge-1")]
    headers: Annotated[
        dict[str, str | SecretSpec],
        Meta(description="Headers of each question; {secret: NAME} is read from TIDEGATE_SECRETS."),
    ] = {}
    asks: Annotated[
        int,
        Meta(
            description="Most questions about each variant in a rollout.",
            extra_json_schema={"minimum": 1, "maximum": MOST_ASKS},
        ),
    ] = _USUAL.asks
    rubric: Annotated[str, about("The question that it is asked.")] = _USUAL.rubric
    labels: Annotated[
        int,
        Meta(
            description="Most pairs of each variant whose texts are kept until a person labels them.",
            extra_json_schema={"minimum": 0, "maximum": MOST_LABELS},
        ),
    ] = _USUAL.labels


def parse_judge(given: JudgeSpec | None, asked: bool, minimum: int, path: KeyPath) -> Judging | None:
    """Parse the settings of a judge. ``asked``: whether ``compare`` has it; ``minimum``: pairs that it needs. Raises
    SpecError."""
    if given is None:
        if asked:
            raise SpecError(path, "is missing: compare: [judge] needs the url and the model of a judge")
        return None
    if not asked:
        raise SpecError(path, "nothing compares by a judge: add judge to compare, or remove this")
    check_url(given.url, (*path, "url"))
    check_headers(given.headers, path)
    if not given.model:
        raise SpecError((*path, "model"), "is empty: give the name of the judge's model")
    if not minimum <= given.asks <= MOST_ASKS:
        raise SpecError(
            (*path, "asks"),
            f"{given.asks}: must be {minimum} (evidence.minimum) to {MOST_ASKS}: it takes as many pairs",
        )
    if not 0 < len(given.rubric) <= LONGEST_RUBRIC:
        raise SpecError((*path, "rubric"), f"must have 1 to {LONGEST_RUBRIC} characters")
    most = min(MOST_LABELS, given.asks // GROUP)
    if given.labels and not ENOUGH <= given.labels <= most:
        why = f"people decide from {ENOUGH} on, and each label takes {GROUP} questions (asks: {given.asks})"
        raise SpecError((*path, "labels"), f"{given.labels}: must be 0, or {ENOUGH} to {MOST_LABELS}: {why}")
    return Judging(given.url, given.model, build_headers(given.headers), given.asks, given.rubric, given.labels)


def check_shown(judging: Judging | None, capture: Capture | None, path: KeyPath) -> None:
    """Refuse a judge of texts that redaction drops. Raises SpecError."""
    rules = None if judging is None or capture is None else capture.redaction
    if rules is not None and Detector.TEXT in rules.detect:
        raise SpecError(
            path, "would be shown no sentence: capture.redact drops them all, so list what else it shall detect"
        )


def render_judge(given: Judging) -> dict[str, Any]:
    """Render the settings as plain data without defaults."""
    made: dict[str, Any] = {"url": given.url, "model": given.model}
    if given.headers:
        made["headers"] = render_headers(given.headers)
    changed = (name for name in ("asks", "rubric", "labels") if getattr(given, name) != getattr(_USUAL, name))
    return made | {name: getattr(given, name) for name in changed}
