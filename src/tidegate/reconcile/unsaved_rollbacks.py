"""Rollbacks that began while the store was unavailable.

Everything else is saved before it takes effect. Traffic leaves a bad version at once, whether the store is available
or not; the record follows when the store is back.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Event
from tidegate.domain.rollout import Cause, Phase
from tidegate.rollout import commands, desired_state, transitions
from tidegate.rollout.digest import digest

TAKEN_BACK = (*commands.FORWARD_PHASES, Phase.TERMINATING)


@dataclass(frozen=True)
class LoadedEndpoint:
    """A record as one transaction read it, with the alarms that its rollout names as they are defined now."""

    stored: Endpoint
    version: int
    alarms: dict[str, Alarm]
    endpoint: Endpoint
    """``stored`` as it is to be saved; ``events`` tell of what changed."""
    events: tuple[Event, ...] = ()
    turned: bool = False
    """``endpoint`` was turned back, and acted on, before that could be saved."""

    @property
    def states(self) -> dict[str, AlarmState]:
        return {name: alarm.state for name, alarm in self.alarms.items()}


@dataclass
class UnsavedRollbacks:
    """By endpoint: the last record that was read, and its state after what was done without the store."""

    known: dict[str, LoadedEndpoint] = field(default_factory=dict)

    def take(self, name: str, loaded: LoadedEndpoint, now: datetime) -> LoadedEndpoint:
        """The record that was read, merged with what was done meanwhile; remembered in case the store goes away."""
        ahead = self.known.get(name)
        if ahead is not None and ahead.turned:
            loaded = _merge(loaded, ahead, now)
        self.known[name] = loaded
        return loaded

    def turn_back(self, name: str, after: Endpoint | None, events: tuple[Event, ...]) -> LoadedEndpoint | None:
        """Record as done what ``after`` takes from the new version: the rollback, or the traffic of a version that
        lost its instances. None if it takes nothing: nothing else may be done unsaved."""
        before = self.known.get(name)
        if before is None or before.endpoint.rollout is None or after is None or after.rollout is None:
            return None
        if after.rollout.id != before.endpoint.rollout.id:
            return None
        withdrawn = desired_state.new_share(after) < desired_state.new_share(before.endpoint)
        if after.rollout.phase is not Phase.ROLLING_BACK and not withdrawn:
            return None
        self.known[name] = replace(before, endpoint=after, events=(*before.events, *events), turned=True)
        return self.known[name]

    def saved(self, name: str, endpoint: Endpoint | None, version: int) -> None:
        """The store has this now; None: the record is gone."""
        before = self.known.pop(name, None)
        if before is not None and endpoint is not None:
            self.known[name] = LoadedEndpoint(endpoint, version, before.alarms, endpoint)

    def forget(self, name: str) -> None:
        self.known.pop(name, None)


def _merge(loaded: LoadedEndpoint, ahead: LoadedEndpoint, now: datetime) -> LoadedEndpoint:
    """``loaded`` with the rollback in ``ahead``, also where the record was written in between: by somebody else, or
    by a step forward that was being saved and landed late. That step was never acted on, so even one past the point
    of no return can be taken back: nothing was removed yet."""
    if loaded.version == ahead.version:
        return replace(loaded, endpoint=ahead.endpoint, events=ahead.events, turned=True)
    rollout, turned = loaded.stored.rollout, ahead.endpoint.rollout
    if rollout is None or turned is None or rollout.id != turned.id or rollout.phase not in TAKEN_BACK:
        return loaded
    if turned.phase is not Phase.ROLLING_BACK:
        why = f"traffic was taken from {turned.new.config_name}, which had lost its instances, and that came too late"
        endpoint, events = transitions.begin_rollback(loaded.stored, Cause.CAPACITY, why, now)
        return replace(loaded, endpoint=endpoint, events=events, turned=True)
    why = (turned.reason or "").removeprefix(transitions.ROLLED_BACK).rstrip(".")
    cause, rejects = Cause(turned.cause or Cause.ALARM), digest(turned.new) in ahead.endpoint.rejected
    endpoint, events = transitions.begin_rollback(loaded.stored, cause, why, now, rejects=rejects)
    if endpoint.rollout is not None:
        told = replace(endpoint.rollout, failures=turned.failures, explanation=turned.explanation)
        endpoint = replace(endpoint, rollout=told)
    return replace(loaded, endpoint=endpoint, events=events, turned=True)
