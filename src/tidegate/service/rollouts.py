"""Use cases of a rollout that is in progress or has just ended. Each is journaled with the user who asked."""

from collections.abc import Callable, Mapping
from datetime import datetime

from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.observation import Capabilities, Event
from tidegate.domain.rollout import DeploymentConfig
from tidegate.ports.store import Tx
from tidegate.rollout import commands
from tidegate.rollout import history as histories
from tidegate.service import history, packages, quotas
from tidegate.service.endpoints import check_serving_version, read_guards, save
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


def pause(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Pause the rollout in its stage; alarms still roll it back. Raises NotFound or Conflict, as do all here."""
    _command(tx, "pause", name, by, now)


def resume(tx: Tx, name: str, by: str, now: datetime) -> None:
    _command(tx, "resume", name, by, now)


def abort(tx: Tx, name: str, by: str, now: datetime) -> None:
    """Roll back to the old version."""
    _command(tx, "abort", name, by, now)


def promote(tx: Tx, name: str, by: str, now: datetime, full: bool = False) -> None:
    """Skip the bake of the present stage, or, if ``full``, all that remain; capacity and alarms still count."""
    _command(tx, "promote --full" if full else "promote", name, by, now)


def retry(
    tx: Tx, name: str, by: str, *, override: bool, rollout_id: str, can: Capabilities, now: datetime
) -> None:
    """Roll out again what was rolled back. ``override`` is needed if an alarm rolled it back."""
    saved = require(tx, ENDPOINT, name)
    guards = read_guards(tx, saved.body.last.deployment) if saved.body.last else ()
    retried = commands.retry(
        saved.body, by=by, rollout_id=rollout_id, override=override, can=can, now=now, guards=guards
    )
    over = " over the evidence against it" if override else ""
    save(tx, saved, retried, Event("retry", f"retry{over} asked for by {by}", {"by": by}), now)


def undo(
    tx: Tx,
    name: str,
    to: str | None,
    by: str,
    *,
    override: bool,
    kept: Mapping[str, bool],
    rollout_id: str,
    can: Capabilities,
    now: datetime,
) -> None:
    """Roll out an earlier version again, with the endpoint's own strategy and alarms. ``to``: its number or config;
    None: the version that served before. ``kept``: digest of model data -> whether it is intact. Raises NotFound,
    Conflict, Invalid or LimitExceeded."""
    saved = require(tx, ENDPOINT, name)
    endpoint = saved.body
    if endpoint.rollout is not None and not endpoint.deleting:
        raise Conflict(
            f'endpoint "{name}" is being updated: abort the rollout to go back to what served before it'
        )
    entry = histories.find_target(history.read(tx, name), to)
    if missing := histories.missing_artifacts(entry, kept):
        raise Conflict(
            f"the model data of version {entry.number}, {entry.version.config_name}, is not kept: it was never"
            f" complete, changed, or was removed for space (variant {', '.join(missing)}): deploy its spec again"
        )
    version = histories.restore(entry, endpoint.serving)
    for variant in version.variants:
        packages.check_approved(tx, variant.model.containers)
    if version.serverless and endpoint.serving is not None and not endpoint.serving.serverless:
        raise Invalid(f'endpoint "{name}" has instances and cannot become serverless: create another endpoint')
    check_serving_version(tx, endpoint, {each.name: each.instance_type for each in version.production}, can)
    deployment = endpoint.deployment or DeploymentConfig()
    request = VersionRequest(version, deployment, now, by, read_guards(tx, deployment))
    begun = commands.begin(endpoint, request, rollout_id=rollout_id, can=can, now=now, override=override)
    quotas.check(tx, endpoint, begun, can.quotas)
    message = f"undo to version {entry.number}, {version.config_name}, asked for by {by}"
    save(tx, saved, begun, Event("undo", message, {"by": by, "version": entry.number}), now)


def _command(tx: Tx, what: str, name: str, by: str, now: datetime) -> None:
    saved = require(tx, ENDPOINT, name)
    changed = COMMANDS[what](saved.body, by, now)
    data: dict[str, object] = {"by": by}
    message = f"{what} asked for by {by}"
    if what.startswith("promote") and changed.rollout is not None:
        stage, stages = changed.rollout.stage + 1, len(changed.rollout.plan.stages)
        data |= {"full": changed.rollout.promote, "stage": stage}
        message += f" in stage {stage} of {stages}"
    save(tx, saved, changed, Event(what.split()[0], message, data), now)
