"""Use cases of live runs: begun, deployed into, sent requests to, ended. Removal goes step by step and may be
repeated after a crash; what is not the run's own is left alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid, LimitExceeded, NotFound
from tidegate.domain.observation import Capabilities
from tidegate.domain.registry import ContainerDefinition
from tidegate.domain.targets import TargetTable
from tidegate.features.lessons.run_records import (
    LIVE_RUN,
    MAX_LASTING,
    MAX_RATE,
    TAG,
    LessonVerdict,
    LiveRun,
    RunPart,
    RunTraffic,
)
from tidegate.ports.store import Kind, StoredRecord, Tx
from tidegate.service import alarms, configs, endpoints, models, quotas
from tidegate.service import deploy as deploying
from tidegate.service import tags as labels
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.service.endpoint_extension import DeploymentIds
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.service.records import mentions, read_if_readable

KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (ALARM, CONFIG, MODEL)}
"""In the order in which they are removed."""
INSTANCE_TYPE = "local"


def find(tx: Tx, what: str) -> LiveRun | None:
    """The latest run, which may have ended."""
    saved = tx.get(LIVE_RUN, what)
    return None if saved is None else saved.body


def find_open(tx: Tx) -> list[LiveRun]:
    """The open runs among those that can be read."""
    return [saved.body for saved in tx.find(LIVE_RUN).items if saved.body.open]


def has_open(tx: Tx) -> bool:
    """Whether an earlier process left a run open."""
    return bool(find_open(tx))


def find_unreadable(tx: Tx) -> list[str]:
    """Lessons of the runs whose records cannot be read: each may be open."""
    return [one.name for one in tx.find(LIVE_RUN).unreadable]


def begin(tx: Tx, run: LiveRun) -> None:
    """Raises Conflict while a run of the same kind is open, or if the endpoint's name is taken."""
    saved = tx.get(LIVE_RUN, run.what)
    if saved is not None and saved.body.open:
        doing = "is being ended" if saved.body.ending else f"was begun by {saved.body.by} and has not ended"
        raise Conflict(f"{run.what} {doing}: there is one at a time", about=(LIVE_RUN.name, run.what))
    if not timedelta() < run.until - run.started_at <= MAX_LASTING:
        raise Invalid(f"a live run lasts {MAX_LASTING} at most")
    require_own(tx, run)
    tx.put(LIVE_RUN, run.what, run, expect=saved.version if saved else 0, now=run.started_at)


def require_room(tx: Tx, instances: int, can: Capabilities) -> None:
    """Raises LimitExceeded if the server's quota has not as many instances left, UnreadableRecord while an endpoint
    cannot be counted."""
    quota = can.quotas.get(INSTANCE_TYPE)
    if quota is None:
        return
    used = sum(quotas.instances(saved.body)[INSTANCE_TYPE] for saved in tx.find(ENDPOINT).require_all())
    if used + instances > quota:
        raise LimitExceeded(
            f"no room: it takes up to {instances} instances, and of the quota of {quota} (TIDEGATE_QUOTAS)"
            f" {max(0, quota - used)} are left: delete an endpoint, or raise the quota"
        )


def keep_picture(tx: Tx, run: LiveRun, picture: dict[str, Any], now: datetime) -> None:
    """Keep the figures of a run that has no verdict yet; otherwise change nothing."""
    saved = tx.get(LIVE_RUN, run.what)
    if saved is not None and saved.body.id == run.id and saved.body.verdict is None:
        _put(tx, saved, replace(saved.body, picture=picture), now)


def judge(
    tx: Tx, run: LiveRun, verdict: LessonVerdict, said: str, now: datetime, picture: dict[str, Any] | None = None
) -> None:
    """Note how it ended. Nothing changes if another run has taken its place, or it was judged before. ``picture``
    None: as it was last kept."""
    saved = tx.get(LIVE_RUN, run.what)
    if saved is None or saved.body.id != run.id or saved.body.verdict is not None:
        return
    shown = saved.body.picture if picture is None else picture
    _put(tx, saved, replace(saved.body, verdict=verdict, said=said, judged_at=now, picture=shown), now)


def is_own(tx: Tx, run: LiveRun) -> bool:
    """Whether the endpoint of the run's name is there and the run's: the one that was there when it was last seen
    with the run's tag, or one that has the tag now."""
    saved = tx.get(ENDPOINT, run.endpoint)
    if saved is None:
        return False
    return saved.created_at == run.endpoint_created_at or _is_tagged(tx, run)


def _is_tagged(tx: Tx, run: LiveRun) -> bool:
    return labels.read(tx, ENDPOINT, run.endpoint).get(TAG) == run.id


def note_endpoint(tx: Tx, what: str, now: datetime) -> None:
    """Remember the endpoint that has the run's tag, so that it remains the run's whoever removes the tag."""
    saved = tx.get(LIVE_RUN, what)
    if saved is None or not saved.body.open:
        return
    run, endpoint = saved.body, tx.get(ENDPOINT, saved.body.endpoint)
    if endpoint is None or endpoint.created_at == run.endpoint_created_at or not _is_tagged(tx, run):
        return
    _put(tx, saved, replace(run, endpoint_created_at=endpoint.created_at), now)


def require_own(tx: Tx, run: LiveRun) -> None:
    """Raises Conflict if somebody else's endpoint has the name."""
    if tx.get(ENDPOINT, run.endpoint) is not None and not is_own(tx, run):
        raise Conflict(
            f'there is another endpoint "{run.endpoint}", which is not touched: delete it if nobody needs it '
            f"('tidegate delete {run.endpoint}')",
            about=(ENDPOINT.name, run.endpoint),
        )


def deploy(
    tx: Tx,
    what: str,
    desired: DesiredDeployment,
    options: DeployOptions,
    *,
    runnable: Callable[[ContainerDefinition], None],
    rollout_id: str,
    targets: TargetTable,
    now: datetime,
    ids: DeploymentIds,
) -> DeployResult:
    """Deploy to the run's endpoint, as anybody deploys (``service.deploy``). Raises Conflict for another's."""
    saved = _require_running(tx, what)
    run = saved.body
    if desired.endpoint != run.endpoint:
        raise Invalid(f'{what} deploys to endpoint "{run.endpoint}" alone, not to "{desired.endpoint}"')
    require_own(tx, run)
    known = replace(run, made=(*run.made, *_list_new(tx, desired, run.made)))
    tagged = replace(desired, tags={**desired.tags, TAG: run.id})
    done = deploying.deploy(
        tx, tagged, options, runnable=runnable, rollout_id=rollout_id, targets=targets, now=now, ids=ids
    )
    made = tx.get(ENDPOINT, run.endpoint)
    known = replace(known, endpoint_created_at=None if made is None else made.created_at)
    tx.put(LIVE_RUN, what, known, expect=saved.version, now=now)
    return done


def expect_deployments(tx: Tx, what: str, desired: Sequence[DesiredDeployment], now: datetime) -> None:
    """Note what these would make, so that it is removed at the end also where a command deploys them."""
    saved = _require_running(tx, what)
    made = saved.body.made
    for one in desired:
        made += tuple(_list_new(tx, one, made))
    tx.put(LIVE_RUN, what, replace(saved.body, made=made), expect=saved.version, now=now)


def _list_new(tx: Tx, desired: DesiredDeployment, known: Sequence[RunPart]) -> list[RunPart]:
    names = [
        *(RunPart(ALARM.name, alarm.name) for alarm in desired.alarms),
        RunPart(CONFIG.name, desired.config.name),
        *(RunPart(MODEL.name, model.name) for model in desired.models),
    ]
    return [one for one in dict.fromkeys(names) if one not in known and tx.get(KINDS[one.kind], one.name) is None]


def find_allowed(tx: Tx, what: str, now: datetime) -> tuple[LiveRun, RunTraffic] | None:
    """The run and the traffic that is due now. None while somebody else's endpoint has the name, and for a record
    that was not written here."""
    run = find(tx, what)
    traffic = None if run is None else run.traffic_at(now)
    if run is None or traffic is None or (tx.get(ENDPOINT, run.endpoint) is not None and not is_own(tx, run)):
        return None
    return (run, traffic) if 0 <= traffic.rate <= MAX_RATE and is_inside(traffic.requests) else None


def is_inside(path: str) -> bool:
    """Whether it is a path below the folder that it is read from."""
    return all(part and not part.startswith(".") for part in path.split("/"))


def send(
    tx: Tx, what: str, rate: float, seconds: float, now: datetime, requests: str = "requests.jsonl"
) -> LiveRun:
    """Have the server send requests from now on, in place of what it sends. Raises Invalid for too many."""
    saved, longest = _require_running(tx, what), MAX_LASTING.total_seconds()
    if not (math.isfinite(rate) and 0 <= rate <= MAX_RATE):
        raise Invalid(f"{rate:g} requests a second: expected 0 to {MAX_RATE:g}")
    if not (math.isfinite(seconds) and 0 < seconds <= longest):
        raise Invalid(f"{seconds:g} s of requests: expected up to {longest:g}")
    if not is_inside(requests):
        raise Invalid(f"{requests!r} is not a file in the run's folder")
    require_own(tx, saved.body)
    return _put(tx, saved, replace(saved.body, traffic=RunTraffic(now, seconds, rate, requests)), now)


def halt(tx: Tx, what: str, now: datetime) -> LiveRun:
    """Send nothing more."""
    saved = _require_running(tx, what)
    return _put(tx, saved, replace(saved.body, traffic=None), now)


def ask_to_end(tx: Tx, what: str, by: str, now: datetime) -> LiveRun:
    """Have all that the run made be removed; asked again, nothing changes. Raises NotFound without an open run."""
    saved = _require_open(tx, what)
    if saved.body.ending:
        return saved.body
    return _put(tx, saved, replace(saved.body, traffic=None, ending_at=now, ended_by=by), now)


def remove_some(tx: Tx, what: str, now: datetime) -> bool:
    """One step of removing what an ending run made; whether nothing of it is left that can be read. An endpoint goes
    first, once its requests are answered; then what it needed, unless another endpoint has it."""
    run = _require_open(tx, what).body
    saved = tx.get(ENDPOINT, run.endpoint)
    if saved is not None and saved.body.deleting:
        return False
    if saved is not None and is_own(tx, run):
        endpoints.delete_endpoint(tx, run.endpoint, now, run.ended_by, force=True)
        return False
    used = _list_used(tx, run.made)
    for one in run.made:
        # What cannot be read stays, and holds up the end of nothing else.
        if one not in used and read_if_readable(tx, KINDS[one.kind], one.name) is not None:
            _delete(tx, one, now)
    return True


def mark_ended(tx: Tx, what: str, now: datetime) -> None:
    saved = _require_open(tx, what)
    _put(tx, saved, replace(saved.body, ended_at=now), now)


def _delete(tx: Tx, one: RunPart, now: datetime) -> None:
    if one.kind == ALARM.name:
        alarms.delete(tx, [one.name], now)
    elif one.kind == CONFIG.name:
        configs.delete_config(tx, one.name, now)
    else:
        models.delete_model(tx, one.name, now)


def _list_used(tx: Tx, made: Sequence[RunPart]) -> set[RunPart]:
    """The parts that present endpoints name. Of one that cannot be read, what its text has counts."""
    used, page = set[RunPart](), tx.find(ENDPOINT)
    for saved in page.items:
        used |= _list_named(saved.body)
    for one in page.unreadable:
        used |= {each for each in made if mentions(tx, one, each.name)}
    return used


def _list_named(endpoint: Endpoint) -> set[RunPart]:
    rollout = endpoint.rollout
    versions = [endpoint.serving, *((rollout.old, rollout.new) if rollout else ())]
    deployments = [endpoint.deployment, *((rollout.deployment,) if rollout else ())]
    named = {RunPart(ALARM.name, name) for one in deployments if one is not None for name in one.alarms}
    for version in versions:
        if version is not None:
            named.add(RunPart(CONFIG.name, version.config_name))
            named |= {RunPart(MODEL.name, variant.model.name) for variant in version.variants}
    return named


def _require_open(tx: Tx, what: str) -> StoredRecord[LiveRun]:
    saved = tx.get(LIVE_RUN, what)
    if saved is None or not saved.body.open:
        raise NotFound(f"{what} is not under way", about=(LIVE_RUN.name, what))
    return saved


def _require_running(tx: Tx, what: str) -> StoredRecord[LiveRun]:
    """Raises Conflict for a run that is being ended, NotFound for none."""
    saved = _require_open(tx, what)
    if saved.body.ending:
        raise Conflict(f"{what} is being ended by {saved.body.ended_by}", about=(LIVE_RUN.name, what))
    return saved


def _put(tx: Tx, saved: StoredRecord[LiveRun], run: LiveRun, now: datetime) -> LiveRun:
    tx.put(LIVE_RUN, saved.name, run, expect=saved.version, now=now)
    return run
