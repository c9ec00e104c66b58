"""Keep the history of an endpoint's versions, and choose what undo goes back to. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from tidegate.domain.endpoint import Endpoint, Rollout, Successor
from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.fleet import Serverless, VariantSpec
from tidegate.domain.history import History, HistoryEntry, VersionOutcome
from tidegate.domain.rollout import DeploymentConfig, Phase, Version
from tidegate.rollout.approval_rule import find_approval
from tidegate.rollout.digest import digest

MAX_ENTRIES = 50
"""Entries kept per endpoint. Versions that run, and the one that served before, are never dropped."""
UNBEGUN = 10
"""Of these, entries of versions that never began. Older ones are dropped first: hundreds may be asked for in place of
each other while one rollback goes on, and what ran is what undo goes back to."""

_OUTCOMES = {
    Phase.SUCCEEDED: VersionOutcome.SERVING,
    Phase.ROLLED_BACK: VersionOutcome.ROLLED_BACK,
    Phase.ROLLBACK_FAILED: VersionOutcome.ROLLBACK_FAILED,
    Phase.FAILED: VersionOutcome.FAILED,
}


def is_affected(before: Endpoint | None, after: Endpoint) -> bool:
    """Return whether this change of the record begins or ends a version."""
    return _rollout_id(before) != _rollout_id(after) or _find_dropped_successor(before, after) is not None


def follow(history: History | None, before: Endpoint | None, after: Endpoint, now: datetime) -> History:
    """Return the history after the endpoint's record changed from ``before`` to ``after``. ``history`` is None if
    there is none yet; then it begins with what ``before`` has."""
    entries = list((history or seed(before)).entries)
    entries = [_end(entry, after, now) for entry in entries]
    if (dropped := _find_dropped_successor(before, after)) is not None:
        entries.append(_drop(entries, dropped, after, now))
    rollout = after.rollout
    if rollout is not None and all(entry.rollout != rollout.id for entry in entries):
        entries.append(_begin(entries, rollout))
    return History(_drop_oldest(_replace_former(entries)))


def seed(endpoint: Endpoint | None) -> History:
    """History of an endpoint whose record is older than its history."""
    entries: list[HistoryEntry] = []
    if endpoint is None:
        return History()
    serving, last, rollout = endpoint.serving, endpoint.last, endpoint.rollout
    if serving is not None:
        known = last if last is not None and last.new.generation == serving.generation else None
        began = known.started_at if known else endpoint.created_at
        entries.append(
            HistoryEntry(
                1,
                known.id if known else "",
                serving,
                (known.deployment if known else endpoint.deployment) or DeploymentConfig(),
                known.asked_by if known else "",
                began,
                digest(serving),
                served_at=(known.ended_at if known else None) or began,
                outcome=VersionOutcome.SERVING,
            )
        )
    if rollout is not None:
        entries.append(_begin(entries, rollout))
    return History(tuple(entries))


def find_target(history: History, to: str | None, rejected: Collection[str] = ()) -> HistoryEntry:
    """Return the version to go back to: the one of this number, or the newest of this config; ``to`` None means the
    last one that was good. ``rejected`` has the digests of versions that are not. Raises NotFound, or Conflict if it
    serves now."""
    entries = history.entries[::-1]
    if to is None:
        found = _find_last_good(entries, rejected)
        if found is None:
            raise Conflict("no earlier version has served this endpoint well; name one that was tried with --to")
        return found
    found = next((entry for entry in entries if str(entry.number) == to), None)
    named = [entry for entry in entries if entry.version.config_name == to]
    # One that never ran has no model data that was kept; an earlier one of the same config may have.
    found = found or next((entry for entry in named if entry.served_at is not None), None)
    found = found or next((entry for entry in named if not entry.never_began), None)
    found = found or next(iter(named), None)
    if found is None:
        numbers = ", ".join(str(entry.number) for entry in history.entries) or "none"
        raise NotFound(f"there is no version '{to}' in the history, which has {numbers}")
    if found.outcome is VersionOutcome.SERVING:
        raise Conflict(f"version {found.number}, {found.version.config_name}, serves already")
    return found


def _find_last_good(newest_first: tuple[HistoryEntry, ...], rejected: Collection[str]) -> HistoryEntry | None:
    """The newest version that finished its rollout, was replaced by a newer one rather than undone, and is another
    one than what serves."""
    bad = set(rejected)
    for entry in newest_first:
        if entry.outcome in (VersionOutcome.SERVING, VersionOutcome.UNDONE):
            bad.add(entry.digest)
        good = entry.outcome is VersionOutcome.REPLACED and entry.served_at is not None
        if good and entry.digest not in bad:
            return entry
    return None


def restore(entry: HistoryEntry, serving: Version | None) -> Version:
    """The entry's version, to be rolled out again: from the model data that was kept, with the instances that
    variants of the same names have now, since those follow the load and not the version. A single variant of another
    name has as many as the one that serves."""
    present = {variant.name: variant for variant in serving.variants} if serving else {}
    if serving and len(serving.production) == len(entry.version.production) == 1:
        present.setdefault(entry.version.production[0].name, serving.production[0])
    return replace(
        entry.version,
        variants=tuple(
            _restore_variant(variant, entry.artifacts.get(variant.name, ()), present.get(variant.name))
            for variant in entry.version.variants
        ),
    )


def missing_artifacts(entry: HistoryEntry, kept: Mapping[str, bool]) -> list[str]:
    """Variants whose model data was not kept, or is not as it was. ``kept``: digest -> whether it is intact."""
    return [
        variant.name
        for variant in entry.version.variants
        if needs_artifacts(variant) and not _is_complete(entry.artifacts.get(variant.name), kept)
    ]


def needs_artifacts(variant: VariantSpec) -> bool:
    """Return whether the variant has model data that makes it this version. The models of a multi-model container
    come and go without a new version."""
    return not variant.model.multi_model and any(each.data_url for each in variant.model.containers)


def digests(entry: HistoryEntry) -> set[str]:
    return {digest for each in entry.artifacts.values() for digest in each if digest}


def choose_kept(histories: Mapping[str, History], sizes: Mapping[str, int], versions: int, limit: int) -> set[str]:
    """Digests to keep: all of versions that run, then, newest first, of at most ``versions`` others of each endpoint,
    as long as all together have at most ``limit`` bytes."""
    live = {
        digest
        for history in histories.values()
        for entry in history.entries
        if entry.outcome.live
        for digest in digests(entry)
    }
    chosen, used = set(live), sum(sizes.get(digest, 0) for digest in live)
    others = [
        (entry.began_at, name, entry)
        for name, history in histories.items()
        for entry in [one for one in history.entries[::-1] if not one.outcome.live and one.artifacts][:versions]
    ]
    for _, _, entry in sorted(others, key=lambda row: row[:2], reverse=True):
        more = digests(entry) - chosen
        size = sum(sizes.get(digest, 0) for digest in more)
        if used + size > limit:
            break
        chosen, used = chosen | more, used + size
    return chosen


def _rollout_id(endpoint: Endpoint | None) -> str | None:
    return endpoint.rollout.id if endpoint is not None and endpoint.rollout is not None else None


def _successor(endpoint: Endpoint | None) -> Successor | None:
    return endpoint.rollout.successor if endpoint is not None and endpoint.rollout is not None else None


def _find_dropped_successor(before: Endpoint | None, after: Endpoint) -> Successor | None:
    """Return the successor that waited before and now neither waits nor has begun: the history has it, too, since it
    was accepted."""
    waiting, still = _successor(before), _successor(after)
    if waiting is None or waiting.rollout_id in (_rollout_id(after), still.rollout_id if still else None):
        return None
    return waiting


def _drop(entries: list[HistoryEntry], dropped: Successor, after: Endpoint, now: datetime) -> HistoryEntry:
    """The entry of a version that never began."""
    if after.deleting:
        why = "the endpoint was deleted"
    elif (other := _successor(after)) is not None:
        why = f"{other.wanted.version.config_name} was asked for in its place"
    elif after.rollback_failed:
        why = "the rollback that it waited for failed; deploy it again"
    else:
        why = "it was aborted"
    wanted = dropped.wanted
    return HistoryEntry(
        _next_number(entries),
        dropped.rollout_id,
        wanted.version,
        wanted.deployment,
        wanted.asked_by,
        wanted.asked_at,
        digest(wanted.version),
        ended_at=now,
        outcome=VersionOutcome.FAILED,
        reason=f"It never began: {why}.",
        never_began=True,
        artifacts=dict(_list_given_artifacts(wanted.version)),
    )


def _next_number(entries: list[HistoryEntry]) -> int:
    return max((entry.number for entry in entries), default=0) + 1


def _begin(entries: list[HistoryEntry], rollout: Rollout) -> HistoryEntry:
    version = rollout.new
    return HistoryEntry(
        _next_number(entries),
        rollout.id,
        version,
        rollout.deployment,
        rollout.asked_by,
        rollout.started_at,
        digest(version),
        artifacts=dict(_list_given_artifacts(version)),
        undo=rollout.undo,
    )


def _list_given_artifacts(version: Version) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Digests of a version that runs from kept model data."""
    for variant in version.variants:
        if any(each.artifact for each in variant.model.containers):
            yield variant.name, tuple(each.artifact or "" for each in variant.model.containers)


def _end(entry: HistoryEntry, after: Endpoint, now: datetime) -> HistoryEntry:
    if entry.outcome is not VersionOutcome.ROLLING_OUT or entry.rollout == _rollout_id(after):
        return entry
    last = after.last
    if last is None or last.id != entry.rollout or last.phase not in _OUTCOMES:
        return replace(entry, outcome=VersionOutcome.FAILED, ended_at=now, reason="its end was not recorded")
    outcome = _OUTCOMES[last.phase]
    ended = last.ended_at or now
    entry = replace(entry, approval=find_approval(last))
    if outcome is VersionOutcome.SERVING:
        return replace(entry, outcome=outcome, served_at=ended)
    entry = replace(entry, outcome=outcome, ended_at=ended, reason=last.reason or "")
    return replace(entry, failures=last.failures, explanation=last.explanation)


def _replace_former(entries: list[HistoryEntry]) -> list[HistoryEntry]:
    """A version that serves replaces those that did before it."""
    serving = next((entry for entry in entries[::-1] if entry.outcome is VersionOutcome.SERVING), None)
    if serving is None:
        return entries
    by = f", asked for by {serving.asked_by}" if serving.asked_by else ""
    how = "undone: back to" if serving.undo else "replaced by"
    reason = f"{how} version {serving.number}, {serving.version.config_name}{by}"
    outcome = VersionOutcome.UNDONE if serving.undo else VersionOutcome.REPLACED
    return [
        replace(entry, outcome=outcome, ended_at=serving.served_at, reason=reason)
        if entry.number < serving.number
        and entry.outcome in (VersionOutcome.SERVING, VersionOutcome.ROLLBACK_FAILED)
        else entry
        for entry in entries
    ]


def _drop_oldest(entries: list[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    former = next((entry.number for entry in entries[::-1] if entry.outcome is VersionOutcome.REPLACED), None)
    droppable = [entry.number for entry in entries if not entry.outcome.live and entry.number != former]
    unbegun = [entry.number for entry in entries if entry.never_began][:-UNBEGUN]
    first = [*unbegun, *(number for number in droppable if number not in unbegun)]
    dropped = set(first[: max(0, len(entries) - MAX_ENTRIES)])
    return tuple(entry for entry in entries if entry.number not in dropped)


def _restore_variant(variant: VariantSpec, kept: tuple[str, ...], present: VariantSpec | None) -> VariantSpec:
    containers = variant.model.containers
    if kept:
        containers = tuple(
            replace(each, artifact=digest or None) for each, digest in zip(containers, kept, strict=True)
        )
    restored = replace(variant, model=replace(variant.model, containers=containers))
    if present is None:
        return restored
    bounds = _present_bounds(variant.serverless, present.serverless)
    return replace(restored, instance_count=present.instance_count, serverless=bounds)


def _present_bounds(variant: Serverless | None, present: Serverless | None) -> Serverless | None:
    if variant is None or present is None:
        return variant
    return replace(variant, max_concurrency=present.max_concurrency, provisioned=present.provisioned)


def _is_complete(artifacts: tuple[str, ...] | None, kept: Mapping[str, bool]) -> bool:
    return artifacts is not None and all(kept.get(digest, False) for digest in artifacts if digest)
