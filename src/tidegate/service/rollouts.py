"""Use cases of a rollout that is in progress or has just ended. Each is journaled with the user who asked."""

from collections.abc import Callable
from datetime import datetime

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Capabilities, Event
from tidegate.ports.store import Tx
from tidegate.rollout import commands
from tidegate.service.endpoints import read_guards, save
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import require

RolloutCommand = Callable[[Endpoint, str, datetime], Endpoint]

COMMANDS: dict[str, RolloutCommand] = {
    "pause": commands.pause,
    "resume": commands.resume,
    "abort": commands.abort,
    "promote": commands.promote,
}


def pause(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Pause the rollout in its stage; alarms still roll it back. Raises NotFound or Conflict, as do all here."""
    _command(tx, "pause", name, by, now)


def resume(tx: Tx, name: str, by: str, now: datetime) -> None:
    _command(tx, "resume", name, by, now)


def abort(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Roll back to the old version."""
    _command(tx, "abort", name, by, now)


def promote(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Skip the remaining bakes; capacity and alarms still count."""
    _command(tx, "promote", name, by, now)


def retry(
    tx: Tx, name: str, by: str, *, override: bool, rollout_id: str, can: Capabilities, now: datetime
) -> None:
    """Roll out again what was rolled back. ``override`` is needed if an alarm rolled it back."""
    saved = require(tx, ENDPOINT, name)
    guards = read_guards(tx, saved.body.last.deployment) if saved.body.last else ()
    retried = commands.retry(saved.body, rollout_id=rollout_id, override=override, can=can, now=now, guards=guards)
    over = " over the evidence against it" if override else ""
    save(tx, saved, retried, Event("retry", f"retry{over} asked for by {by}", {"by": by}), now)


def _command(tx: Tx, what: str, name: str, by: str, now: datetime) -> None:
    saved = require(tx, ENDPOINT, name)
    changed = COMMANDS[what](saved.body, by, now)
    save(tx, saved, changed, Event(what, f"{what} asked for by {by}", {"by": by}), now)
