"""Use cases of a rollout that is in progress or has just ended. Each is journaled with the user who asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.access import Caller
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.history import HistoryEntry
from tidegate.domain.observation import Capabilities, Event
from tidegate.domain.rollout import DeploymentConfig
from tidegate.ports.store import Tx
from tidegate.rollout import approval_rule, commands
from tidegate.rollout import history as histories
from tidegate.service import history, quotas
from tidegate.service.endpoints import check_containers, check_serving_version, read_guards, require_settled, save
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import require

RolloutCommand = Callable[[Endpoint, str, datetime], Endpoint]

COMMANDS: dict[str, RolloutCommand] = {
    "pause": commands.pause,
    "resume": commands.resume,
    "abort": commands.abort,
    "promote": commands.promote,
    "promote --full": commands.promote_fully,
}


NOBODY = Caller()


@dataclass(frozen=True)
class Purpose:
    """Why a command is given, for the journal, and which rollout and stage it is meant for: somebody who decides by
    what a page showed must not hit what came after it. None: whichever is there."""

    reason: str = ""
    rollout: str | None = None
    stage: int | None = None
    """Counted from 1, as it is shown."""
    caller: Caller = NOBODY
    """Who may approve depends on it."""


UNSAID = Purpose()


@dataclass(frozen=True)
class UndoRequest:
    """Which version to go back to, by its number or config (None: the last one that was good), and how: ``override``
    even if it was rejected or never served, ``guarded`` by a rollout."""

    to: str | None = None
    override: bool = False
    guarded: bool = False


def pause(tx: Tx, name: str, by: str, now: datetime, purpose: Purpose = UNSAID) -> None:
    """Pause the rollout in its stage; alarms still roll it back. Raises NotFound or Conflict, as do all here."""
    _command(tx, "pause", name, by, now, purpose)


def resume(tx: Tx, name: str, by: str, now: datetime, purpose: Purpose = UNSAID) -> None:
    _command(tx, "resume", name, by, now, purpose)


def abort(tx: Tx, name: str, by: str, now: datetime, purpose: Purpose = UNSAID) -> None:
    """Roll back to the old version."""
    _command(tx, "abort", name, by, now, purpose)


def promote(tx: Tx, name: str, by: str, now: datetime, full: bool = False, purpose: Purpose = UNSAID) -> None:
    """Skip the bake of the present stage, or, if ``full``, all that remain; capacity and alarms still count. Approve
    the rollout if it is held for that; raises NotAllowed for a caller who may not."""
    _command(tx, "promote --full" if full else "promote", name, by, now, purpose)


def retry(
    tx: Tx,
    name: str,
    by: str,
    *,
    override: bool,
    rollout_id: str,
    can: Capabilities,
    now: datetime,
    purpose: Purpose = UNSAID,
) -> None:
    """Roll out again what was rolled back. ``override`` is needed if an alarm rolled it back."""
    saved = require(tx, ENDPOINT, name)
    _check_purpose(saved.body, purpose)
    guards = read_guards(tx, saved.body.last.deployment) if saved.body.last else ()
    retried = commands.retry(
        saved.body, by=by, rollout_id=rollout_id, override=override, can=can, now=now, guards=guards
    )
    over = " over the evidence against it" if override else ""
    message, data = _journaled(f"retry{over} asked for by {by}", by, purpose)
    save(tx, saved, retried, Event("retry", message, data), now)


def undo(
    tx: Tx,
    name: str,
    asked: UndoRequest,
    by: str,
    *,
    kept: Mapping[str, bool],
    rollout_id: str,
    can: Capabilities,
    now: datetime,
    purpose: Purpose = UNSAID,
) -> None:
    """Go back to an earlier version: at once, or, if it is to be guarded, by a rollout with its own strategy and
    alarms. It is not compared with the version that is left: that one is unwanted, and of course it differs.
    ``kept``: digest of model data -> whether it is intact. Raises NotFound, Conflict, Invalid or LimitExceeded."""
    _check_not_held_back(require(tx, ENDPOINT, name).body)
    saved = require_settled(tx, name, now)
    endpoint = saved.body
    _check_purpose(endpoint, purpose)
    if endpoint.rollout is not None and not endpoint.deleting:
        raise Conflict(
            f'endpoint "{name}" is being updated: abort the rollout to go back to what served before it'
        )
    entry = find_undo_target(tx, name, asked.to)
    if entry.served_at is None and not (asked.guarded or asked.override):
        raise Conflict(
            f"version {entry.number}, {entry.version.config_name}, never finished a rollout ({entry.outcome}): add"
            " --guarded for a rollout with its own strategy and alarms, or --override"
        )
    _check_kept(endpoint, entry, kept, can, asked.override)
    version = histories.restore(entry, endpoint.serving)
    for variant in version.variants:
        check_containers(tx, variant.model.containers)
    if version.serverless and endpoint.serving is not None and not endpoint.serving.serverless:
        raise Invalid(f'endpoint "{name}" has instances and cannot become serverless: create another endpoint')
    check_serving_version(tx, endpoint, {each.name: each.instance_type for each in version.production}, can)
    guards = _read_calm_guards(tx, entry) if asked.guarded else ()
    request = VersionRequest(version, entry.deployment, now, by, guards)
    how = replace(entry.deployment, evidence=None, approval=None) if asked.guarded else DeploymentConfig()
    begun = commands.begin(
        endpoint, request, rollout_id=rollout_id, can=can, now=now, override=asked.override, undo=how
    )
    quotas.check(tx, endpoint, begun, can.quotas)
    words = "guarded undo" if asked.guarded else "undo"
    said = f"{words} to version {entry.number}, {version.config_name}, asked for by {by}"
    message, data = _journaled(said, by, purpose)
    save(
        tx, saved, begun, Event("undo", message, {**data, "version": entry.number, "guarded": asked.guarded}), now
    )


def find_undo_target(tx: Tx, name: str, to: str | None) -> HistoryEntry:
    """The version that undo goes back to. Raises NotFound or Conflict."""
    endpoint = require(tx, ENDPOINT, name).body
    _check_not_held_back(endpoint)
    return histories.find_target(history.read(tx, name), to, endpoint.rejected)


def _check_not_held_back(endpoint: Endpoint) -> None:
    """Raises Conflict in a holdback: the version before still runs."""
    rollout = endpoint.rollout
    if rollout is not None and rollout.holds_back and rollout.old is not None:
        old = rollout.old.config_name
        raise Conflict(f'endpoint "{endpoint.name}" holds {old} back: abort the rollout to go back to it')


def _read_calm_guards(tx: Tx, entry: HistoryEntry) -> tuple[Alarm, ...]:
    """The alarms of the entry's own rollout. Raises Conflict if one is in ALARM: it would roll back at once."""
    guards = read_guards(tx, entry.deployment)
    if firing := ", ".join(alarm.name for alarm in guards if alarm.state is AlarmState.ALARM):
        raise Conflict(
            f"alarm(s) {firing} are in ALARM and would roll a guarded undo back before its traffic is shifted: undo"
            " without --guarded"
        )
    return guards


def _check_kept(
    endpoint: Endpoint, entry: HistoryEntry, kept: Mapping[str, bool], can: Capabilities, override: bool
) -> None:
    """Raises Conflict if the version's model data cannot be had, or not be known to be as it was. Where a target
    keeps none, who overrides says that the addresses still have it."""
    missing = histories.missing_artifacts(entry, kept)
    if missing and can.keeps_models:
        raise Conflict(
            f"the model data of version {entry.number}, {entry.version.config_name}, is not kept: it was never"
            f" complete, changed, or was removed for space (variant {', '.join(missing)}): deploy its spec again"
        )
    if missing and not override:
        raise Conflict(_not_kept_there(endpoint, entry))


def _not_kept_there(endpoint: Endpoint, entry: HistoryEntry) -> str:
    """For a target that keeps no model data: whether an address still has what it had cannot be known."""
    containers = [one for variant in entry.version.variants for one in variant.model.containers]
    addresses = ", ".join(dict.fromkeys(one.data_url for one in containers if one.data_url))
    return (
        f"target {endpoint.target} keeps no model data of earlier versions, so that of version {entry.number},"
        f" {entry.version.config_name}, may have changed: see that {addresses} is as it was, and add --override, or"
        " deploy that version's spec again"
    )


def _command(tx: Tx, what: str, name: str, by: str, now: datetime, purpose: Purpose) -> None:
    saved = require(tx, ENDPOINT, name)
    _check_purpose(saved.body, purpose)
    rollout = saved.body.rollout
    approves = what.startswith("promote") and rollout is not None and approval_rule.is_held(rollout)
    endpoint = saved.body
    if approves and rollout is not None:
        endpoint = approval_rule.approve(endpoint, rollout, purpose.caller, by, now)
    changed = endpoint if approves and what == "promote" else COMMANDS[what](endpoint, by, now)
    message = f"{what} asked for by {by}"
    stage: dict[str, object] = {}
    if what.startswith("promote") and changed.rollout is not None:
        number, stages = changed.rollout.stage + 1, len(changed.rollout.plan.stages)
        stage = {"full": changed.rollout.promote, "stage": number}
        message += f" in stage {number} of {stages}"
    if approves:
        stage["approves"] = True
        message += ", which approves it"
    message, data = _journaled(message, by, purpose)
    save(tx, saved, changed, Event(what.split()[0], message, data | stage), now)


def _check_purpose(endpoint: Endpoint, purpose: Purpose) -> None:
    """Raises Conflict if the rollout, or its stage, is no longer the one that is meant."""
    present = endpoint.rollout or endpoint.last
    if purpose.rollout is not None and (present is None or present.id != purpose.rollout):
        raise Conflict(f"the rollout of {endpoint.name} is no longer the one that you saw: look at it again")
    if purpose.stage is not None and endpoint.rollout is not None and endpoint.rollout.stage + 1 != purpose.stage:
        raise Conflict(
            f"the rollout of {endpoint.name} is in stage {endpoint.rollout.stage + 1}, no longer in stage"
            f" {purpose.stage}: look at it again"
        )


def _journaled(message: str, by: str, purpose: Purpose) -> tuple[str, dict[str, object]]:
    data: dict[str, object] = {"by": by}
    if not purpose.reason:
        return message, data
    return f"{message}: {purpose.reason}", {**data, "reason": purpose.reason}
