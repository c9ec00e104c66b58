"""Asks what would hurt, as ``spec init`` makes a spec, and says what ruling that out takes."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate import spec
from tidegate.cli.output import print_note
from tidegate.domain.errors import Invalid
from tidegate.features.evidence.harm_words import OF_LABELS, assuring_section, parse_harm
from tidegate.features.rehearse.promise import Baseline, PromiseTerms
from tidegate.features.rehearse.promise.detection import RolloutSetting
from tidegate.features.rehearse.promise.promise import list_harms
from tidegate.features.rehearse.rehearsal import spec_scenario

NOTHING, UNKNOWN = "nothing", "unknown"


def ask_harm(data: Mapping[str, Any], ask: Callable[[str, str], str]) -> dict[str, Any]:
    """Ask for a harm and return the sections that rule it out before a version gets more than the first share of the
    spec; none where nothing hurts, or all of the traffic moves at once. ``ask`` takes a question and its default.
    Raises Invalid for an answer that is none."""
    rollout = data.get("rollout", {})
    before = rollout.get("size") or rollout.get("step")
    if before is None:
        return {}
    words = ask("What would hurt, such as 'one failed answer in 200', 'one missed fraud in a hundred'", NOTHING)
    if words == NOTHING:
        return {}
    harm, rows, label = parse_harm(words), "", ""
    if OF_LABELS & harm.keys():
        rows = ask("Address of labelled rows that show it", f"s3://labels/{data['endpoint']}.csv")
        label = ask("Column of the labels", "label")
    made = {"evidence": assuring_section(harm, before, rows, label)}
    rate = ask("Requests a second to the endpoint", UNKNOWN)
    if rate != UNKNOWN:
        for line in describe_needs({**data, **made}, _parse_rate(rate)):
            print_note(line)
    return made


def describe_needs(data: Mapping[str, Any], rate: float) -> Iterator[str]:
    """Yield a line for each harm: what ruling it out takes at this rate, or what would do where that is too much."""
    wish = spec.parse(data, datetime.now(UTC))
    plan = spec_scenario.make_plan(wish)
    if plan.evidence is not None:
        baseline = spec_scenario.fill_in_latency(wish, Baseline())
        for one in list_harms(plan.evidence, RolloutSetting(plan, rate, baseline), PromiseTerms()):
            yield one.summary


def _parse_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1e7:
        raise Invalid(f"{text[:40]!r} requests a second: expected a number above 0, such as 20")
    return rate
