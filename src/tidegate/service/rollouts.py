"""What people do to a rollout that is under way or has just ended. Each is journaled with who asked."""

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
    """Holds the rollout where it stands; alarms still turn it back. Raises NotFound or Conflict, as all here."""
    _command(tx, "pause", name, by, now)


def resume(tx: Tx, name: str, by: str, now: datetime) -> None:
    _command(tx, "resume", name, by, now)


def abort(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Turns back to the old version."""
    _command(tx, "abort", name, by, now)


def promote(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Skips the bakes that are left; capacity and alarms still count."""
    _command(tx, "promote", name, by, now)


def retry(
    tx: Tx, name: str, by: str, *, override: bool, rollout_id: str, can: Capabilities, now: datetime
) -> None:
    """Rolls out again what was rolled back. ``override`` is needed where evidence turned it down."""
    saved = require(tx, ENDPOINT, name)
    guards = read_guards(tx, saved.body.last.deployment) if saved.body.last else ()
    retried = commands.retry(saved.body, rollout_id=rollout_id, override=override, can=can, now=now, guards=guards)
    over = " over the evidence against it" if override else ""
    save(tx, saved, retried, Event("retry", f"retry{over} asked for by {by}", {"by": by}), now)


def _command(tx: Tx, what: str, name: str, by: str, now: datetime) -> None:
    saved = require(tx, ENDPOINT, name)
    changed = COMMANDS[what](saved.body, by, now)
    save(tx, saved, changed, Event(what, f"{what} asked for by {by}", {"by": by}), now)
