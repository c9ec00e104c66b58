"""The trace of a rollout, made from the journal: a pure function from lines to spans.

A line is written in the same transaction as the change that it tells of, so the trace says what is on record, whoever
was alive. Ids follow from the rollout's id and the numbers of lines alone: making the spans again, also in another
controller, makes the same ones, and a longer journal adds some and changes none.

Only what the platform itself wrote is shown. Texts that people typed, names of users and the last words of a failed
program may hold personal data, and are left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidegate.domain.rollout import Cause, Phase
from tidegate.domain.spans import Span, SpanEvent, SpanKind, Value, derive_id, shorten
from tidegate.domain.traffic import WHOLE
from tidegate.ports.store import JournalLine

ENDPOINT, ALARM = "endpoint", "alarm"
"""Kinds of the lines that count."""
MOST_EVENTS = 128
"""Events of a span; what comes after them is left out."""
MOST_NUMBER = 2**63
"""Numbers of a span are below it."""
_NAMES: dict[str, str] = {
    Phase.PROVISIONING: "provision",
    Phase.ACTIVATING_TRAFFIC: "shift",
    Phase.BAKING: "bake",
    Phase.TERMINATING: "cleanup",
    Phase.ROLLING_BACK: "rollback",
}
_OWN_REASONS = {Cause.ALARM, Cause.EVIDENCE, Cause.TIMEOUT}
"""Causes whose reason is the platform's own sentence."""
_OWN_TEXTS = {
    *("rollout.AlarmMissing", "rollout.AlarmRedefined", "rollout.NoAnswers", "rollout.WaitingForEvidence"),
    *("rollout.HeldByEvidence", "rollout.HeldForApproval", "rollout.CapacityShort", "rollout.BakeRestarted"),
    *("rollout.BakeExtended", "rollout.LeftOver", "rollout.StageChosen", "clock.Stepped"),
}
"""Events whose message is the platform's own sentence."""


@dataclass(frozen=True)
class JournalSpan:
    """A finished span. ``line``: number of the journal line that ended it."""

    span: Span
    line: int


@dataclass
class _Open:
    """A rollout that has not ended, or a phase of one. ``name``: of its id or phase; empty: it has none."""

    key: tuple[Any, ...]
    name: str
    line: int
    start: int
    attributes: dict[str, Value]
    events: list[SpanEvent] = field(default_factory=list)

    def note(self, event: SpanEvent) -> None:
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)


def make_spans(lines: Iterable[JournalLine]) -> list[JournalSpan]:
    """The finished spans of the rollouts of one endpoint. ``lines``: of the endpoint, and of the alarms that guard
    it, in the journal's order, with their bodies. Of a rollout that began before the first of them, the spans are
    those that can be known."""
    fold = _Fold()
    for line in lines:
        if line.kind == ENDPOINT:
            fold.read_endpoint(line)
        elif line.kind == ALARM:
            fold.read_alarm(line)
    return fold.found


def guards_of(body: object) -> tuple[str, ...]:
    """Return the names of the alarms that guard an endpoint's rollout; empty if none is in progress."""
    return _alarms(_member(body, "rollout"))


def started_at(body: object) -> datetime | None:
    """Return when an endpoint's rollout began; None if none is in progress."""
    return _time(_member(_member(body, "rollout"), "started_at"))


class _Fold:
    def __init__(self) -> None:
        self.found: list[JournalSpan] = []
        self._rollout: _Open | None = None
        self._phase: _Open | None = None
        self._last_end = 0
        self._guards: tuple[str, ...] = ()

    def read_endpoint(self, line: JournalLine) -> None:
        at = _nanoseconds(line.at)
        rollout = _member(line.body, "rollout")
        id = _text(rollout, "id")
        if self._rollout is not None and self._rollout.key != (id,):
            self._end(line, at)
        if id and self._rollout is None:
            self._rollout = _Open((id,), id, line.seq, at, _describe(line.name, id, rollout))
            self._guards = _alarms(rollout)
        if self._rollout is not None:
            key = tuple(_member(rollout, name) for name in ("phase", "stage", "back_stage"))
            if self._phase is not None and self._phase.key != key:
                self._end_phase(line, at)
            if self._phase is None:
                self._phase = _Open(key, _text(rollout, "phase"), line.seq, at, _describe_phase(rollout))
            for event in _events(line, at):
                self._phase.note(event)

    def read_alarm(self, line: JournalLine) -> None:
        """A change of an alarm's state, while a rollout that it guards is in progress."""
        if self._phase is None or line.name not in self._guards:
            return
        for event in line.events:
            states = [_text(_member(event.data, name), "stateValue") for name in ("oldState", "newState")]
            if event.data.get("item") == "StateUpdate" and all(states):
                told: dict[str, Value] = {"tidegate.alarm": shorten(line.name)}
                told |= {"tidegate.alarm.from": shorten(states[0]), "tidegate.alarm.to": shorten(states[1])}
                self._phase.note(SpanEvent("alarm", _nanoseconds(line.at), told))

    def _end_phase(self, line: JournalLine, at: int) -> None:
        rollout, phase, self._phase = self._rollout, self._phase, None
        assert rollout is not None and phase is not None
        id = rollout.name
        name = _NAMES.get(phase.name, "phase")
        if phase.attributes.pop("removing", False):
            name = "cleanup"
        end = max(phase.start, at)
        self._last_end = max(self._last_end, end)
        # A clock that was set back must not put an event, or a phase, before the one that holds it.
        rollout.start = min(rollout.start, phase.start)
        events = tuple(SpanEvent(e.name, max(phase.start, e.at), e.attributes) for e in phase.events)
        span = Span(
            *(_trace_id(id), derive_id(16, id, phase.line), _root_id(id), name, phase.start, end),
            attributes={**phase.attributes, "tidegate.endpoint": rollout.attributes["tidegate.endpoint"]},
            events=events,
        )
        self.found.append(JournalSpan(span, line.seq))

    def _end(self, line: JournalLine, at: int) -> None:
        """The rollout is over: another one follows, or none, or the endpoint is gone."""
        assert self._rollout is not None
        if self._phase is not None:
            self._end_phase(line, at)
        rollout, self._rollout = self._rollout, None
        id, last = rollout.name, _member(line.body, "last")
        outcome = _text(last, "phase") if _text(last, "id") == id else "Deleted"
        told: dict[str, Value] = {"tidegate.outcome": shorten(outcome)}
        if cause := _text(last, "cause") if outcome != "Deleted" else "":
            told["tidegate.cause"] = shorten(cause)
            if cause in _OWN_REASONS and (reason := _text(last, "reason")):
                told["tidegate.reason"] = shorten(reason)
        at = max(rollout.start, at)
        events = (*_events(line, at), SpanEvent("verdict", at, told))
        span = Span(
            *(_trace_id(id), _root_id(id), None, "rollout", rollout.start),
            max(at, self._last_end),
            kind=SpanKind.INTERNAL,
            attributes={**rollout.attributes, **told},
            events=events,
            error=None if outcome == Phase.SUCCEEDED else shorten(f"{outcome} {cause}".strip()),
        )
        self._last_end = 0
        self.found.append(JournalSpan(span, line.seq))


def _alarms(rollout: object) -> tuple[str, ...]:
    return tuple(name for name in _items(_member(rollout, "plan"), "alarms") or () if isinstance(name, str))


def _trace_id(rollout: str) -> str:
    return derive_id(32, "rollout", rollout)


def _root_id(rollout: str) -> str:
    return derive_id(16, "rollout", rollout)


def _describe(endpoint: str, id: str, rollout: object) -> dict[str, Value]:
    new, old = _member(rollout, "new"), _member(rollout, "old")
    stages = _items(_member(rollout, "plan"), "stages")
    found: dict[str, Value] = {
        "tidegate.endpoint": shorten(endpoint),
        "tidegate.rollout": shorten(id),
        "tidegate.config": shorten(_text(new, "config_name")),
    }
    if old is not None:
        found["tidegate.config.before"] = shorten(_text(old, "config_name"))
    if isinstance(generation := _member(new, "generation"), int) and abs(generation) < MOST_NUMBER:
        found["tidegate.generation"] = generation
    if stages is not None:
        found["tidegate.stages"] = len(stages)
    return found


def _describe_phase(rollout: object) -> dict[str, Value]:
    """Describe the phase of a rollout. ``removing``: the phase of a rollback in which traffic is back already."""
    stage, cause = (_member(rollout, name) for name in ("stage", "cause"))
    found: dict[str, Value] = {}
    stages = _items(_member(rollout, "plan"), "stages")
    if _member(rollout, "phase") == Phase.ROLLING_BACK:
        stages, stage = _items(rollout, "back"), _member(rollout, "back_stage")
        found["removing"] = stages is not None and stage == len(stages)
        if isinstance(cause, str):
            found["tidegate.cause"] = shorten(cause)
            if cause in _OWN_REASONS:
                found["tidegate.reason"] = shorten(_text(rollout, "reason"))
    if stages is not None and isinstance(stage, int) and 0 <= stage < len(stages):
        found["tidegate.stage"] = stage + 1
        if isinstance(share := _member(stages[stage], "share"), int) and abs(share) < MOST_NUMBER:
            found["tidegate.share"] = share / WHOLE
    return found


def _events(line: JournalLine, at: int) -> Sequence[SpanEvent]:
    """Return the events of the line except the change of phase, which the span itself represents."""
    phases = {f"rollout.{phase}" for phase in Phase}
    found = []
    for event in line.events:
        if event.kind not in phases:
            text = {"tidegate.message": shorten(event.message)} if event.kind in _OWN_TEXTS else {}
            found.append(SpanEvent(shorten(event.kind), at, text))
    return found


def _member(body: object, name: str) -> Any:
    """A member of plain JSON data; None: it has none. Records of other versions may lack some."""
    return body.get(name) if isinstance(body, Mapping) else None


def _items(body: object, name: str) -> Sequence[Any] | None:
    found = _member(body, name)
    return found if isinstance(found, list | tuple) else None


def _text(body: object, name: str) -> str:
    found = _member(body, name)
    return found if isinstance(found, str) else ""


def _time(text: object) -> datetime | None:
    """Parse a time; None for other texts, and for a time without a time zone, which cannot be compared with
    others."""
    try:
        found = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
