"""How many instances a queue needs: the wished number while there is work, none after a while without. Pure."""

from tidegate.domain.asynchronous import AsyncConfig, Backlog


def wanted(config: AsyncConfig, present: int, backlog: Backlog, idle_since: float, now: float) -> int:
    """Instances that a variant should have. ``idle_since`` is when the queue was last seen with work (or the
    endpoint came to be, if that is later)."""
    if config.idle_after is None:
        return present
    if backlog.size:
        return present or config.awake
    return 0 if now - idle_since >= config.idle_after else present
