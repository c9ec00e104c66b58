"""Computes a rehearsal for the native API and for pages: a report on one rollout, or a part of it. It takes
seconds of processor time, so servers run it in a process of its own (``console/page_process.py``)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from tidegate import spec
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid
from tidegate.features.rehearse.report import RehearsalInputs, RehearsalRequest, ReportPart, report_rehearsal

RUNS, RUNS_WITH_EVIDENCE = 200, 20
MAX_RUNS = 2_000
"""Maximum number of runs in a rehearsal for a page; the command allows more."""


def rehearse(body: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Rehearse the rollout of a spec: its timeline, what its guards detect, and simulated outcomes.

    Raises Invalid for an invalid request."""
    return _report("rehearse", body, now)


def promise(body: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Compute what the guards of a spec can detect: a former name of a part of a rehearsal."""
    return _report("promise", body, now, ReportPart.DETECTION)


def simulate(body: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Compute the timeline of a rollout: a former name of a part of a rehearsal."""
    return _report("simulate", body, now, ReportPart.TIMELINE)


OPERATIONS: Mapping[str, Callable[[Mapping[str, Any], datetime], dict[str, object]]] = {
    "rehearse": rehearse,
    "promise": promise,
    "simulate": simulate,
}
"""Operations of the native API. The last two go with the former names of their commands
(``cli/commands.py``)."""


def _report(
    what: str, body: Mapping[str, Any], now: datetime, part: ReportPart | None = None
) -> dict[str, object]:
    try:
        asked = msgspec.convert(body, prepare_type(RehearsalRequest))
    except msgspec.ValidationError as error:
        raise Invalid(f"{what}: {error}") from None
    asked.only = part or asked.only
    inputs = RehearsalInputs.parse(asked, spec.parse(asked.spec, now), (RUNS, RUNS_WITH_EVIDENCE))
    if not 1 <= inputs.runs <= MAX_RUNS:
        raise Invalid(f"{inputs.runs} runs: give 1 to {MAX_RUNS}, or use the command")
    return report_rehearsal(inputs).document()
