"""Structures of what the commands print with ``--json``: ``tidegate spec schema DOCUMENT`` makes their JSON Schema.

Times are ISO 8601 with their offset, shares and percentages 0 to 100. A later version may add members and takes none
away, so a program should ignore those that it does not know.
"""

import json
from typing import Annotated, Any

import msgspec
import typer
from msgspec import UNSET, Meta, Struct, UnsetType

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.domain.suggestions import suggest
from tidegate.spec.explain import KeyHelp

Share = Annotated[float, Meta(description="Percentage of the requests, 0 to 100.")]
RequestedShare = Annotated[
    float | UnsetType, Meta(description="The share that was requested; only where it is not the one in force.")
]
ConfirmedShare = Annotated[
    bool | UnsetType,
    Meta(description="Beside a requested share: whether the other one was observed in force. If not, none was."),
]
Time = Annotated[str, Meta(description="ISO 8601, with the offset from UTC.")]


class ShareDocument(Struct):
    """Share of the new version: now, and after the next step (None at the last)."""

    now: Share
    next: Share | None
    requested: RequestedShare = UNSET
    confirmed: ConfirmedShare = UNSET


class PauseDocument(Struct):
    since: Time
    by: str | None


class ConditionDocument(Struct):
    """An outcome on record, such as a rollout that is held for evidence."""

    type: str
    status: bool
    reason: str
    message: str
    since: Time


class WaitDocument(Struct):
    """Description of what a comparison lacks. Numbers are about right, and None where nothing can be said."""

    what: str
    missing: str
    requests: int | None
    seconds: int | None


class EvidenceSpanDocument(Struct):
    """When the guards were last judged, and over which span every request was counted."""

    judged_at: Time | None
    since: Time | None
    through: Time | None
    waits: Annotated[list[WaitDocument], Meta(description="What the stage lacks before more is known.")]
    known_at: Annotated[str | None, Meta(description="When that is likely to be known; None: it cannot be said.")]


class DifferingRowDocument(Struct):
    """A request on which the two versions differ."""

    variant: str
    old: float
    new: Annotated[float | None, Meta(description="None: the new version answered no number.")]
    key: Annotated[int, Meta(description="Equal for equal requests.")]
    output: Annotated[int, Meta(description="Which number of a row it is, from 0.")]
    slices: list[tuple[str, str]]
    request: Annotated[str, Meta(description="As data capture writes it; empty where it captures nothing.")]


class ExplanationDocument(Struct):
    """Evidence of why a rollout was rolled back."""

    rows: Annotated[list[DifferingRowDocument], Meta(description="Those on which the versions differ most.")]
    reproduce: Annotated[str, Meta(description="The command by which the finding is found again.")]


class RolloutDocument(Struct, rename={"before": "from", "after": "to"}):
    """The rollout in progress."""

    id: str
    before: Annotated[str | None, Meta(description="Config that served before; None at a first deployment.")]
    after: Annotated[str, Meta(description="Config that it leads to.")]
    phase: str
    holdback: Annotated[
        bool, Meta(description="The new version has passed; the old one keeps a share for a while.")
    ]
    stage: Annotated[int, Meta(description="From 1.")]
    stages: int
    share: ShareDocument
    paused: PauseDocument | None
    started_at: Time
    bake_until: Time | None
    deadline: Annotated[str | None, Meta(description="End of the phase, after which it rolls back.")]
    expires_at: Annotated[str | None, Meta(description="End of the whole update, after which it rolls back.")]
    cause: Annotated[str | None, Meta(description="What rolls it back; None while it goes forward.")]
    reason: str | None
    failures: Annotated[
        list[str], Meta(description="Last messages of its failed requests, when it was rolled back.")
    ]
    explanation: ExplanationDocument
    evidence: EvidenceSpanDocument | None
    conditions: list[ConditionDocument]


class LastRolloutDocument(Struct):
    """How the last rollout ended."""

    id: str
    to: str
    outcome: str
    cause: str | None
    reason: str | None
    failures: Annotated[
        list[str], Meta(description="Last messages of its failed requests, when it was rolled back.")
    ]
    explanation: ExplanationDocument
    started_at: Time
    ended_at: Time | None


class ContainerDocument(Struct):
    name: str
    image: str
    url: Annotated[str | UnsetType, Meta(description="Address of a service, or its addresses with commas.")] = (
        UNSET
    )


class ArchitectureDocument(Struct):
    """``mode``: single, serial (a pipeline) or direct (side by side)."""

    mode: str
    containers: list[ContainerDocument]


class FleetDocument(Struct):
    """The replicas of one variant of one version."""

    fleet: str
    side: Annotated[str, Meta(description="serving, old, new, mixed (a failed rollback left it) or leaving.")]
    variant: str
    copies: Annotated[float | None, Meta(description="Percentage of requests that a shadow gets a copy of.")]
    config: str | None
    share: Share
    desired: int
    ready: int
    starting: int
    draining: int
    failure: str | None
    devices: Annotated[dict[str, list[str]], Meta(description="Accelerators of each replica that has some.")]
    architecture: ArchitectureDocument | None
    requested: RequestedShare = UNSET
    confirmed: ConfirmedShare = UNSET
    problem: Annotated[
        str | UnsetType, Meta(description="What keeps replicas from starting or ending; only if something does.")
    ] = UNSET


class EndpointAlarmDocument(Struct):
    """``state``: OK, ALARM or INSUFFICIENT_DATA."""

    name: str
    state: str
    reason: str
    since: Time | None


class CaptureDocument(Struct):
    """Data capture of the version that serves."""

    destination: str
    percent: float
    redacted: bool


class ScalingDocument(Struct):
    """A count that autoscaling may change, with its bounds. None: not seen."""

    variant: str
    dimension: str
    min: int
    max: int
    desired: int | None
    ready: int | None
    running: Annotated[str | None, Meta(description="The change that is under way.")]


class EndpointDocument(Struct):
    """``tidegate status ENDPOINT --json`` (with ``live``), and each of ``tidegate status --json``."""

    name: str
    target: str | None
    status: Annotated[str, Meta(description="As SageMaker's EndpointStatus.")]
    why: Annotated[str, Meta(description="The status in a sentence.")]
    config: Annotated[str | None, Meta(description="Config that serves.")]
    failure_reason: str | None
    created_at: Time
    modified_at: Time
    rollout: RolloutDocument | None
    last: LastRolloutDocument | None
    capture: CaptureDocument | None
    fleets: list[FleetDocument]
    alarms: list[EndpointAlarmDocument]
    scaling: list[ScalingDocument]
    notes: Annotated[
        list[str] | UnsetType, Meta(description="What is wrong now, also in ``why``; only if something is.")
    ] = UNSET


class ActivityDocument(Struct):
    """Requests of a fleet in the last 5 seconds. Latencies are the model's; they are None without requests."""

    config: str
    variant: str
    requests: float
    rate: Annotated[float, Meta(description="Requests per second.")]
    errors_4xx: float
    errors_5xx: float
    model_errors: float
    p50_ms: float | None
    p99_ms: float | None


class EndpointStatusDocument(EndpointDocument, kw_only=True):
    """``tidegate status ENDPOINT --json``; with ``--watch`` one for each change, which has ``at``."""

    live: list[ActivityDocument]
    at: Time | None = None


class EndpointListDocument(Struct):
    """``tidegate status --json`` without an endpoint; with ``--watch`` one for each change."""

    endpoints: list[EndpointDocument]
    at: Time | None = None


class EventDocument(Struct):
    """A line of ``tidegate events ENDPOINT --json``; ``rollout watch --json`` has it as ``{"event": ...}``."""

    seq: Annotated[int, Meta(description="Place in the journal, for those that come after.")]
    at: Time
    kind: str
    message: str
    data: Annotated[Any, Meta(description="By the kind of the event.")]


class VersionDocument(Struct):
    """``tidegate server version --json``."""

    version: Annotated[str, Meta(description="Of the command.")]
    server: Annotated[dict[str, Any] | None, Meta(description="None where none answers.")]


class ExplainDocument(Struct):
    """``tidegate spec explain KEY --json``."""

    keys: list[KeyHelp]


DOCUMENTS: dict[str, Any] = {
    "status": EndpointStatusDocument,
    "list": EndpointListDocument,
    "events": EventDocument,
    "version": VersionDocument,
    "explain": ExplainDocument,
}
"""Command -> what it prints with ``--json``."""


def output_schema(command: str) -> dict[str, Any]:
    """JSON Schema of what ``command`` prints with ``--json``."""
    body = msgspec.json.schema(DOCUMENTS[command])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"tidegate {command} --json",
        **body,
    }


# --- ``spec schema``: JSON Schema of spec files, and of what the commands print ---


def schema(
    output_of: Annotated[
        str | None,
        typer.Option("--output-of", metavar="COMMAND", help="Of what a command prints with --json instead."),
    ] = None,
) -> None:
    """Print the JSON Schema of spec files.

    With --output-of that of the documents of status (list: of all endpoints), events, version or explain.

    \b
    Examples:
      tidegate spec schema > spec.schema.json
      tidegate spec schema --output-of status
    """
    if output_of is not None and output_of not in DOCUMENTS:
        raise Invalid(f"there is no schema of the output of {output_of!r}{suggest(output_of, DOCUMENTS)}")
    print(json.dumps(spec.schema() if output_of is None else output_schema(output_of), indent=2))
