"""A guard that lets a caller who may do everything do it, with an audit in memory."""

from tidegate.domain.access import Caller, Means, Role
from tidegate.ports.clock import Clock
from tidegate.service.audit_trail import Trail
from tidegate.simulation.memory_audit import MemoryAudit
from tidegate.wire.dispatch import Guard


def guard_of(clock: Clock, name: str = "", audit: MemoryAudit | None = None) -> Guard:
    means = Means.KEY if name else Means.LOOPBACK
    return Guard(Trail(audit or MemoryAudit(), clock.now), Caller(name, Role.ADMIN, means))
