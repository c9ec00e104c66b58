"""The outcome and the progress of a job by its shards, and the shards that a resumed job processes again. Pure."""

from collections.abc import Iterable, Sequence

from tidegate.domain.shards import KnownShard, ShardState, ShardTally
from tidegate.domain.transform import InputObject, TransformProgress


def outcome(tally: ShardTally, attempt: int) -> str | None:
    """Why the job failed, empty if it is complete; None: it has not ended. ``attempt``: how often it was resumed."""
    if tally.attempt < attempt:
        return None
    if tally.reason:
        return tally.reason
    if not tally.listed or tally.done + tally.failed < tally.objects:
        return None
    if not tally.failed:
        return ""
    more = f" (and {tally.failed - 1} objects more)" if tally.failed > 1 else ""
    return f"{tally.failed_uri}: {tally.failed_reason}{more}"


def progress(tally: ShardTally) -> TransformProgress:
    return TransformProgress(
        objects=tally.objects,
        objects_done=tally.done,
        objects_failed=tally.failed,
        records=tally.records,
        bad_records=tally.bad,
        bytes_total=tally.bytes_total,
        bytes_done=tally.bytes_done,
        waiting=tally.waiting,
    )


def shards_to_redo(known: Sequence[KnownShard], listed: Iterable[InputObject]) -> dict[int, InputObject]:
    """Return the objects that a resumed job processes, as they are now, by number: those whose shards are not done,
    and those that have changed since. Objects that came later are not part of the job."""
    now = {item.uri: item for item in listed}
    found = {}
    for shard in known:
        item = now.get(shard.item.uri, shard.item)
        if shard.state is not ShardState.DONE or item != shard.item:
            found[shard.number] = item
    return found
