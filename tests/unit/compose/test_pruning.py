"""The audit is kept within its bounds however fast it grows."""

from datetime import UTC, datetime, timedelta

import pytest

from tidegate.compose import leadership
from tidegate.compose.leadership import prune_records
from tidegate.domain.access import AuditEntry, Means
from tidegate.settings import Settings
from tidegate.store import audit as audit_module
from tidegate.store import open_store
from tidegate.store.audit import SqlAudit


@pytest.mark.parametrize(("age", "kept"), [(timedelta(), 4), (timedelta(days=400), 0)], ids=["number", "age"])
async def test_one_turn_removes_all_that_is_too_much(
    age: timedelta, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store("sqlite://")
    audit = SqlAudit(store.database)
    monkeypatch.setattr(audit_module, "PRUNED_AT_ONCE", 3)
    monkeypatch.setattr(leadership, "AUDIT_ENTRIES", 4)
    for number in range(20):
        await audit.begin(AuditEntry(datetime.now(UTC) - age, f"u{number}", Means.KEY, "", "", "deploy", "", ""))
    await prune_records(store, Settings())
    assert len(await audit.read()) == kept
    await store.close()
