"""Instance-hours beside an endpoint's record."""

from datetime import timedelta

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import LATER, START, run, settle, wish
from tidegate.domain.usage import seconds_until
from tidegate.service import usage
from tidegate.service.record_kinds import ENDPOINT, USAGE

HOUR = timedelta(hours=1)


def test_hours_are_counted_from_the_creation_on_with_both_versions_during_an_update() -> None:
    tx = MemoryTx()
    run(tx, wish("1"), now=START)
    settle(tx)
    _, one = usage.read(tx, "fraud")
    (count,) = one.running.values()
    assert one.since == START
    run(tx, wish("2"), now=LATER)
    _, both = usage.read(tx, "fraud")
    before = seconds_until(both, LATER)
    assert before == {"local": count * (LATER - START).total_seconds()}
    assert sum(both.running.values()) > count
    settle(tx)
    _, after = usage.read(tx, "fraud")
    assert after.running == one.running and after.since == START
    assert seconds_until(after, after.at + HOUR)["local"] == after.seconds["local"] + count * 3600


def test_an_endpoint_without_a_record_is_counted_since_its_own_was_written() -> None:
    tx = MemoryTx()
    run(tx, wish("1"), now=START)
    settle(tx)
    _, known = usage.read(tx, "fraud")
    tx.delete(USAGE, "fraud", expect=None, now=LATER)
    _, seeded = usage.read(tx, "fraud")
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None
    assert seeded.running == known.running and seeded.since == saved.modified_at and seeded.seconds == {}
