"""An audit in memory, for tests and demonstrations."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate.domain.access import AuditEntry, AuditOutcome


@dataclass
class MemoryAudit:
    entries: list[AuditEntry] = field(default_factory=list)

    async def begin(self, entry: AuditEntry) -> int:
        self.entries.append(replace(entry, seq=len(self.entries) + 1))
        return len(self.entries)

    async def finish(self, seq: int, outcome: AuditOutcome, detail: str) -> None:
        self.entries[seq - 1] = replace(self.entries[seq - 1], outcome=outcome, detail=detail)

    async def read(
        self, *, before: int = 0, limit: int = 100, who: str = "", about: str = ""
    ) -> Sequence[AuditEntry]:
        return self.entries[::-1]

    async def prune(self, oldest: datetime, most: int) -> int:
        return 0
