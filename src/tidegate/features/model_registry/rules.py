"""Decides what is done about what a registry says. Pure.

Each version is deployed at most once unless a person asks: an alias that moves to and fro changes nothing more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.history import HistoryEntry, VersionOutcome
from tidegate.domain.rollout import Cause, Phase, Version
from tidegate.features.model_registry.kinds import FollowRecord, VersionAttempt

LONGEST_PAUSE = timedelta(minutes=10)
"""Between two looks at a registry that does not answer."""
_TOLD = (VersionOutcome.ROLLED_BACK, VersionOutcome.ROLLBACK_FAILED, VersionOutcome.FAILED)


@dataclass(frozen=True)
class FollowDecision:
    """``deploy``: the version to deploy, which takes the place of a rollout of an earlier one if ``supersede``.
    ``abort``: give up the rollout under way, since the registry names again what served before it. ``note``: why
    neither is done, where something else would be expected."""

    deploy: str = ""
    supersede: bool = False
    abort: bool = False
    note: str = ""


@dataclass(frozen=True)
class RollbackReport:
    """Message for the registry. ``back``: the version that serves instead; empty if it is none of the same
    model."""

    version: str
    rollout: str
    reason: str
    back: str


def find_version(version: Version | None) -> str:
    """The address in a registry of what an endpoint with one model runs; empty if it is not known."""
    models = [] if version is None else [one.model for one in version.production]
    return models[0].containers[0].fingerprint or "" if len(models) == 1 else ""


def decide(record: FollowRecord, newest: str, endpoint: Endpoint | None) -> FollowDecision:
    """``newest``: address of the version that the alias or group names now."""
    if endpoint is None or endpoint.deleting:
        return FollowDecision()
    rollout, last = endpoint.rollout, record.attempts[-1] if record.attempts else None
    own = {one.rollout for one in record.attempts if one.rollout}
    ids = set[str]()
    if rollout is not None:
        ids = {rollout.id, *([rollout.successor.rollout_id] if rollout.successor else [])}
    if newest in {one.version for one in record.attempts}:
        if last is not None and newest == last.version:
            return FollowDecision()
        if rollout is not None and rollout.old is not None and find_version(rollout.old) == newest:
            ends = rollout.phase is Phase.ROLLING_BACK and rollout.successor is None
            ends = ends or rollout.phase is Phase.TERMINATING
            return FollowDecision(abort=not ends and bool(ids & own))
        if rollout is None and find_version(endpoint.serving) == newest:
            return FollowDecision()
        return FollowDecision(
            note=f"{newest} was deployed before, and is not deployed again by itself: deploy the spec to do so"
        )
    if rollout is not None and (not ids & own or rollout.old is None):
        return FollowDecision(note=f"{newest} waits until the rollout of {rollout.new.config_name} has ended")
    return FollowDecision(deploy=newest, supersede=rollout is not None)


def note_attempt(record: FollowRecord, endpoint: Endpoint | None, rollout: str) -> FollowRecord:
    """The record after the deployment of its version, under this rollout's id, which may have changed nothing."""
    under_way = None if endpoint is None else endpoint.rollout
    began = under_way is not None and rollout in (
        under_way.id,
        under_way.successor.rollout_id if under_way.successor else "",
    )
    version = record.following.version
    if not began and any(one.version == version for one in record.attempts):
        return replace(record, note="")
    attempt = VersionAttempt(version, rollout if began else "", reported=not began)
    return replace(record, attempts=(*record.attempts, attempt), note="")


def give_up(record: FollowRecord, endpoint: Endpoint) -> FollowRecord:
    """The record before something newer takes the place of the rollout under way. One that turns back already does so
    for a reason of its own."""
    rollout = endpoint.rollout
    if rollout is None:
        return record
    ended = {rollout.id} if rollout.cause is None else set[str]()
    if rollout.successor is not None:
        ended.add(rollout.successor.rollout_id)
    return replace(
        record,
        attempts=tuple(replace(one, given_up=True) if one.rollout in ended else one for one in record.attempts),
    )


def settle(
    record: FollowRecord, entries: Iterable[HistoryEntry], endpoint: Endpoint
) -> tuple[FollowRecord, list[RollbackReport]]:
    """The record without the attempts of which nothing is to be told, and what is to be told of the others."""
    by_rollout = {entry.rollout: entry for entry in entries if entry.rollout}
    reports, kept = list[RollbackReport](), list[VersionAttempt]()
    serving = find_version(endpoint.serving)
    for one in record.attempts:
        entry = by_rollout.get(one.rollout)
        if one.reported or (entry is not None and entry.outcome is VersionOutcome.ROLLING_OUT):
            kept.append(one)
        elif entry is None or not _is_told(one, entry, endpoint):
            kept.append(replace(one, reported=True))
        else:
            kept.append(one)
            same = serving.rpartition("/")[0] == one.version.rpartition("/")[0] and serving != one.version
            reports.append(RollbackReport(one.version, one.rollout, entry.reason, serving if same else ""))
    return replace(record, attempts=tuple(kept)), reports


def _is_told(one: VersionAttempt, entry: HistoryEntry, endpoint: Endpoint) -> bool:
    last = endpoint.last
    superseded = last is not None and last.id == one.rollout and last.cause is Cause.SUPERSEDED
    return entry.outcome in _TOLD and not (one.given_up or entry.never_began or superseded)


def pause_after(failures: int, every: int) -> timedelta:
    """Time until the next look, after so many in a row that failed."""
    usual = timedelta(seconds=every)
    return max(usual, min(usual * (1 << min(failures, 16)), LONGEST_PAUSE))
