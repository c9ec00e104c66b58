"""The ``drift`` section of a spec as a drift schedule, and back. Imported where a spec has one."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.drift import DriftSchedule, check_terms
from tidegate.domain.errors import Invalid
from tidegate.schedules.schedule import load_zone
from tidegate.spec.problem import SpecError
from tidegate.spec.sections import Draft
from tidegate.spec.unit_texts import duration_text, number
from tidegate.spec.units import seconds
from tidegate.spec.value_types import Duration, about
from tidegate.storage.addresses import check_address

# --- the ``drift`` section of a spec: its structure ---


class DriftSection(Struct, forbid_unknown_fields=True):
    """A schedule that repeatedly compares captured requests with a baseline."""

    baseline: Annotated[
        str,
        about(
            "A baseline of 'tidegate drift schedule baseline', or SageMaker's statistics.json: a path (relative to"
            " the spec file), a file:// or an s3:// address.",
            "s3://baselines/fraud.json",
        ),
    ]
    every: Annotated[Duration, about("Time between two looks.")] = "1m"
    window: Annotated[Duration, about("How far back each look goes.")] = "5m"
    by: Annotated[list[str], Meta(description="Columns whose values are compared by themselves, too.")] = []
    columns: Annotated[
        list[str], Meta(description="Columns of rows without names. Default: those of the baseline.")
    ] = []
    score: Annotated[str, about("Place of the score in an answer.", "predictions[0].score")] | None = None
    least: Annotated[float, Meta(description="Smallest distance that matters.")] = 0.1
    false_alarms: Annotated[float, Meta(description="Part of what is found in a day that may be chance.")] = 0.05
    zone: Annotated[str, about("Time zone of the calendar.", "Europe/Berlin")] = "UTC"


_PATH = ("drift",)


def build_drift(given: DriftSection, draft: Draft) -> DriftSchedule:
    """Raises SpecError."""
    capture = draft.desired.config.capture
    if capture is None:
        raise SpecError(_PATH, "compares what is captured: give the spec a 'capture'")
    if not capture.inputs:
        raise SpecError(("capture", "sides"), "drift compares requests: capture their input, too")
    schedule = DriftSchedule(
        endpoint=draft.desired.endpoint,
        baseline=given.baseline,
        created_at=draft.now,
        every=seconds(given.every, (*_PATH, "every"), least=1),
        window=seconds(given.window, (*_PATH, "window"), least=1),
        by=tuple(given.by),
        columns=tuple(given.columns),
        score=given.score or "",
        least=given.least,
        false_alarms=given.false_alarms,
        zone=given.zone,
        by_spec=True,
    )
    try:
        check_address(given.baseline, "baseline")
        check_terms(schedule)
        load_zone(given.zone)
    except Invalid as error:
        raise SpecError(_PATH, str(error)) from None
    return schedule


def render_drift(deployed: DesiredDeployment) -> dict[str, Any]:
    """The inverse, without defaults."""
    schedule = deployed.drift
    assert schedule is not None
    usual = DriftSection(schedule.baseline)
    every, window = duration_text(schedule.every), duration_text(schedule.window)
    made: dict[str, Any] = {"baseline": schedule.baseline}
    made |= {} if every == usual.every else {"every": every}
    made |= {} if window == usual.window else {"window": window}
    made |= {"by": list(schedule.by)} if schedule.by else {}
    made |= {"columns": list(schedule.columns)} if schedule.columns else {}
    made |= {"score": schedule.score} if schedule.score else {}
    made |= {} if schedule.least == usual.least else {"least": number(schedule.least)}
    made |= {} if schedule.false_alarms == usual.false_alarms else {"false_alarms": number(schedule.false_alarms)}
    return made if schedule.zone == usual.zone else {**made, "zone": schedule.zone}
