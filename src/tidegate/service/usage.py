"""Use cases of the instance-hours of an endpoint: recorded beside it whenever its counts change, and read."""

import logging
from datetime import datetime

from tidegate.domain import usage as usages
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import UnreadableRecord
from tidegate.domain.usage import Usage
from tidegate.ports.store import StoredRecord, Tx
from tidegate.service.quotas import instances
from tidegate.service.record_kinds import ENDPOINT, USAGE
from tidegate.service.records import require

log = logging.getLogger(__name__)


def record(tx: Tx, before: Endpoint | None, after: Endpoint, now: datetime) -> None:
    """Follow a change of the endpoint's record, in the same transaction. Of an endpoint that an earlier version of
    tidegate created, nothing is known before. A record that cannot be read stays as it is, and keeps nothing else
    from being written."""
    try:
        saved = tx.get(USAGE, after.name)
    except UnreadableRecord as error:
        log.warning("the usage of endpoint %s is not continued: %s", after.name, error)
        return
    known = saved.body if saved is not None and before is not None else Usage(now, now)
    followed = usages.follow(known, instances(after), now)
    if saved is None or followed is not saved.body:
        tx.put(USAGE, after.name, followed, expect=saved.version if saved else 0, now=now)


def read(tx: Tx, name: str) -> tuple[Endpoint, Usage]:
    """Read an endpoint and its usage. Raises NotFound."""
    saved = require(tx, ENDPOINT, name)
    return saved.body, find_usage(saved, tx.get(USAGE, name))


def find_usage(saved: StoredRecord[Endpoint], kept: StoredRecord[Usage] | None) -> Usage:
    """Return the usage of an endpoint, from its record and the record of its use."""
    return kept.body if kept is not None else _since_last_write(saved)


def _since_last_write(saved: StoredRecord[Endpoint]) -> Usage:
    """Return the usage of an endpoint that has no record of its use: its counts have been the same since its own
    record was written last."""
    began = saved.modified_at
    return Usage(began, began, dict(instances(saved.body)))
